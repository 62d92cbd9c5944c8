"""The tensors of a checkpoint file, whoever wrote it: read without running anything from the file.

People's files hold the weights under one of many names, with prefixes that wrappers leave, and beside them options,
counters and optimiser states. A few plain types beside tensors are let in, as empty shells; the file's code never runs.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor
from torch.serialization import safe_globals

from tdam.errors import CheckpointError

StateDict = dict[str, Tensor]

# Names of the weights in files that hold more. The moving average, which its author evaluates, comes first.
WRAPPERS = (
    *("state_dict_ema", "model_ema", "ema_state_dict", "ema"),
    *("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params"),
)
# One network in two halves, as BagCAMs and DA-WSOL write theirs.
HALVES = ("state_dict_extractor", "state_dict_classifier")
# What data parallelism, torch.compile, averaging and the attributes of Lightning modules put before every name.
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
AVERAGE_COUNTER = "n_averaged"  # beside the weights of torch.optim.swa_utils.AveragedModel
LIGHTNING = "pytorch-lightning_version"
DEEPEST = 4  # wrappers in each other


class _Shell:
    """Stands in for a plain object beside the weights; keeps nothing of it."""

    def __new__(cls, *_: Any) -> Any:
        return object.__new__(cls)

    def __setstate__(self, state: Any) -> None:
        pass


class _DictShell:
    """Stands in for a mapping: the unpickler fills plain dicts alone."""

    def __new__(cls, *_: Any) -> Any:
        return OrderedDict()


class _ListShell:
    """Stands in for a sequence: the unpickler fills plain lists alone."""

    def __new__(cls, *_: Any) -> Any:
        return []


PLAIN_TYPES = {
    "argparse.Namespace": _Shell,
    "types.SimpleNamespace": _Shell,
    **{f"datetime.{name}": _Shell for name in ("datetime", "date", "timedelta")},
    **{
        f"{module}.{flavour}{kind}Path": _Shell
        for module in ("pathlib", "pathlib._local")
        for flavour in ("", "Pure")
        for kind in ("Posix", "Windows")
    },
    **{f"builtins.{name}": _Shell for name in ("list", "dict", "int", "float", "str", "bool")},
    **{
        f"{module}.multiarray.{name}": _Shell
        for module in ("numpy.core", "numpy._core")
        for name in ("scalar", "_reconstruct")
    },
    "numpy.dtype": _Shell,
    "numpy.ndarray": _Shell,
    "collections.defaultdict": _DictShell,
    "collections.deque": _ListShell,
    **{
        f"{module}.AttributeDict": _DictShell
        for module in (
            "pytorch_lightning.utilities.parsing",
            "lightning.pytorch.utilities.parsing",
            "lightning_fabric.utilities.data",
            "lightning.fabric.utilities.data",
        )
    },
}


def _stand_in(path: str, shell: type) -> type:
    """A shell that PyTorch's unpickler finds under the name of the type it stands for."""
    module, _, name = path.rpartition(".")
    return type(name, (shell,), {"__module__": module, "__qualname__": name})


STAND_INS: list[Any] = [_stand_in(path, shell) for path, shell in PLAIN_TYPES.items()]


def read_weights(path: Path, as_written: bool = False) -> StateDict:
    """The tensors of a file by name, without wrappers and prefixes.

    Args:
        path: A safetensors or PyTorch file.
        as_written: Leave the names as they are, for files of ours.

    Raises:
        CheckpointError: If the file is missing, damaged or unsafe, or does not tell which tensors are the network's.
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    found = _unwrap(content, path)
    strange = [key for key, value in found.items() if isinstance(value, Tensor) and not isinstance(key, str)]
    if strange:
        raise CheckpointError(f"{path} names its tensors {strange[0]!r} …, not by text: save model.state_dict()")
    state = {key: value for key, value in found.items() if isinstance(value, Tensor)}
    if as_written:
        return state
    state.pop(AVERAGE_COUNTER, None)
    if LIGHTNING in content:
        state = _of_attribute(state)
    while state and (prefix := next((p for p in PREFIXES if all(key.startswith(p) for key in state)), None)):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _of_attribute(state: StateDict) -> StateDict:
    """The network's tensors among a LightningModule's, which may hold losses and metrics as well."""
    for prefix in PREFIXES:
        inside = {key: value for key, value in state.items() if key.startswith(prefix)}
        if inside:
            return inside
    return state


def _unwrap(content: Any, path: Path) -> Mapping[Any, Any]:
    """The mapping of names to tensors inside what a file holds."""
    for _ in range(DEEPEST):
        if not isinstance(content, Mapping):
            break
        wrapper = next((name for name in WRAPPERS if isinstance(content.get(name), Mapping)), None)
        if wrapper is None:
            break
        content = content[wrapper]
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds no tensors by name: save model.state_dict()")
    halves = [content[name] for name in HALVES if isinstance(content.get(name), Mapping)]
    if len(halves) == len(HALVES):
        return {key: value for half in halves for key, value in half.items()}
    if _holds_tensors(content):
        return content
    inside = [name for name, value in content.items() if isinstance(value, Mapping) and _holds_tensors(value)]
    if len(inside) == 1:
        return content[inside[0]]
    if inside:
        raise CheckpointError(
            f"{path} holds several networks ({', '.join(map(str, inside))}): save the state dict of one of them alone"
        )
    held = ", ".join(map(str, list(content)[:6])) or "nothing"
    raise CheckpointError(f"{path} holds no tensors by name, but {held}: save model.state_dict()")


def _holds_tensors(content: Mapping[Any, Any]) -> bool:
    return any(isinstance(value, Tensor) for value in content.values())


def _read_safetensors(path: Path) -> Any:
    try:
        return safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {_first_line(error)}") from error


def _read_pickle(path: Path) -> Any:
    try:
        with safe_globals(STAND_INS), warnings.catch_warnings():
            # That the file was written in an older or newer way is nothing its reader could change.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        held = re.search(r"(?:GLOBAL|class|function) <?(?:class |function )?'?([\w.]+)", str(error))
        if held is None:
            raise CheckpointError(
                f"{path} is refused: it is damaged, or holds objects other than tensors, which could run code"
            ) from error
        raise CheckpointError(
            f"{path} is refused: it holds {held[1]}, which could run code; if you trust its author, load it in the "
            "program that wrote it and save the weights alone there: torch.save(model.state_dict(), FILE)"
        ) from error
    except Exception as error:  # whatever bytes a damaged file holds, unpickling them may raise anything
        raise CheckpointError(f"{path} cannot be read: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]

"""Networks by what people have: a name, a file, a folder, a name on a hub, a function of their own."""

from __future__ import annotations

import ast
import importlib
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import timm
from torch import nn

import tdam
from tdam.checkpoints import find_config
from tdam.checkpoints.published import check_hub
from tdam.errors import CheckpointError, UsageError, UserError, check_name

FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
HUBS = ("hf-hub:", "hf_hub:", "timm/")
TORCHVISION = "torchvision/"
WEIGHT_SUFFIXES = (".safetensors", ".pth", ".pt", ".tar", ".bin", ".ckpt")


def is_function(name: str) -> bool:
    """Whether a name is of the form ``package.module:function``."""
    return bool(FUNCTION.fullmatch(name))


def is_hub_name(name: str) -> bool:
    """Whether a name is of a network on Hugging Face's hub."""
    return name.startswith(HUBS)


def is_torchvision(name: str) -> bool:
    """Whether a name is of the form ``torchvision/resnet50``."""
    return name.startswith(TORCHVISION)


def is_saved_folder(name: str) -> bool:
    """Whether a name is of a folder that `save_pretrained` of timm or transformers wrote."""
    return bool(name) and (Path(name) / "config.json").is_file()


def check_spelling(name: str) -> None:
    """Refuse what can be no registered name, and say how what was probably meant is written.

    Raises:
        UsageError: If the name holds a ":" or "/", or ends in ".py".

    >>> check_spelling("./nets/mine.py:build")
    Traceback (most recent call last):
    ...
    tdam.errors.UsageError: --model ./nets/mine.py:build: write nets.mine:build
    """
    if not re.search(r"[:/\\]|\.py$", name):
        return
    file, _, function = name.partition(":")
    module = ".".join(part for part in re.split(r"[/\\]", file.removesuffix(".py")) if part not in ("", "."))
    if function and is_function(f"{module}:{function}"):
        raise UsageError(f"--model {name}: write {module}:{function}")
    if ":" in name or name.endswith(".py"):
        raise UsageError(f"--model {name}: write package.module:function, the module and what in it builds the network")
    raise UsageError(f"--model {name}: no such file or folder; a network on the hub is named hf-hub:{name}")


def parse_arguments(pairs: Iterable[str]) -> dict[str, Any]:
    """Arguments of a function from ``KEY=VALUE``; values are Python literals where they read as such.

    Raises:
        UsageError: If a pair has no "=" or no name before it.

    >>> parse_arguments(["depth=50", "widths=(1, 2)", "weights=DEFAULT"])
    {'depth': 50, 'widths': (1, 2), 'weights': 'DEFAULT'}
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.isidentifier():
            raise UsageError(f"--model-args {pair}: write NAME=VALUE")
        try:
            found[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[key] = value
    return found


def call_function(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """The network that ``package.module:function`` makes; the current folder is looked in too.

    Raises:
        UserError: If there is no such function, it fails, or what it returns is no network.
    """
    module_name, _, function_name = name.partition(":")
    folder = os.getcwd()
    added = folder not in sys.path
    if added:
        sys.path.insert(0, folder)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise UserError(f"--model {name}: there is no module {error.name} here or among what is installed") from error
    except Exception as error:  # a module of one's own may raise anything
        raise UserError(f"--model {name}: importing {module_name} fails: {_first_line(error)}") from error
    finally:
        if added:
            sys.path.remove(folder)
    function = getattr(module, function_name, None)
    if not callable(function):
        raise UserError(f"--model {name}: {module_name} has no function {function_name}")
    try:
        network = function(**arguments)
    except Exception as error:  # a function of one's own may raise anything
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        raise UserError(f"--model {name}: {function_name}({given}) fails: {_first_line(error)}") from error
    if not isinstance(network, nn.Module):
        raise UserError(f"--model {name}: {function_name} returns {type(network).__name__}, not a torch.nn.Module")
    return network


def from_torchvision(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """A classifier of torchvision, by default with its published weights.

    Args:
        name: "torchvision/" and a name of `torchvision.models`.
        arguments: Options of the network; ``weights`` None leaves it untrained.

    Raises:
        UserError: If there is no such network or option, or the weights cannot be downloaded.
    """
    from torchvision import models

    architecture = name.removeprefix(TORCHVISION)
    check_name("network of torchvision", architecture, models.list_models(module=models))
    try:
        return models.get_model(architecture, **{"weights": "DEFAULT", **arguments})
    except Exception as error:  # of the download, or of an option that it does not take
        raise UserError(f"{name} cannot be built: {_first_line(error)}") from error


def torchvision_classes(name: str) -> tuple[str, ...]:
    """Names of the classes that a network of torchvision is published with."""
    from torchvision import models

    weights: Any = models.get_model_weights(name.removeprefix(TORCHVISION))
    return tuple(weights.DEFAULT.meta["categories"])


def from_config(config: Mapping[str, Any]) -> nn.Module:
    """A network of transformers of a configuration, without weights.

    Raises:
        UserError: If transformers is not installed or knows no such network.
    """
    try:
        from transformers import AutoConfig, AutoModelForImageClassification

        settings = dict(config)
        return AutoModelForImageClassification.from_config(AutoConfig.for_model(settings.pop("model_type"), **settings))
    except ImportError as error:
        raise UserError("the checkpoint holds a network of transformers: pip install transformers") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"transformers cannot build the checkpoint's network: {_first_line(error)}") from error


def from_hub(name: str) -> nn.Module:
    """A network of Hugging Face's hub, of timm or transformers, with its weights.

    Raises:
        UserError: If it cannot be had, for example without a connection.
    """
    import huggingface_hub

    repository = name.removeprefix("hf-hub:").removeprefix("hf_hub:")
    if not isinstance(huggingface_hub.try_to_load_from_cache(repository, "config.json"), str):
        check_hub(name)
    try:
        return timm.create_model(f"hf-hub:{repository}", pretrained=True)
    except Exception as error:  # the hub's client raises errors of several libraries
        first = error
    try:
        from transformers import AutoModelForImageClassification

        return AutoModelForImageClassification.from_pretrained(repository)
    except Exception:  # the first error says more of a timm network
        raise UserError(
            f"{name} cannot be downloaded from huggingface.co: {_first_line(first)}; without a connection, download it "
            "elsewhere and pass the folder or the file"
        ) from first


def from_folder(folder: Path) -> nn.Module:
    """A network that `save_pretrained` of timm or transformers wrote.

    Raises:
        UserError: If the folder holds no such network.
    """
    if not (folder / "config.json").is_file():
        raise UserError(
            f"{folder} is a folder without config.json: name a checkpoint file, or a folder of Hugging Face"
        )
    try:
        if '"architecture"' in (folder / "config.json").read_text():
            return timm.create_model(f"local-dir:{folder}", pretrained=True)
        from transformers import AutoModelForImageClassification

        return AutoModelForImageClassification.from_pretrained(folder, local_files_only=True)
    except ImportError as error:
        raise UserError(f"{folder} holds a network of transformers: pip install transformers") from error
    except Exception as error:  # a damaged folder makes either library raise nearly anything
        raise CheckpointError(f"{folder} cannot be opened: {_first_line(error)}") from error


def name_in_file(path: Path) -> str:
    """The registered name of the network that a checkpoint of ours holds.

    Raises:
        CheckpointError: If the file is missing or does not say it.
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}")
    config = find_config(path)
    if config is None:
        raise CheckpointError(
            f"{path} does not say of which network it is: name it, as in --model NAME --checkpoint {path}"
        )
    name = str(config["model"])
    if is_function(name):
        raise CheckpointError(
            f"{path} is of {name}, a function, which a file alone may not call: --model {name} --checkpoint {path}"
        )
    return name


def load_weights(network: nn.Module, path: str | os.PathLike[str]) -> None:
    """Load a checkpoint into a network of any library, strictly.

    Raises:
        CheckpointError: If it does not fit, or would leave parts untrained.
    """
    report = tdam.load_checkpoint(network, path)
    if report.initialised:
        raise CheckpointError(f"{path} leaves {len(report.initialised)} parts untrained ({report.initialised[0]} …)")


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]


__all__ = [
    "call_function",
    "check_spelling",
    "from_config",
    "from_folder",
    "from_hub",
    "from_torchvision",
    "is_function",
    "is_hub_name",
    "is_saved_folder",
    "is_torchvision",
    "load_weights",
    "name_in_file",
    "parse_arguments",
    "torchvision_classes",
]

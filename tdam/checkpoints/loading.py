"""Checkpoints: ours (safetensors with the configuration inside), timm's, and the TDAM authors' files."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from tdam.checkpoints.renaming import is_torchvision, rename_by_position
from tdam.checkpoints.weight_files import StateDict, read_weights
from tdam.errors import CheckpointError
from tdam.families.known import family_of
from tdam.feedback import FeedbackBlock
from tdam.files import tensors_sha256, write_bytes
from tdam.gate import GATE, GatedStage

CONFIG_KEY, CHECKSUM_KEY = "config", "sha256"
CLASSIFIERS = (["fc"], ["classifier"], ["head"])
NEW_HEAD = "head."  # the classifier of families with a replaced head
TORCHVISION_MOBILENET = "classifier.3.weight"
MOST_CLASSES = 1_000_000


@dataclass(frozen=True)
class LoadReport:
    """What `load_checkpoint` did.

    Attributes:
        path: The file.
        loaded: How many tensors came from it.
        initialised: Names of parts that a plain file does not hold, which start anew: feedback, VGG's classifier.
        config: The configuration inside a file of ours, else None.
    """

    path: Path
    loaded: int
    initialised: tuple[str, ...] = ()
    config: dict[str, Any] | None = None

    def __str__(self) -> str:
        new = f", {len(self.initialised)} parts newly initialised" if self.initialised else ""
        return f"{self.path}: {self.loaded} tensors loaded{new}"


def load_checkpoint(model: nn.Module, path: str | os.PathLike[str]) -> LoadReport:
    """Load a file into a network, all or nothing.

    Reads safetensors (ours or timm's) and PyTorch files (timm's, torchvision's, Lightning's, the TDAM authors'
    `.pth.tar` and others, see `tdam.checkpoints.weight_files`). Nothing from a file is executed. A file without
    feedback parts loads into a TDAM network of the same backbone: its feedback parts start anew, by default so that
    every step computes what the plain network does (`FeedbackOptions.init`), and the report names them. A plain
    VGG-16 brings its convolutions; the classifier after global pooling starts anew.

    Args:
        model: A network of `tdam.create_model`.
        path: The file.

    Raises:
        CheckpointError: If the file is missing, damaged or unsafe, or if keys or shapes do not fit. Nothing is
            loaded then.
    """
    path, expected = Path(path), model.state_dict()
    content = read_state_dict(path)
    state = _as_linear(in_our_names(model, content, path), expected)
    new_head = _has_replaced_head(model, content)
    # Attentions that started as the identity may carry a divisor, of which a new network knows nothing yet.
    divided = [block for block in _feedback_blocks(model) if f"{block}.attention.divisor" in state]
    expected |= {f"{block}.attention.divisor": state[f"{block}.attention.divisor"] for block in divided}
    # Counters that no forward pass reads; files older than PyTorch 0.4.1, such as torchvision's, lack them.
    missing = [key for key in expected if key not in state and not key.endswith("num_batches_tracked")]
    plain = not any(_is_feedback(key, expected) for key in state)
    initialised = tuple(
        key for key in missing if plain and (_is_feedback(key, expected) or (new_head and key.startswith(NEW_HEAD)))
    )
    problems = _problems(state, expected, [key for key in missing if key not in initialised])
    if problems:
        raise CheckpointError(f"{path} does not fit {type(model).__name__}: {'; '.join(problems)}; nothing was loaded")
    for block in divided:
        _feedback_blocks(model)[block].attention.divide_by_gate()
    model.load_state_dict(state, strict=False)
    if initialised:
        _start_from_plain_weights(model)
    return LoadReport(path, len(state), initialised, find_config(path))


def _as_linear(state: StateDict, expected: Mapping[str, Tensor]) -> StateDict:
    """Weights of 1x1 convolutions ``(C, D, 1, 1)`` as the network's linear layers ``(C, D)`` have them."""
    linear = {key for key, value in expected.items() if value.ndim == 2}
    return {
        key: value.flatten(1) if key in linear and value.shape[2:] == (1, 1) else value for key, value in state.items()
    }


def _feedback_blocks(model: nn.Module) -> dict[str, FeedbackBlock]:
    return {name: module for name, module in model.named_modules() if isinstance(module, FeedbackBlock)}


def _start_from_plain_weights(model: nn.Module) -> None:
    """Start everything that feedback adds, on the weights of a plain network."""
    for module in model.modules():
        if isinstance(module, FeedbackBlock):
            module.start_from_plain_weights()
        if isinstance(module, GatedStage):
            module.reset_gate()
    feedback = getattr(model, "feedback", None)
    if feedback is not None:
        cast(Any, model).feedback = feedback.on_plain_weights()


def in_our_names(model: nn.Module, state: StateDict, path: str | os.PathLike[str]) -> StateDict:
    """Tensors of a file under the names that `model` has for them; those without a place there keep theirs.

    Args:
        model: The network.
        state: Result of `read_state_dict`, in the file's order.
        path: The file, for messages.

    Raises:
        CheckpointError: If the file is of another network of torchvision.
    """
    expected = model.state_dict()
    if is_torchvision(state, expected):
        plain = {key: value for key, value in expected.items() if not _is_feedback(key, expected)}
        try:
            renamed = rename_by_position(state, plain)
        except CheckpointError as error:
            network = type(model).__name__
            raise CheckpointError(f"{path} holds another network of torchvision than {network}: {error}") from error
        norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
        if TORCHVISION_MOBILENET in state and any(norm.eps != 1e-3 for norm in norms):
            raise CheckpointError(
                f"{path} is a MobileNetV3 of torchvision, whose norms have eps 0.001: create it with bn_eps=0.001"
            )
        return renamed
    names = foreign_names(model)
    state = {names.get(key, key): value for key, value in state.items()}
    if not _has_replaced_head(model, state):
        return state
    return {key: value for key, value in state.items() if not key.startswith((*_replaced_head(model), NEW_HEAD))}


def read_state_dict(path: str | os.PathLike[str]) -> StateDict:
    """The tensors of a checkpoint file by name, see `tdam.checkpoints.weight_files`.

    Raises:
        CheckpointError: If the file is missing, damaged or unsafe, or its tensors are no network's weights.
    """
    path = Path(path)
    metadata = _metadata(path)
    state = read_weights(path, as_written=CONFIG_KEY in metadata)
    if CHECKSUM_KEY in metadata and metadata[CHECKSUM_KEY] != _checksum(metadata.get(CONFIG_KEY, ""), state):
        raise CheckpointError(f"{path} is damaged: it does not agree with its checksum; copy it again, or train again")
    for key, value in state.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise CheckpointError(f"{path} is not a trained network: {key} holds NaN or infinite values")
    return state


def save_checkpoint(model: nn.Module, path: str | os.PathLike[str], config: Mapping[str, Any]) -> None:
    """Write a network's weights and its configuration to one safetensors file, atomically.

    Args:
        model: The network.
        path: The file; its folder is made.
        config: JSON-able; `load_model` needs "model", "num_classes" and "model_args", and "trained" says
            whether the weights have seen training at all.

    Raises:
        WriteError: If the file cannot be written; an older file is as it was.
    """
    tensors = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    description = json.dumps(dict(config))
    metadata = {CONFIG_KEY: description, CHECKSUM_KEY: _checksum(description, tensors)}
    write_bytes(Path(path), safetensors.torch.save(tensors, metadata=metadata))


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The configuration inside a checkpoint of ours.

    Raises:
        CheckpointError: If there is none.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}")
    config = find_config(path)
    if config is None:
        raise CheckpointError(f"{path} holds no configuration: it was not written by save_checkpoint")
    return config


def find_config(path: Path) -> dict[str, Any] | None:
    """The configuration inside a checkpoint of ours; None for any other file.

    Raises:
        CheckpointError: If the file is damaged, or its configuration is none that `save_checkpoint` writes.
    """
    metadata = _metadata(path)
    if CONFIG_KEY not in metadata:
        return None
    try:
        config = json.loads(metadata[CONFIG_KEY])
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} has a damaged configuration ({error}): save it again") from error
    fault = _config_fault(config)
    if fault is not None:
        raise CheckpointError(f"{path} has a damaged configuration ({fault}): save it again")
    return config


def _metadata(path: Path) -> dict[str, str]:
    """What is written beside the tensors of a safetensors file; nothing for any other file."""
    if path.suffix != ".safetensors":
        return {}
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except FileNotFoundError as error:
        raise CheckpointError(f"no checkpoint at {path}") from error
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def _checksum(description: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the configuration and the tensors of a file of ours."""
    shapes = sorted((name, str(value.dtype), tuple(value.shape)) for name, value in tensors.items())
    return hashlib.sha256(f"{description} {shapes} {tensors_sha256(tensors)}".encode()).hexdigest()


def _config_fault(config: Any) -> str | None:
    """What is wrong with a configuration, None if nothing is; what it may lack is the business of who needs it."""
    if not isinstance(config, dict):
        return f"{type(config).__name__} in place of names and values"
    classes, names = config.get("num_classes", 1), config.get("class_names")
    if not isinstance(classes, int) or isinstance(classes, bool) or not 0 <= classes <= MOST_CLASSES:
        return f"num_classes {classes!r}"
    if not isinstance(config.get("model", ""), str) or not isinstance(config.get("model_args", {}), dict):
        return "model or model_args of a wrong type"
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        return "class_names that are no list of texts"
    return None


def classes_of(path: str | os.PathLike[str], model: nn.Module) -> int | None:
    """How many classes the network in a file tells apart.

    Args:
        path: The file.
        model: The network it is of, with any number of classes.

    Returns:
        The number, or None where the file holds no classifier that fits the network.

    Raises:
        CheckpointError: If the file is missing, damaged or unsafe.
    """
    state = in_our_names(model, read_state_dict(path), path)
    configuration: Any = getattr(model, "pretrained_cfg", {})
    names = configuration.get("classifier", ())
    weights = (state.get(f"{name}.weight") for name in ((names,) if isinstance(names, str) else names))
    return next((len(weight) for weight in weights if weight is not None and weight.ndim >= 2), None)


def _is_feedback(key: str, expected: Mapping[str, Tensor]) -> bool:
    """Whether a key names a part that the plain network lacks: an attention, a gate, or the norm of a later step."""
    base = re.sub(r"_\d+(\.\w+)$", r"\1", key)
    return ".attention." in key or f".{GATE}." in key or (base != key and base in expected)


def _replaced_head(model: nn.Module) -> tuple[str, ...]:
    """Beginnings of names that plain files hold and the network's family does without."""
    family = family_of(model)
    return () if family is None else family.replaced_head


def _has_replaced_head(model: nn.Module, state: StateDict) -> bool:
    """Whether a file is of a plain network whose classifier does not fit the family's."""
    return any(key.startswith(_replaced_head(model)) for key in state)


def _problems(state: StateDict, expected: Mapping[str, Tensor], missing: list[str]) -> list[str]:
    unknown = [key for key in state if key not in expected]
    shared = [key for key in state if key in expected]
    wrong = [key for key in shared if state[key].shape != expected[key].shape]
    kinds = [
        f"{key} {state[key].dtype} for {expected[key].dtype}"
        for key in shared
        if state[key].is_floating_point() != expected[key].is_floating_point()
    ]
    shapes = [f"{key} {tuple(state[key].shape)} for {tuple(expected[key].shape)}" for key in wrong]
    named = (("missing", missing), ("not in the network", unknown), ("other shapes", shapes), ("other types", kinds))
    problems = [f"{len(keys)} {kind}: {_some(keys)}" for kind, keys in named if keys]
    if not missing and not unknown and shapes and all(key.split(".")[-2:-1] in CLASSIFIERS for key in wrong):
        theirs, ours = len(state[wrong[0]]), len(expected[wrong[0]])
        problems.append(f"it has {theirs} classes, the network {ours}: create the network with num_classes={theirs}")
    return problems


def _some(keys: list[str], most: int = 4) -> str:
    return ", ".join(keys[:most]) + (" …" if len(keys) > most else "")


def foreign_names(model: nn.Module) -> dict[str, str]:
    """Names that tensors of ours have in other people's files -> ours, where they differ."""
    family = family_of(model)
    names = {}
    if family is None:
        return {}
    for key in model.state_dict():
        block, found, part = key.partition(".attention.")
        foreign = [f"{block}.RA_block.{theirs}" for theirs in _authors_parts(model, block, part)] if found else [key]
        names.update({family.foreign_name(name): key for name in foreign})
    return {foreign: ours for foreign, ours in names.items() if foreign != ours}


def _authors_parts(model: nn.Module, block: str, part: str) -> list[str]:
    """The TDAM authors' names of a part of an attention."""
    module, _, parameter = part.rpartition(".")
    top_only = getattr(model.get_submodule(f"{block}.attention"), "attention", None) == "top"
    theirs = {
        "top_reduce": ["Ug_mlp.0"] if top_only else ["Ug_top_mlp.0"],
        "bottom_reduce": ["Ug_bottom_mlp.0"],
        "expand": ["Ug_mlp.2"] if top_only else ["Ug_mlp.0"],
        "mapping": ["Ug_conv"],
        "top_pool": ["top_linear_spatial"],
        "bottom_pool": ["bottom_linear_spatial"],
        # Listed under both names; loading the authors' way, the last wins.
        "shared_pool": ["top_linear_spatial", "bottom_linear_spatial"],
    }.get(module, [])
    return [f"{name}.{parameter}" for name in theirs]

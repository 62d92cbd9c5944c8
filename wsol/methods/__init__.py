"""Training methods of weakly-supervised object localization: image labels in, a network with better maps out.

Each is the method of its paper, with the hyper-parameters that its authors or wsolevaluation (Choe et al., CVPR 2020)
publish; see docs/methods.md.
"""

import inspect
import os
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

import tdam
from tdam.errors import CheckpointError, UserError, check_name
from tdam.models import set_input_size
from wsol.methods.acol import ACoL
from wsol.methods.adl import ADL
from wsol.methods.bas import BAS
from wsol.methods.base import Method, MethodOutput, OwnMaps
from wsol.methods.c2am import C2AM
from wsol.methods.cutmix import CutMix
from wsol.methods.has import HideAndSeek
from wsol.methods.scm import SCM
from wsol.methods.spg import SPG
from wsol.methods.tap import TAP
from wsol.methods.ts_cam import TSCAM
from wsol.opening.architectures import build_saved, is_of_foreign

METHODS: dict[str, type[Method]] = {
    "cam": Method,
    "has": HideAndSeek,
    "cutmix": CutMix,
    "adl": ADL,
    "acol": ACoL,
    "spg": SPG,
    "tap": TAP,
    "bas": BAS,
    "c2am": C2AM,
    "ts-cam": TSCAM,
    "scm": SCM,
}

# What methods whose own layers make the maps ask of a network: timm's have it, whether from its registry or not.
NEEDED = ("forward_features", "get_classifier", "num_classes")


def create_method(name: str, network: nn.Module, options: dict[str, Any] | None = None, **common: Any) -> Method:
    """Training method by name around a network.

    Args:
        name: One of `METHODS`.
        network: A classification network.
        options: Hyper-parameters of the method; the published ones where not given.
        **common: `Method`'s options.

    Raises:
        UnknownNameError: If there is no such method, or it has no such hyper-parameter.
        UserError: If the method does not go with the network or the options.
    """
    method = METHODS[check_name("method", name, METHODS)]
    if issubclass(method, OwnMaps) and not all(hasattr(network, name) for name in NEEDED):
        raise UserError(
            f"method {name} adds layers that make the maps, and takes networks of timm, not a "
            f"{type(network).__name__}: use cam, has or cutmix"
        )
    options = options or {}
    shared = ("self", "network", "options", *inspect.signature(Method).parameters)
    own = [key for key in inspect.signature(method).parameters if key not in shared]
    for key in options:
        check_name(f"hyper-parameter of method {name}", key, own)
    return method(network, **options, **common)


def load_trained(path: str | os.PathLike[str], model: str | None = None) -> tuple[nn.Module, dict[str, Any]]:
    """What a checkpoint of `wsol-train` holds, in eval mode, and its configuration.

    The network for most methods; the whole module for those whose own layers make the maps (`OwnMaps`).

    Args:
        path: The file.
        model: The network as the user names it; only a function named here is called.

    Raises:
        CheckpointError: If the file holds no configuration or does not fit.
    """
    config = tdam.read_config(path)
    name = config.get("method", "cam")
    if not issubclass(METHODS[check_name(f"method in {path}", name, METHODS)], OwnMaps):
        if is_of_foreign(config):
            network = build_saved(config, model)
            tdam.load_checkpoint(network, path)
            return network.eval(), config
        network, _ = tdam.load_model(path)
        return set_input_size(network, *config["input_size"][1:]) if "input_size" in config else network, config
    network = tdam.create_model(config["model"], num_classes=config["num_classes"], **config["model_args"])
    if "input_size" in config:
        set_input_size(network, *config["input_size"][1:])
    method = create_method(name, network, config["training"]["method_args"])
    tdam.load_checkpoint(method, path)
    return method.eval(), config


def method_of_authors(state: Mapping[str, Tensor]) -> str | None:
    """Name of the method whose reference implementation wrote a file's tensors; None for any other file."""
    # The last first: a method that adds to another knows that one's files too.
    return next((name for name in reversed(METHODS) if METHODS[name].is_authors_state(state)), None)


def load_authors(method: Method, state: Mapping[str, Tensor], path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Load the tensors of a file that `method_of_authors` knows, all or nothing.

    Args:
        method: The method around a network that fits.
        state: Result of `tdam.checkpoints.read_state_dict`.
        path: The file, for messages.

    Returns:
        Names of trained parts that the file does not hold: the classifier of C2AM.

    Raises:
        CheckpointError: If names or shapes do not fit.
    """
    own = method.state_dict()
    ours = method.in_our_names(state)
    # A linear classifier may be a 1x1 convolution there.
    ours = {key: value.flatten(1) if key in own and own[key].ndim == 2 else value for key, value in ours.items()}
    unknown = [key for key in ours if key not in own]
    wrong = [key for key in ours if key in own and own[key].shape != ours[key].shape]
    trained = {name for name, parameter in method.named_parameters() if parameter.requires_grad}
    running = {key for key in own if key.endswith(("running_mean", "running_var"))}
    missing = [key for key in own if key not in ours and (key in trained or key in running)]
    untrained = tuple(key for key in missing if key.startswith(method.optional_parts))
    missing = [key for key in missing if key not in untrained]
    if unknown or wrong or missing:
        found = ((unknown, "not in the network"), (wrong, "of another shape"), (missing, "missing"))
        problems = "; ".join(f"{len(keys)} {what} ({keys[0]})" for keys, what in found if keys)
        if wrong:
            theirs, here = (tuple(tensors[wrong[0]].shape) for tensors in (ours, own))
            problems += f"; {wrong[0]} is {theirs} there and {here} here"
        raise CheckpointError(f"{path} does not fit method {type(method).__name__}: {problems}; nothing was loaded")
    method.load_state_dict(ours, strict=False)
    return untrained


__all__ = [
    "METHODS",
    "Method",
    "MethodOutput",
    "OwnMaps",
    "create_method",
    "load_authors",
    "load_trained",
    "method_of_authors",
]

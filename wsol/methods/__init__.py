"""Training methods of weakly-supervised object localization: image labels in, a network with better maps out.

Each is the method of its paper with the hyper-parameters that wsolevaluation (Choe et al., CVPR 2020) publishes.
"""

import inspect
import os
from typing import Any

from torch import nn

import tdam
from tdam.errors import check_name
from wsol.methods.acol import ACoL
from wsol.methods.adl import ADL
from wsol.methods.base import Method, MethodOutput
from wsol.methods.cutmix import CutMix
from wsol.methods.has import HideAndSeek
from wsol.methods.scm import SCM
from wsol.methods.spg import SPG
from wsol.methods.ts_cam import TSCAM

METHODS: dict[str, type[Method]] = {
    "cam": Method,
    "has": HideAndSeek,
    "cutmix": CutMix,
    "adl": ADL,
    "acol": ACoL,
    "spg": SPG,
    "ts-cam": TSCAM,
    "scm": SCM,
}


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
    options = options or {}
    shared = ("self", "network", "options", *inspect.signature(Method).parameters)
    own = [key for key in inspect.signature(method).parameters if key not in shared]
    for key in options:
        check_name(f"hyper-parameter of method {name}", key, own)
    return method(network, **options, **common)


def load_trained(path: str | os.PathLike[str]) -> tuple[nn.Module, dict[str, Any]]:
    """What a checkpoint of `wsol-train` holds, in eval mode, and its configuration.

    The network for most methods; the whole `ACoL` module, whose heads make the maps, for that one.

    Raises:
        CheckpointError: If the file holds no configuration or does not fit.
    """
    config = tdam.read_config(path)
    if config.get("method") != "acol":
        return tdam.load_model(path)
    network = tdam.create_model(config["model"], num_classes=config["num_classes"], **config["model_args"])
    method = create_method("acol", network, config["training"]["method_args"])
    tdam.load_checkpoint(method, path)
    return method.eval(), config


__all__ = ["METHODS", "Method", "MethodOutput", "create_method", "load_trained"]

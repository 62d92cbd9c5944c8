"""The network of a run: built, started from other weights, partly frozen."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

import tdam
from tdam.errors import check_name
from wsol.training.config import TrainingConfig


def create_network(config: TrainingConfig, num_classes: int) -> nn.Module:
    """Build the configured network, its weights as the setting `init` says.

    Raises:
        UserError: If the network, an option of it or its first weights are not to be had.
    """
    pretrained = config.init == "pretrained"
    network = tdam.create_model(config.model, num_classes=num_classes, pretrained=pretrained, **config.model_args)
    if config.init is not None and not pretrained:
        tdam.load_checkpoint(network, config.init)
    return network


def freeze_modules(network: nn.Module, names: Iterable[str]) -> None:
    """Stop training of modules: no gradient, and norms and dropout as in evaluation.

    Call again after ``network.train()``, which undoes the latter.

    Raises:
        UnknownNameError: If a name is no module of the network.
    """
    modules = dict(network.named_modules())
    for name in names:
        check_name("module to freeze", name, [key for key in modules if key])
        modules[name].requires_grad_(False).eval()

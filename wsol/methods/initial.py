"""First weights of new layers, as the reference implementations choose them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


def he_fan_out(weight: Tensor) -> Tensor:
    """Normal with the variance of He et al. (ICCV 2015), by the number of outputs."""
    return nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")


def initialise_convolutions(module: nn.Module, initialise: Callable[[Tensor], Any]) -> None:
    """Give every convolution new weights, and biases of 0."""
    for convolution in module.modules():
        if isinstance(convolution, nn.Conv2d):
            initialise(convolution.weight)
            if convolution.bias is not None:
                nn.init.zeros_(convolution.bias)


def initialise_classifier(network: nn.Module, std: float) -> None:
    """Give a network's classifier normal weights, and biases of 0 (wsolevaluation: std 0.01)."""
    classifier: Any = network
    layer = classifier.get_classifier()
    nn.init.normal_(layer.weight, 0, std)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)

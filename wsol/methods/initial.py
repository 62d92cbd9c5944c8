"""First weights of new layers, as the reference implementations choose them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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


def initialise_classifier(layers: Iterable[nn.Module], std: float) -> None:
    """Give a network's classifying layers normal weights, and biases of 0 (wsolevaluation: std 0.01)."""
    for layer in layers:
        weight, bias = layer.get_parameter("weight"), getattr(layer, "bias", None)
        nn.init.normal_(weight, 0, std)
        if bias is not None:
            nn.init.zeros_(bias)

"""Multiply-accumulate counts by two stated conventions.

"convolutions and linear layers": one multiply-accumulate per weight and output place, biases aside;
every call counts, so a repeated convolution counts as often as it runs.

"ptflops": the convention of ptflops 0.6.2, which the TDAM paper's numbers follow. It adds biases, two
operations per element of an affine batch norm, and one per element of a rectifier or pooling.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from timm.layers import SelectAdaptivePool2d
from torch import Tensor, nn

from tdam.attention import TopDownAttention

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.PReLU, nn.ELU, nn.LeakyReLU)
POOLINGS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, SelectAdaptivePool2d)


class Macs(NamedTuple):
    """Multiply-accumulates of one image.

    Attributes:
        conv_linear: Convolutions and linear layers alone.
        ptflops: By the convention of ptflops 0.6.2.
    """

    conv_linear: int
    ptflops: int


def count_macs(model: nn.Module, input_size: tuple[int, int, int] = (3, 224, 224)) -> Macs:
    """Count what one forward pass of one image computes.

    Args:
        model: Any network of convolutions and linear layers; its mode is kept.
        input_size: Channels, height and width.
    """
    counts = {"conv_linear": 0, "extra": 0}

    def count(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        products, extra = _count_layer(module, inputs, output)
        counts["conv_linear"] += products
        counts["extra"] += extra

    handles = [module.register_forward_hook(count) for module in model.modules() if _counter(module) is not None]
    was_training = model.training
    first = next(model.parameters())
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, *input_size, dtype=first.dtype, device=first.device))
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return Macs(counts["conv_linear"], counts["conv_linear"] + counts["extra"])


def _counter(module: nn.Module) -> Callable[..., tuple[int, int]] | None:
    counters = (
        (CONVOLUTIONS, _count_convolution),
        (nn.Linear, _count_linear),
        (BATCH_NORMS, _count_batch_norm),
        (RECTIFIERS, lambda module, inputs, output: (0, output.numel())),
        (POOLINGS, lambda module, inputs, output: (0, inputs[0].numel())),
        (TopDownAttention, _count_attention),
    )
    return next((counter for types, counter in counters if isinstance(module, types)), None)


def _count_layer(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> tuple[int, int]:
    counter = _counter(module)
    assert counter is not None
    return counter(module, inputs, output)


def _count_convolution(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> tuple[int, int]:
    places = output.numel() // output.shape[1]
    return module.weight.numel() * places, 0 if module.bias is None else output.numel()


def _count_linear(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> tuple[int, int]:
    # ptflops adds a linear layer's bias once, however many rows the layer sees.
    return output.numel() * module.in_features, 0 if module.bias is None else module.out_features


def _count_batch_norm(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> tuple[int, int]:
    return 0, inputs[0].numel() * (2 if module.affine else 1)


def _count_attention(module: TopDownAttention, inputs: tuple[Tensor, ...], output: Tensor) -> tuple[int, int]:
    """The attention's own pooling; its convolutions count by themselves."""
    if not hasattr(module, "top_reduce"):
        return 0, 0
    bottom, top = inputs
    pooled = top.numel() + (0 if module.attention == "top" else bottom.numel())
    return 0, pooled * sum(pooling in ("avg", "max") for pooling in module.pooling)

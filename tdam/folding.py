"""Faster inference: batch norms folded into the convolutions before them, those of every step included."""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from tdam.errors import UserError

BATCH_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)


@torch.no_grad()
def fold_norms(model: nn.Module, input_size: tuple[int, int, int] | None = None) -> nn.Module:
    """A copy of a network without its batch norms, which computes the same in eval mode.

    A convolution that runs in several steps, with a norm in each, becomes one convolution for each
    step. Which norm follows which convolution is read off one forward pass; a convolution whose
    output anything but its norms reads keeps them.

    Args:
        model: Any CNN in eval mode.
        input_size: Channels, height and width for that pass; None: 64 px.

    Raises:
        UserError: If the network is in training mode, where norms depend on the batch.
    """
    if model.training:
        raise UserError("norms can be folded in eval mode only: call model.eval() first")
    folded = copy.deepcopy(model)
    parents = {id(child): (parent, name) for parent in folded.modules() for name, child in parent.named_children()}
    for conv, norms in _pairs(folded, input_size or (3, 64, 64)):
        parent, conv_name = parents[id(conv)]
        for step, norm in enumerate(norms):
            norm_parent, norm_name = parents[id(norm)]
            setattr(parent, f"{conv_name}_{step}" if step else conv_name, _fold(conv, norm))
            # Timm's BatchNormAct2d carries the activation, which stays.
            setattr(norm_parent, norm_name, getattr(norm, "act", None) or nn.Identity())
    return folded


def _pairs(model: nn.Module, input_size: tuple[int, int, int]) -> list[tuple[nn.Conv2d, list[nn.Module]]]:
    """Every convolution with the batch norms that read its output, in order of computation."""
    source: dict[int, nn.Conv2d] = {}
    outputs: list[Tensor] = []  # kept, so that no two outputs share an id
    norms: dict[nn.Conv2d, list[nn.Module]] = defaultdict(list)
    calls: Counter[nn.Conv2d] = Counter()

    def leave_convolution(module: Any, inputs: Any, output: Tensor) -> None:
        calls[module] += 1
        source[id(output)] = module
        outputs.append(output)

    def enter_norm(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        conv = source.get(id(inputs[0]))
        if conv is not None:
            norms[conv].append(module)

    handles = [
        module.register_forward_hook(leave_convolution)
        if isinstance(module, nn.Conv2d)
        else module.register_forward_pre_hook(enter_norm)
        for module in model.modules()
        if isinstance(module, (nn.Conv2d, *BATCH_NORMS))
    ]
    first = next(model.parameters())
    try:
        model(torch.zeros(1, *input_size, dtype=first.dtype, device=first.device))
    finally:
        for handle in handles:
            handle.remove()
    return [(conv, found) for conv, found in norms.items() if len(set(found)) == len(found) == calls[conv]]


def _fold(conv: nn.Conv2d, norm: Any) -> nn.Conv2d:
    folded = copy.deepcopy(conv)
    folded.weight, folded.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    return folded

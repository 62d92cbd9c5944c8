"""How the weights of convolutions lie in memory."""

from __future__ import annotations

import torch
from torch import nn


def lay_out(network: nn.Module, layout: torch.memory_format) -> None:
    """Store the weights of two-dimensional convolutions in a layout; all other tensors stay as they are.

    `nn.Module.to` would take every tensor of four axes, position weights among them, and fails at one of five.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module._parameters.get("weight") is not None:
            module.weight.data = module.weight.data.contiguous(memory_format=layout)

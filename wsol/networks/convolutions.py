"""How the weights of convolutions lie in memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from wsol.networks.discovery import sample_images
from wsol.networks.wrappers import evaluation_mode


def lay_out(network: nn.Module, layout: torch.memory_format) -> None:
    """Store the weights of two-dimensional convolutions in a layout; all other tensors stay as they are.

    `nn.Module.to` would take every tensor of four axes, position weights among them, and fails at one of five.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module._parameters.get("weight") is not None:
            module.weight.data = module.weight.data.contiguous(memory_format=layout)


def lay_channels_last(network: nn.Module, input_size: Sequence[int], inside: nn.Module | None = None) -> bool:
    """Lay the convolutions out with channels last, which is faster, where the network runs so.

    One that takes a map apart by `Tensor.view` does not; its weights are left as PyTorch lays them out.

    Args:
        network: A network in any mode.
        input_size: Channels, height and width of its input.
        inside: What holds the network and further convolutions, if anything does.

    Returns:
        Whether it runs so.
    """
    lay_out(inside or network, torch.channels_last)
    channels, height, width = input_size
    try:
        with evaluation_mode(network), torch.no_grad():
            network(sample_images(network, (height, width), channels))
    except RuntimeError:
        lay_out(inside or network, torch.contiguous_format)
        return False
    return True

"""What every training method is: a module around a network whose forward returns the loss.

The loss is computed inside ``forward`` so that one wrapper (DistributedDataParallel, autocast) sees the whole of it,
whatever extra heads and hooks a method has.
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from wsol.cam import ClassActivationMaps, class_activation_maps


class MethodOutput(NamedTuple):
    """Loss of a batch (scalar) and the logits ``(B, C)`` that the network would predict with."""

    loss: Tensor
    logits: Tensor


class Method(nn.Module):
    """Plain training for class activation maps (Zhou et al., CVPR 2016): cross-entropy on the image label.

    The other methods change what this one does. What is saved and evaluated is `network`.

    Args:
        network: A classification network.
        label_smoothing: Probability spread evenly over all classes.
    """

    def __init__(self, network: nn.Module, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.network = network
        self.label_smoothing = label_smoothing

    def criterion(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of logits ``(B, C)`` with class ids ``(B,)`` or class probabilities ``(B, C)``."""
        smoothing = 0.0 if targets.is_floating_point() else self.label_smoothing
        return F.cross_entropy(logits.float(), targets, label_smoothing=smoothing)

    def forward(self, images: Tensor, targets: Tensor) -> MethodOutput:
        """Loss and logits of preprocessed images ``(B, 3, H, W)``."""
        logits = self.network(images)
        return MethodOutput(self.criterion(logits, targets), logits)

    def class_activation_maps(self, images: Tensor, class_ids: Tensor | None = None) -> ClassActivationMaps:
        """Maps of every step, as the method's paper makes them; see `wsol.class_activation_maps`."""
        return class_activation_maps(self.network, images, class_ids)

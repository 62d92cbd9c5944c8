"""Smooth Grad-CAM++."""

from __future__ import annotations

import torch
from torch import Tensor

from wsol.maps.base import MapMethod
from wsol.maps.gradients.grad_cam_pp import pixel_weights
from wsol.maps.registry import register_method
from wsol.networks import ForwardPass

SAMPLES = 4
NOISE = 0.3


@register_method
class SmoothGradCAMPlusPlus(MapMethod):
    """Grad-CAM++ with derivatives averaged over noisy copies of the image.

    The noise, of standard deviation 0.3 of the normalized image, is the same in every call. As in torchcam, the second
    derivative stands in alpha's numerator and the gradient of the last copy weighs.
    """

    name = "smooth-grad-cam++"
    paper = "Omeiza et al., Smooth Grad-CAM++, 2019 (arXiv:1908.01224)"
    cost = f"1 forward, {SAMPLES} times 1 forward and 1 backward"
    needs = frozenset({"gradients"})

    def maps(self, forward: ForwardPass, class_ids: Tensor) -> Tensor:
        """Rectified weighted sums over channels ``(B, h, w)``."""
        generator = torch.Generator().manual_seed(0)
        activation = forward.features.float()
        second, third = torch.zeros_like(activation), torch.zeros_like(activation)
        gradient = activation
        for _ in range(SAMPLES):
            noise = torch.randn(forward.images.shape, generator=generator).to(forward.images)
            noisy = ForwardPass(forward.network, forward.structure, forward.images + NOISE * noise, differentiable=True)
            ((_, gradient),) = noisy.gradients(class_ids)
            second += gradient.square() / SAMPLES
            third += gradient**3 / SAMPLES
        weights = (pixel_weights(activation, second, third) * gradient.relu()).sum((2, 3), keepdim=True)
        return (weights * activation).sum(1).relu()

"""Grad-CAM, and what the methods of its family share."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from wsol.maps.base import MapMethod
from wsol.maps.layers import fuse_layers
from wsol.maps.registry import register_method
from wsol.networks import ForwardPass


class GradientMethod(MapMethod):
    """Channels of a layer, weighted by the gradient of the class's logit; what is negative in the sum is cut off."""

    cost = "1 forward, 1 backward from the logits to the layer"
    needs = frozenset({"gradients"})
    takes_layers = True

    @abstractmethod
    def weights(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """Weights ``(B, D, 1, 1)``, or ``(B, D, h, w)`` of each place, from both ``(B, D, h, w)``."""

    def maps(self, forward: ForwardPass, class_ids: Tensor) -> Tensor:
        """Rectified weighted sums over channels ``(B, h, w)``; several layers are fused."""
        layers = forward.gradients(class_ids)
        maps = [(self.weights(layer.activation, layer.gradient) * layer.activation).sum(1).relu() for layer in layers]
        return fuse_layers(maps)


@register_method
class GradCAM(GradientMethod):
    """A channel's weight is the mean of its gradient over places.

    Where a linear classifier reads the mean of the layer's places, this is CAM divided by their number and rectified.
    """

    name = "grad-cam"
    paper = "Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks, ICCV 2017"

    def weights(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """``mean(dy/dA)``."""
        return gradient.mean((2, 3), keepdim=True)

"""XGrad-CAM."""

from __future__ import annotations

from torch import Tensor

from wsol.maps.gradients.grad_cam import GradientMethod
from wsol.maps.registry import register_method

EPS = 1e-8


@register_method
class XGradCAM(GradientMethod):
    """A channel's weight is the mean of its gradient, places counted by their activation."""

    name = "xgrad-cam"
    paper = "Fu et al., Axiom-based Grad-CAM, BMVC 2020"

    def weights(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """``sum(dy/dA * A) / sum(A)``."""
        return (gradient * activation).sum((2, 3), keepdim=True) / (activation.sum((2, 3), keepdim=True) + EPS)

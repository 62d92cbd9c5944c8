"""Grad-CAM++."""

from __future__ import annotations

from torch import Tensor

from wsol.maps.gradients.grad_cam import GradientMethod
from wsol.maps.registry import register_method


def pixel_weights(activation: Tensor, second: Tensor, third: Tensor) -> Tensor:
    """Alpha of equation 19, ``second / (2 second + sum(A) third)``: how much a place's gradient counts.

    Args:
        activation: A, ``(B, D, h, w)``.
        second: The gradient squared: the second derivative of the score's exponential, up to a factor.
        third: The gradient cubed.

    Returns:
        ``(B, D, h, w)``; zeros where there is no gradient.
    """
    # Divided by `second` first: squares of small gradients would drown in any constant added against zeros.
    ratio = third / second.where(second > 0, second.new_ones(()))
    denominator = 2 + activation.sum((2, 3), keepdim=True) * ratio
    return (second > 0) / denominator.where(denominator != 0, denominator.new_ones(()))


@register_method
class GradCAMPlusPlus(GradientMethod):
    """A channel's weight is a weighted sum of its positive gradients."""

    name = "grad-cam++"
    paper = "Chattopadhay et al., Grad-CAM++: Generalized Gradient-Based Visual Explanations, WACV 2018"

    def weights(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """``sum(alpha * relu(dy/dA))``."""
        alpha = pixel_weights(activation, gradient.square(), gradient**3)
        return (alpha * gradient.relu()).sum((2, 3), keepdim=True)

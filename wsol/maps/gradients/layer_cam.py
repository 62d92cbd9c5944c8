"""LayerCAM."""

from __future__ import annotations

from torch import Tensor

from wsol.maps.gradients.grad_cam import GradientMethod
from wsol.maps.registry import register_method


@register_method
class LayerCAM(GradientMethod):
    """Every place of every channel weighs as its own positive gradient, which serves earlier, finer layers too."""

    name = "layer-cam"
    paper = "Jiang et al., LayerCAM: Exploring Hierarchical Class Activation Maps for Localization, TIP 2021"

    def weights(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """``relu(dy/dA)``."""
        return gradient.relu()

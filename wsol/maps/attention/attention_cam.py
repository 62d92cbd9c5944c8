"""Grad-CAM on the class token's attention."""

from __future__ import annotations

from torch import Tensor

from wsol.maps.attention.recorded import attention_gradients, recorded_attention
from wsol.maps.base import MapMethod
from wsol.maps.registry import register_method
from wsol.networks import ForwardPass
from wsol.transformers.gradient_maps import attention_cam


@register_method
class AttentionCAM(MapMethod):
    """The last block's class attention, heads weighted by their mean gradient."""

    name = "attention-cam"
    paper = "Chefer et al., Transformer Interpretability Beyond Attention Visualization (a baseline there), CVPR 2021"
    cost = "2 forwards, 1 backward"
    needs = frozenset({"attention", "class token", "gradients"})

    def maps(self, forward: ForwardPass, class_ids: Tensor) -> Tensor:
        """Rectified maps; see `wsol.transformers.gradient_maps.attention_cam`."""
        run = recorded_attention(forward, differentiable=True)
        return attention_cam(run.weights[-1], attention_gradients(forward, class_ids)[-1], run.layout)

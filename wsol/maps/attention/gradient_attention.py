"""Attention weighted by gradients, through all blocks."""

from __future__ import annotations

from torch import Tensor

from wsol.maps.attention.recorded import attention_gradients, recorded_attention
from wsol.maps.base import MapMethod
from wsol.maps.registry import register_method
from wsol.networks import ForwardPass
from wsol.transformers.gradient_maps import attention_relevance


@register_method
class GradientAttention(MapMethod):
    """Relevance of every patch for a class: positive gradient times attention, accumulated from block to block."""

    name = "gradient-attention"
    paper = "Chefer et al., Generic Attention-Model Explainability, ICCV 2021"
    cost = "2 forwards, 1 backward"
    needs = frozenset({"attention", "class token", "gradients"})

    def maps(self, forward: ForwardPass, class_ids: Tensor) -> Tensor:
        """The class token's row of the relevance."""
        run = recorded_attention(forward, differentiable=True)
        return run.layout.class_row(attention_relevance(run.weights, attention_gradients(forward, class_ids)))

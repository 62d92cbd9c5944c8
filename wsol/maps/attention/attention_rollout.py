"""Attention rollout."""

from __future__ import annotations

from torch import Tensor

from wsol.maps.attention.recorded import recorded_attention
from wsol.maps.base import MapMethod
from wsol.maps.registry import register_method
from wsol.networks import ForwardPass
from wsol.transformers.attention_maps import attention_rollout


@register_method
class AttentionRollout(MapMethod):
    """How much of every patch reaches the class token through attention and residual connections of all blocks."""

    name = "attention-rollout"
    paper = "Abnar and Zuidema, Quantifying Attention Flow in Transformers, ACL 2020"
    cost = "2 forwards"
    needs = frozenset({"attention", "class token"})
    class_agnostic = True

    def maps(self, forward: ForwardPass, class_ids: Tensor) -> Tensor:
        """The same map for all classes; `class_ids` are not used."""
        run = recorded_attention(forward)
        return run.layout.class_row(attention_rollout(run.weights))

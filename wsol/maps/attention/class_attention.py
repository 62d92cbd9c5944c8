"""The class token's attention in the last block."""

from __future__ import annotations

from torch import Tensor

from wsol.maps.attention.recorded import recorded_attention
from wsol.maps.base import MapMethod
from wsol.maps.registry import register_method
from wsol.networks import ForwardPass
from wsol.transformers.attention_maps import mean_over_heads


@register_method
class ClassAttention(MapMethod):
    """What the class token attends to in the last block, averaged over heads."""

    name = "class-attention"
    paper = "Caron et al., Emerging Properties in Self-Supervised Vision Transformers (DINO), ICCV 2021"
    cost = "2 forwards"
    needs = frozenset({"attention", "class token"})
    class_agnostic = True

    def maps(self, forward: ForwardPass, class_ids: Tensor) -> Tensor:
        """The same map for all classes; `class_ids` are not used."""
        run = recorded_attention(forward)
        return run.layout.class_row(mean_over_heads(run.weights[-1]))

"""The class token's attention in all blocks."""

from __future__ import annotations

from torch import Tensor

from wsol.maps.attention.recorded import recorded_attention
from wsol.maps.base import MapMethod
from wsol.maps.registry import register_method
from wsol.networks import ForwardPass
from wsol.transformers.attention_maps import summed_attention


@register_method
class AttentionSum(MapMethod):
    """What the class token attends to, averaged over heads and summed over blocks: TS-CAM without its semantics."""

    name = "attention-sum"
    paper = "Gao et al., TS-CAM: Token Semantic Coupled Attention Map, ICCV 2021"
    cost = "2 forwards"
    needs = frozenset({"attention", "class token"})
    class_agnostic = True

    def maps(self, forward: ForwardPass, class_ids: Tensor) -> Tensor:
        """The same map for all classes; `class_ids` are not used."""
        run = recorded_attention(forward)
        return run.layout.class_row(summed_attention(run.weights))

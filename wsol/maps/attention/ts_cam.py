"""The coupling of TS-CAM: class activation maps times attention."""

from __future__ import annotations

import torch
from torch import Tensor

from tdam.errors import UserError
from wsol.maps.attention.recorded import recorded_attention
from wsol.maps.base import MapMethod
from wsol.maps.registry import register_method
from wsol.networks import ForwardPass
from wsol.transformers.attention_maps import summed_attention


@register_method
class CoupledAttention(MapMethod):
    """Class activation map times the class token's attention of all blocks.

    For a classifier that averages patch tokens beside a class token, such as BEiT's. A network trained by
    ``wsol-train --method ts-cam`` makes these maps itself, as method "cam".
    """

    name = "ts-cam"
    paper = "Gao et al., TS-CAM: Token Semantic Coupled Attention Map, ICCV 2021"
    cost = "2 forwards"
    needs = frozenset({"attention", "class token"})

    def maps(self, forward: ForwardPass, class_ids: Tensor) -> Tensor:
        """The exact class activation map, bias included as in TS-CAM, times attention."""
        run = recorded_attention(forward)
        attention = run.layout.class_row(summed_attention(run.weights))
        if forward.structure.form != "weights":
            raise UserError(
                f"the classifier of {type(forward.network).__name__} weighs no patches ({forward.structure.pooling} is "
                "pooled), so there are no semantic maps to couple attention with; train it with "
                "`wsol-train --method ts-cam`, or use gradient-attention"
            )
        form = forward.linear_form()
        semantics = torch.einsum("bd,bdhw->bhw", form.weight[class_ids], form.features)
        rest = form.rest.gather(1, class_ids.view(-1, 1))
        return attention * (semantics + rest[:, :, None])

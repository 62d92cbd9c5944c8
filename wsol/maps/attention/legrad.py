"""LeGrad."""

from __future__ import annotations

import torch
from torch import Tensor

from wsol.maps.attention.recorded import recorded_attention
from wsol.maps.base import MapMethod
from wsol.maps.registry import register_method
from wsol.networks import ForwardPass
from wsol.transformers.gradient_maps import legrad
from wsol.transformers.readout import token_readout


@register_method
class LeGrad(MapMethod):
    """Positive gradients, with respect to attention, of the class's score read from every block's mean token.

    All blocks take part. It needs no class token.
    """

    name = "legrad"
    paper = "Bousselham et al., LeGrad: An Explainability Method for Vision Transformers, ICCV 2025"
    cost = "2 forwards, 1 backward for every block"
    needs = frozenset({"attention", "gradients"})

    def maps(self, forward: ForwardPass, class_ids: Tensor) -> Tensor:
        """Mean over blocks, heads and queries."""
        run = recorded_attention(forward, differentiable=True)
        readout = token_readout(forward.network, run.calls_after)
        gradients: list[Tensor] = []
        for tokens, weights in zip(run.outputs, run.weights, strict=True):
            scores = readout(tokens.mean(dim=1)).gather(1, class_ids.view(-1, 1))
            gradients += torch.autograd.grad(scores.sum(), weights, retain_graph=True)
        return legrad(gradients, run.layout)

"""BagCAMs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from wsol.maps.base import MapMethod
from wsol.maps.layers import fuse_layers
from wsol.maps.registry import register_method
from wsol.networks import ForwardPass
from wsol.networks.outputs import logits_of
from wsol.networks.recorder import Recorder
from wsol.networks.structure import Site


@register_method
class BagCAMs(MapMethod):
    """Every place of a layer votes as a classifier of its own, with the gradient of the logit's logarithm as weights.

    With features F and guided gradients G of ``log z`` at the layer's output, ``T = G * F``, the map is
    ``sum_c relu((1 + mean_hw T_c) * T_c)``. Guided: at every ReLU module no negative gradient goes on. Where the logit
    is negative its logarithm does not exist, but the gradient does and turns the sign, as in the authors' code.

    The layer is the end of the last stage but one, as in every published run, where the network tells its stages; else
    the pooled feature. Other layers: `layers=`.
    """

    name = "bagcams"
    paper = "Zhu et al., Bagging Regional Classification Activation Maps for Weakly Supervised Localization, ECCV 2022"
    cost = "2 forward, 1 backward"
    needs = frozenset({"gradients"})
    takes_layers = True

    def maps(self, forward: ForwardPass, class_ids: Tensor) -> Tensor:
        """Maps ``(B, h, w)``; several layers are fused."""
        sites = [Site(name) for name in forward.layers or default_layer(forward.network)]
        sites = sites or [forward.structure.feature]
        images = forward.images.detach().clone().requires_grad_()
        with torch.enable_grad(), guided(forward.network), Recorder(forward.network, sites) as recorder:
            logits = logits_of(forward.network(images), len(images))
            scores = logits.gather(1, class_ids.view(-1, 1))
            outputs = [recorder[site].output for site in sites]
            # That of log z, also where z is negative: the sign turns before anything is clipped. At 0 nothing votes.
            rate = torch.where(scores == 0, 0.0, 1 / scores).detach()
            gradients = torch.autograd.grad(scores, outputs, grad_outputs=rate)
        pairs = zip(outputs, gradients, strict=True)
        return fuse_layers([vote(forward.as_maps(one.detach()), forward.as_maps(gradient)) for one, gradient in pairs])


def vote(features: Tensor, gradients: Tensor) -> Tensor:
    """The map ``(B, h, w)`` of features and gradients ``(B, D, h, w)``."""
    weighted = gradients * features
    return ((1 + weighted.mean((2, 3), keepdim=True)) * weighted).relu().sum(1)


def default_layer(network: nn.Module) -> tuple[str, ...]:
    """End of the last stage but one of a network that tells its stages as timm's do; empty for others."""
    stages: Any = getattr(network, "feature_info", None)
    names = [stage["module"] for stage in stages] if isinstance(stages, list) else []
    modules = dict(network.named_modules())
    return (names[-2],) if len(names) > 1 and names[-2] in modules else ()


class _NoNegativeGradient(torch.autograd.Function):
    """The same forwards; backwards, negative gradients end here."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        # A copy: a ReLU may work in place.
        return values.clone()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return gradient.clamp_min(0)


@contextmanager
def guided(network: nn.Module) -> Iterator[None]:
    """Clip the gradient to 0 or more at the input of every ReLU (Springenberg et al., ICLR 2015 workshop)."""

    def clip(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        return (_NoNegativeGradient.apply(inputs[0]),)

    handles = [module.register_forward_pre_hook(clip) for module in network.modules() if isinstance(module, nn.ReLU)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()

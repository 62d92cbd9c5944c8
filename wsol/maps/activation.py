"""The class-agnostic activation map."""

from __future__ import annotations

from torch import Tensor

from wsol.maps.base import MapMethod
from wsol.maps.registry import register_method
from wsol.networks import ForwardPass


@register_method
class Activation(MapMethod):
    """The mean of the feature over its channels: where the network responds, whatever the class."""

    name = "activation"
    paper = "Wei et al., Selective Convolutional Descriptor Aggregation, TIP 2017"
    class_agnostic = True

    def maps(self, forward: ForwardPass, class_ids: Tensor) -> Tensor:
        """``mean_d features[d]``; `class_ids` are not used."""
        return forward.features.float().mean(1)

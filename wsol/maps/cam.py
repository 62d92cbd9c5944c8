"""Class activation maps."""

from __future__ import annotations

from torch import Tensor

from wsol.maps.base import MapMethod
from wsol.maps.evidence import maps_of_evidence
from wsol.maps.registry import register_method
from wsol.networks import ForwardPass, Reading
from wsol.networks.reading import gradient_map


@register_method
class CAM(MapMethod):
    """The classifier's weights over the features under global pooling, without bias.

    Exact where the mean of places is what the classifier reads: the mean of a map and the bias are the logit. Through
    a norm after pooling the exact form is used; where there is none, gradients stand in for the weights (see
    `wsol.networks.Structure.form`).
    """

    name = "cam"
    paper = "Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016"

    def maps(self, forward: ForwardPass, class_ids: Tensor) -> Tensor:
        """Maps by gradients; `step_maps` takes the weights where there are some."""
        return gradient_map(forward, class_ids)

    def step_maps(self, reading: Reading, class_ids: Tensor) -> Tensor:
        """Maps of all steps from one forward pass, where the map is linear in the features."""
        evidence = reading.evidence()
        if evidence is None:
            return super().step_maps(reading, class_ids)
        return maps_of_evidence(evidence, class_ids)

"""CAM without negative weights."""

from __future__ import annotations

from torch import Tensor

from wsol.maps.cam import CAM
from wsol.maps.evidence import maps_of_evidence
from wsol.maps.registry import register_method
from wsol.networks import ForwardPass, Reading
from wsol.networks.errors import NetworkError


@register_method
class NegativeWeightClamping(CAM):
    """CAM whose negative classifier weights count as 0: parts of the object that speak against a class stay in its map.

    For the map alone; the logits are the network's.
    """

    name = "nwc"
    paper = "Bae et al., Rethinking Class Activation Mapping for Weakly Supervised Object Localization, ECCV 2020"
    needs = frozenset({"linear classifier"})

    def maps(self, forward: ForwardPass, class_ids: Tensor) -> Tensor:
        """Not without weights.

        Raises:
            NetworkError: Always: gradients that stand in for weights have no sign of a weight.
        """
        raise NetworkError("map method nwc needs a linear classifier over pooled features; use grad-cam or layer-cam")

    def step_maps(self, reading: Reading, class_ids: Tensor) -> Tensor:
        """Maps of all steps from one forward pass.

        Raises:
            NetworkError: If the classifier does not weigh the features.
        """
        evidence = reading.evidence()
        if evidence is None:
            return super().step_maps(reading, class_ids)
        return maps_of_evidence(evidence._replace(classifier_weight=evidence.classifier_weight.clamp_min(0)), class_ids)

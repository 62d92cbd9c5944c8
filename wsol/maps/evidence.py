"""Maps that are linear in the features: classifier weights over places."""

from __future__ import annotations

import torch
from torch import Tensor

import tdam


def maps_of_evidence(outputs: tdam.StepOutputs, class_ids: Tensor) -> Tensor:
    """``sum_d W[class, d] * features[d]`` as float32 ``(T, B, h, w)``, also under autocast, without gradient.

    Args:
        outputs: Features and weights of every step.
        class_ids: Class of every map ``(T, B)``.
    """
    with torch.no_grad(), torch.autocast(outputs.features.device.type, enabled=False):
        weights = outputs.classifier_weight[class_ids].float()
        return torch.einsum("tbd,tbdhw->tbhw", weights, outputs.features.float())

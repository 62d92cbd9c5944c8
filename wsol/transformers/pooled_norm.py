"""The exact class activation map of networks that normalize after pooling (ViT with ``fc_norm``, ConvNeXt).

Such a network computes ``W . (gamma * (m - mean(m)) / sigma + beta) + b`` from the mean token m. Applying the norm
to every token instead gives other logits. With sigma, the standard deviation of the image's own m, held fixed,
the expression is linear in the tokens, so every token has its exact share.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class LinearForm(NamedTuple):
    """``logits = weight . pooled + bias``, exact for the image it was made for.

    Attributes:
        weight: ``(B, C, D)``, an image's own weights.
        bias: ``(C,)``.
    """

    weight: Tensor
    bias: Tensor


def through_layer_norm(pooled: Tensor, weight: Tensor, bias: Tensor | None, norm: nn.LayerNorm) -> LinearForm:
    """Weights over pooled features that include a LayerNorm between pooling and classifier.

    Args:
        pooled: Pooled features ``(B, D)``, before the norm.
        weight: The classifier's ``(C, D)``.
        bias: The classifier's ``(C,)``, or None.
        norm: The norm over D, with or without scale and shift.

    Returns:
        The linear form: ``einsum("bcd,bdhw->bchw", weight, features)`` averages, plus bias, to the logits.
    """
    scale = torch.ones_like(pooled[0]) if norm.weight is None else norm.weight
    shift = torch.zeros_like(pooled[0]) if norm.bias is None else norm.bias
    sigma = (pooled.var(dim=1, unbiased=False) + norm.eps).sqrt()
    scaled = weight * scale
    centred = scaled - scaled.mean(dim=1, keepdim=True)
    constant = weight @ shift
    return LinearForm(centred / sigma[:, None, None], constant if bias is None else constant + bias)

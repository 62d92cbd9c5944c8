"""Maps of several layers, fused into one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def fuse_layers(maps: Sequence[Tensor], sharpness: float = 2.0) -> Tensor:
    """LayerCAM's fusion: every layer's maps scaled by ``tanh(sharpness * M / max M)``, then the largest at each place.

    Args:
        maps: Maps ``(B, h, w)`` of every layer, not negative; smaller ones are enlarged bilinearly to the largest.
        sharpness: The gamma of Jiang et al. (TIP 2021), equation 9.

    Returns:
        ``(B, h, w)``; those of a single layer as they are.
    """
    if len(maps) == 1:
        return maps[0]
    size = max((tuple(one.shape[1:]) for one in maps), key=lambda shape: shape[0] * shape[1])
    scaled = []
    for one in maps:
        share = one / one.amax((1, 2), keepdim=True).clamp_min(torch.finfo(one.dtype).tiny)
        scaled.append(F.interpolate((sharpness * share).tanh()[:, None], size, mode="bilinear")[:, 0])
    return torch.stack(scaled).amax(0)

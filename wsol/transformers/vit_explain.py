"""Rollout as the script vit-explain computes it (jacobgil/vit-explain at 15a81d35), faults included.

Many figures in papers and posts come from that script. It is kept to compare with them, not to localize with, so it
is no map method by name: use attention-rollout or gradient-attention. Against Abnar and Zuidema it differs in that

- heads may be joined by maximum or minimum, and the smallest entries of every block are set to zero;
- *columns* are divided by row sums, a broadcast without ``keepdim`` (its issue 16);
- with gradients, blocks are paired with gradients in reverse order (its issue 6), and these are gradients with
  respect to the scores before the softmax, which is what its hook receives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tdam.errors import check_name

HEAD_FUSIONS: dict[str, Callable[..., Tensor]] = {"mean": torch.mean, "max": torch.amax, "min": torch.amin}


def vit_explain_rollout(weights: Sequence[Tensor], head_fusion: str = "mean", discard: float = 0.9) -> Tensor:
    """The script's rollout.

    Args:
        weights: Attention ``(B, H, N, N)`` of every block, first block first.
        head_fusion: "mean", "max" or "min" over heads.
        discard: Share of every block's entries that are set to zero, smallest first; the first entry is spared.

    Returns:
        ``(B, N, N)``; the script shows the class token's row divided by its maximum.

    Raises:
        UnknownNameError: If `head_fusion` is unknown.
    """
    check_name("head fusion", head_fusion, HEAD_FUSIONS)
    fuse = HEAD_FUSIONS[head_fusion]
    return _product([_discarded(fuse(block, dim=1), discard, spare_first=True) for block in weights])


def vit_explain_gradient_rollout(
    weights: Sequence[Tensor], gradients: Sequence[Tensor], discard: float = 0.9
) -> Tensor:
    """The script's rollout with gradients.

    Args:
        weights: Attention ``(B, H, N, N)`` of every block, first block first.
        gradients: Gradient of the class's logit with respect to each of them, in the same order; those before the
            softmax follow from them.
        discard: Share of every block's entries that are set to zero, smallest first.

    Returns:
        ``(B, N, N)``.
    """
    scores = [
        block * (gradient - (gradient * block).sum(-1, keepdim=True))
        for block, gradient in zip(weights, gradients, strict=True)
    ]
    fused = [
        (block * gradient).mean(dim=1).clamp_min(0) for block, gradient in zip(weights, reversed(scores), strict=True)
    ]
    return _product([_discarded(block, discard, spare_first=False) for block in fused])


def _discarded(fused: Tensor, discard: float, spare_first: bool) -> Tensor:
    """The smallest entries of every matrix ``(B, N, N)`` set to zero."""
    flat = fused.flatten(1)
    smallest = flat.topk(int(flat.shape[1] * discard), dim=1, largest=False).indices
    kept = flat.scatter(1, smallest, 0.0)
    if spare_first:
        kept[:, 0] = flat[:, 0]
    return kept.view_as(fused)


def _product(blocks: Sequence[Tensor]) -> Tensor:
    """Product of ``(A + I) / 2``, later blocks on the left, column j divided by the sum of row j."""
    identity = torch.eye(blocks[0].shape[-1], dtype=blocks[0].dtype, device=blocks[0].device)
    result = identity.expand_as(blocks[0])
    for block in blocks:
        mixed = (block + identity) / 2
        result = mixed / mixed.sum(dim=-1)[:, None, :] @ result
    return result

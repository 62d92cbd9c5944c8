"""Maps from attention weights alone: they need no gradient and know no class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def mean_over_heads(weights: Tensor) -> Tensor:
    """Attention ``(B, H, N, N)`` averaged over heads, ``(B, N, N)``."""
    return weights.mean(dim=1)


def attention_rollout(weights: Sequence[Tensor], start: int = 0) -> Tensor:
    """How much of every input token reaches every output token (Abnar and Zuidema, ACL 2020).

    The product, later blocks on the left, of the blocks' attention averaged over heads, plus the identity for the
    residual connection, with rows normalized to sum 1.

    Args:
        weights: Attention ``(B, H, N, N)`` of every block, first block first.
        start: First block that takes part.

    Returns:
        ``(B, N, N)``, rows are output tokens; every row sums to 1.

    Raises:
        ValueError: If no block is left.
    """
    chosen = weights[start:]
    if start < 0 or not chosen:
        raise ValueError(f"start must name one of the {len(weights)} blocks, got {start}")
    rollout: Tensor | None = None
    for block in chosen:
        mixed = mean_over_heads(block)
        mixed = mixed + torch.eye(mixed.shape[-1], dtype=mixed.dtype, device=mixed.device)
        mixed = mixed / mixed.sum(dim=-1, keepdim=True)
        rollout = mixed if rollout is None else mixed @ rollout
    assert rollout is not None
    return rollout


def summed_attention(weights: Sequence[Tensor]) -> Tensor:
    """Sum over blocks of the attention averaged over heads, ``(B, N, N)``.

    The class token's row is TS-CAM's attention map (Gao et al., ICCV 2021): no residual, no normalization.

    Args:
        weights: Attention ``(B, H, N, N)`` of every block.
    """
    return torch.stack([mean_over_heads(block) for block in weights]).sum(dim=0)

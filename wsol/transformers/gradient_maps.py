"""Maps from attention weights and gradients: they tell classes apart."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from wsol.transformers.layout import TokenLayout


def attention_relevance(weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    """Relevance of every input token for a class (Chefer et al., ICCV 2021, the rule of self-attention).

    ``R`` starts as the identity; every block, first to last, adds ``mean_heads(relu(gradient * attention)) R``.
    Rows are not normalized.

    Args:
        weights: Attention ``(B, H, N, N)`` of every block, first block first.
        gradients: Gradient of the class's logit with respect to each of them.

    Returns:
        ``R`` ``(B, N, N)``; the row of the token that is classified is the map.
    """
    first = weights[0]
    relevance = torch.eye(first.shape[-1], dtype=first.dtype, device=first.device).expand(first.shape[0], -1, -1)
    for attention, gradient in zip(weights, gradients, strict=True):
        relevance = relevance + (gradient * attention).clamp_min(0).mean(dim=1) @ relevance
    return relevance


def attention_cam(attention: Tensor, gradient: Tensor, layout: TokenLayout) -> Tensor:
    """Grad-CAM on the heads of one block's class attention (the comparison of Chefer et al., CVPR 2021).

    A head weighs as much as its gradient is on average over the patches; the weighted mean over heads is
    rectified.

    Args:
        attention: ``(B, H, N, N)`` of the last block.
        gradient: Gradient of the class's logit with respect to it.
        layout: Where the patches stand.

    Returns:
        Maps ``(B, h, w)``, not normalized.
    """
    head_weights = layout.class_row(gradient).mean(dim=(-2, -1), keepdim=True)
    return (head_weights * layout.class_row(attention)).mean(dim=1).clamp_min(0)


def legrad(gradients: Sequence[Tensor], layout: TokenLayout) -> Tensor:
    """LeGrad (Bousselham et al., ICCV 2025): how sensitive every block's own score is to attention to each patch.

    Positive gradients, averaged over heads, over all queries and over blocks. Attention itself does not enter.

    Args:
        gradients: Of every chosen block: gradient ``(B, H, N, N)``, with respect to its attention, of the class's
            score read from the mean of its output tokens.
        layout: Where the patches stand.

    Returns:
        Maps ``(B, h, w)``, not normalized.
    """
    per_block = torch.stack([gradient.clamp_min(0).mean(dim=(1, 2)) for gradient in gradients])
    return layout.patch_columns(per_block.mean(dim=0))


def token_grad_cam(activation: Tensor, gradient: Tensor) -> Tensor:
    """Grad-CAM (Selvaraju et al., ICCV 2017) without its final ReLU.

    Tokens must be feature maps already (`TokenLayout.patch_tokens`): on ``(B, N, D)`` the token axis would pass for
    channels.

    Args:
        activation: Feature map ``(B, D, h, w)``.
        gradient: Gradient of the class's logit with respect to it.

    Returns:
        Maps ``(B, h, w)``.
    """
    return (gradient.mean(dim=(2, 3), keepdim=True) * activation).sum(dim=1)

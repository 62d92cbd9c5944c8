"""The activation diffusion of SCM: activation spreads over the grid to places of like semantics.

Equations of Bai et al., ECCV 2022. All of it runs in float32 or float64, also under autocast: ``q - tanh(q)`` of
small q loses its digits in float32 already, and bfloat16 shifts the logits by several percent.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

STEP = 0.002  # of the inverse's first guess; it converges where STEP * sigma_max(X)^2 < 2


class ActivationDiffusion(nn.Module):
    """One block: spreads an activation map and raises semantic maps where it arrives.

    Args:
        iterations: Newton-Schulz iterations of the inverse. Few leave it far from the true inverse on purpose.
    """

    def __init__(self, iterations: int) -> None:
        super().__init__()
        self.iterations = iterations
        self.threshold = nn.Parameter(torch.full((1,), 0.5))
        self.rate = nn.Parameter(torch.ones(1))

    def forward(self, semantics: Tensor, activation: Tensor, similarity: Tensor) -> tuple[Tensor, Tensor]:
        """Spread once.

        Args:
            semantics: ``(B, C, h, w)``.
            activation: ``(B, h * w)``, row by row.
            similarity: `semantic_similarity` ``(B, n, n)`` of the semantics. A block scales all classes at a place
                alike, which leaves it as it was, so all blocks can share it.

        Returns:
            Semantics and activation, changed. The activation is not normalized again; its maximum exceeds 1.
        """
        fused = self.fusion(similarity, semantics.shape[-2:])
        spread = torch.einsum("bij,bi->bj", fused, activation)
        relative = spread / (self.threshold * activation.amax(dim=1, keepdim=True))
        gain = min_max(relative - relative.tanh())
        return semantics * (1 + gain.view(-1, 1, *semantics.shape[-2:])), activation + gain

    def fusion(self, similarity: Tensor, grid: tuple[int, int] | torch.Size) -> Tensor:
        """The matrix ``(B, n, n)`` that spreads: an approximate inverse of Laplacian times (rate * similarity - 1)."""
        rows, columns = grid
        laplacian = grid_laplacian(rows, columns, like=similarity)
        return newton_schulz_inverse(laplacian * (self.rate * similarity - 1), self.iterations)


def grid_laplacian(rows: int, columns: int, like: Tensor) -> Tensor:
    """Degree minus adjacency ``(n, n)`` of a grid whose places have four neighbours, row by row."""

    def path(length: int) -> Tensor:
        return torch.diag(like.new_ones(length - 1), 1) + torch.diag(like.new_ones(length - 1), -1)

    adjacency = torch.kron(torch.eye(rows, dtype=like.dtype, device=like.device), path(columns))
    adjacency = adjacency + torch.kron(path(rows), torch.eye(columns, dtype=like.dtype, device=like.device))
    return torch.diag(adjacency.sum(1)) - adjacency


def semantic_similarity(semantics: Tensor) -> Tensor:
    """Cosine similarity ``(B, n, n)`` of the class scores ``(B, C, h, w)`` of any two places."""
    vectors = semantics.flatten(2)
    vectors = vectors / vectors.norm(dim=1, keepdim=True)
    return vectors.transpose(1, 2) @ vectors


def newton_schulz_inverse(matrix: Tensor, iterations: int) -> Tensor:
    """Approximate inverse of matrices ``(B, n, n)``: ``Z <- Z (2 I - X Z)`` from ``Z = 0.002 X^T``.

    The first guess carries no gradient, the iterations do.
    """
    twice = 2 * torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    inverse = STEP * matrix.detach().transpose(1, 2)
    for _ in range(iterations):
        inverse = inverse @ (twice - matrix @ inverse)
    return inverse


def min_max(values: Tensor) -> Tensor:
    """Each row of ``(B, n)`` stretched to [0, 1]; a row of equal values has no contrast and becomes zeros."""
    low, high = values.amin(dim=1, keepdim=True), values.amax(dim=1, keepdim=True)
    span = high - low
    return torch.where(span > 0, (values - low) / torch.where(span > 0, span, 1), 0)

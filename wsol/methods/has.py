"""Hide-and-Seek (Singh and Lee, ICCV 2017)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from wsol.methods.base import Method, MethodOutput


class HideAndSeek(Method):
    """Hides random squares of every training image, so that no single part suffices.

    Args:
        network: A classification network.
        grid_size: Side of the squares in pixels of the network's input. The paper draws it from 16 to 56 for
            224 px; wsolevaluation fixes it, to 4 by default.
        drop_rate: Probability that a square is hidden (paper and wsolevaluation: 0.5).
        **options: See `Method`.
    """

    def __init__(self, network: nn.Module, grid_size: int = 4, drop_rate: float = 0.5, **options: Any) -> None:
        super().__init__(network, **options)
        self.grid_size = grid_size
        self.drop_rate = drop_rate

    def forward(self, images: Tensor, targets: Tensor) -> MethodOutput:
        """Loss and logits of images ``(B, 3, H, W)`` with squares hidden."""
        return super().forward(hide_squares(images, self.grid_size, self.drop_rate), targets)


def hide_squares(images: Tensor, grid_size: int, drop_rate: float) -> Tensor:
    """Set random squares of a grid, drawn per image, to 0: the mean colour of normalized images, as in the paper.

    Squares at the right and lower border are cut off where the image is no multiple of `grid_size`.
    """
    batch, _, height, width = images.shape
    grid = torch.rand(batch, 1, -(-height // grid_size), -(-width // grid_size), device=images.device) > drop_rate
    kept = grid.repeat_interleave(grid_size, 2).repeat_interleave(grid_size, 3)[:, :, :height, :width]
    return images * kept

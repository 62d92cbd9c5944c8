"""CutMix (Yun et al., ICCV 2019)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsol.methods.base import Method, MethodOutput
from wsol.opening.architectures import num_classes_of


class CutMix(Method):
    """Pastes a random box of another image of the batch and mixes the labels by area.

    One box and one permutation for the whole batch, as the authors and wsolevaluation draw them; timm's CutMix pairs
    image i with image B-1-i, and its boxes of odd size are a pixel larger.

    Args:
        network: A classification network.
        beta: Both parameters of the Beta distribution of the area kept (wsolevaluation: 1).
        prob: Probability that a batch is mixed (wsolevaluation: 1).
        **options: See `Method`.
    """

    def __init__(self, network: nn.Module, beta: float = 1.0, prob: float = 1.0, **options: Any) -> None:
        super().__init__(network, **options)
        self.num_classes = num_classes_of(network)
        self.beta = beta
        self.prob = prob

    def forward(self, images: Tensor, targets: Tensor) -> MethodOutput:
        """Loss on mixed images ``(B, 3, H, W)`` and mixed labels ``(B,)`` of class ids."""
        if torch.rand(()) >= self.prob:
            return super().forward(images, targets)
        kept = float(torch.distributions.Beta(self.beta, self.beta).sample())
        height, width = images.shape[-2:]
        centre = int(torch.randint(height, ())), int(torch.randint(width, ()))
        partner = torch.randperm(len(images), device=images.device)
        top, left, bottom, right = cut_box((height, width), kept, centre)
        mixed = images.clone()
        mixed[..., top:bottom, left:right] = images[partner, ..., top:bottom, left:right]
        kept = 1 - (bottom - top) * (right - left) / (height * width)
        return super().forward(mixed, self._mixed_labels(targets, targets[partner], kept))

    def _mixed_labels(self, targets: Tensor, pasted: Tensor, kept: float) -> Tensor:
        classes = self.num_classes
        own, other = (F.one_hot(ids, classes).float() for ids in (targets, pasted))
        mixed = kept * own + (1 - kept) * other
        return mixed * (1 - self.label_smoothing) + self.label_smoothing / classes


def cut_box(size: tuple[int, int], kept: float, centre: tuple[int, int]) -> tuple[int, int, int, int]:
    """The box that is replaced: of the image's aspect, half its size to each side of the centre, cut at the border.

    Args:
        size: Height and width of the images in pixels.
        kept: Share of the area that is kept where nothing is cut.
        centre: Row and column.

    Returns:
        First row, first column, and row and column past the end.

    >>> cut_box((64, 64), 0.75, (10, 40))
    (0, 24, 26, 56)
    """
    share = (1 - kept) ** 0.5
    half = [int(side * share) // 2 for side in size]
    first = [max(middle - reach, 0) for middle, reach in zip(centre, half, strict=True)]
    past = [min(middle + reach, side) for middle, reach, side in zip(centre, half, size, strict=True)]
    return first[0], first[1], past[0], past[1]

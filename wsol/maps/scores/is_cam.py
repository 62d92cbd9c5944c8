"""IS-CAM."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from wsol.maps.registry import register_method
from wsol.maps.scores.score_cam import MaskedScores, ScoreCAM

STEPS = 10


@register_method
class ISCAM(ScoreCAM):
    """Score-CAM with scores integrated along masked images that grow, with the factors of torchcam."""

    name = "is-cam"
    paper = "Naidu et al., IS-CAM: Integrated Score-CAM, 2020 (arXiv:2010.03023)"
    cost = f"1 + {STEPS} D forwards"

    def masked(self, image: Tensor, masks: Tensor) -> Iterator[MaskedScores]:
        """Masked images times ``sum_{j <= i} j / 10``."""
        for step in range(1, STEPS + 1):
            yield MaskedScores(image, masks, scale=step * (step + 1) / 2 / STEPS)

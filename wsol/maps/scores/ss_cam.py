"""SS-CAM."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from wsol.maps.registry import register_method
from wsol.maps.scores.score_cam import MaskedScores, ScoreCAM

SAMPLES = 35
NOISE = 2.0


@register_method
class SSCAM(ScoreCAM):
    """Score-CAM with scores averaged over noisy masks; the noise is the same in every call."""

    name = "ss-cam"
    paper = "Wang et al., SS-CAM: Smoothed Score-CAM, 2020 (arXiv:2006.14255)"
    cost = f"1 + {SAMPLES} D forwards"

    def masked(self, image: Tensor, masks: Tensor) -> Iterator[MaskedScores]:
        """Masks with noise of standard deviation 2, 35 times."""
        for sample in range(SAMPLES):
            yield MaskedScores(image, masks, noise=NOISE, seed=sample)

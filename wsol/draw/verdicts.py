"""Right or wrong: what a figure writes beside a box whose ground truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsol.draw.drawable import Drawable
from wsol.sweep.conventions import box_iou

RIGHT, WRONG = "✓", "✗"


@dataclass(frozen=True)
class Verdict:
    """Whether a step is right. An evaluation passes on what it decided; others use `verdicts`.

    Attributes:
        localized: Whether the box meets the ground truth.
        iou: IoU with the ground-truth box it fits best, in [0, 1]; None where it is not known.
        class_correct: Whether the class is right; None where it is not known.
    """

    localized: bool
    iou: float | None = None
    class_correct: bool | None = None

    @property
    def box_text(self) -> str:
        """The line under the class: a mark, and the IoU where it is known."""
        mark = RIGHT if self.localized else WRONG
        return f"{mark} box" if self.iou is None else f"{mark} IoU {self.iou:.2f}"

    @property
    def class_text(self) -> str:
        """The mark before the class, empty where it is not known."""
        return "" if self.class_correct is None else f"{RIGHT if self.class_correct else WRONG} "


def verdicts(localization: Drawable, truth: npt.ArrayLike, iou_threshold: float = 0.5) -> tuple[Verdict, ...]:
    """Judge the boxes of every step against ground truth, by the rule of GT-known localization.

    Args:
        localization: The image with its steps.
        truth: ``(K, 4)`` ground-truth boxes x0 y0 x1 y1 in the image's pixels, K at least 1.
        iou_threshold: A box is right if its IoU with some ground-truth box is at least this.

    Returns:
        One verdict per step; both ends of a box belong to it.
    """
    boxes = np.stack([step.box for step in localization.steps])
    best = box_iou(boxes, np.asarray(truth).reshape(-1, 4)).max(axis=1)
    return tuple(Verdict(bool(iou >= iou_threshold), float(iou)) for iou in best)


def verdicts_if_known(localization: Drawable, truth: npt.ArrayLike | None) -> Sequence[Verdict | None]:
    """`verdicts`, or as many None where there is no ground-truth box."""
    if truth is None or not np.size(truth):
        return [None] * len(localization.steps)
    return verdicts(localization, truth)

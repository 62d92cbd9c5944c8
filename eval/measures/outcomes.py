"""Why images are not localized: kinds of error.

The kinds are those of TS-CAM (Gao et al., ICCV 2021; vasgaowei/TS-CAM@25aece4, `get_badcase_detail`).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from wsol.sweep import box_iou


class Outcome(IntEnum):
    """What became of an image; the first that applies, in this order.

    With B the box, G the ground-truth box it overlaps best (by IoU), areas by the protocol's convention:

    - ``UNREADABLE``: the image could not be read; it counts as a miss.
    - ``NO_BOX``: the image has no ground-truth box; it counts for classification only and in no kind of error.
    - ``WRONG_CLASS``: the top class is not the label.
    - ``CORRECT``: the protocol counts a Top-1 hit (`eval.judging.hits`). Its share is Top-1 Loc (GT-known Loc where
      no class is known).
    - ``SEVERAL_OBJECTS``: B covers more than 30 % of each of at least two ground-truth boxes.
    - ``PART``: more than half of B lies inside G.
    - ``MORE``: at least 70 % of G lies inside B.
    - ``MISSED``: everything else.
    """

    CORRECT = 0
    WRONG_CLASS = 1
    SEVERAL_OBJECTS = 2
    PART = 3
    MORE = 4
    MISSED = 5
    UNREADABLE = 6
    NO_BOX = 7


SEVERAL_COVERED, PART_INSIDE, MORE_COVERED = 0.3, 0.5, 0.7


def outcome(
    box: npt.NDArray[Any],
    truth: npt.NDArray[Any],
    class_correct: bool | None,
    hit: bool,
    closed_pixels: bool = True,
) -> Outcome:
    """What became of one image that could be read and has ground-truth boxes.

    Args:
        box: ``(4,)`` found box in score-map pixels.
        truth: ``(K, 4)`` ground-truth boxes in score-map pixels, K at least 1.
        class_correct: Whether the top class is the label; None where only maps are known.
        hit: Whether the image is found: Top-1 Loc, or GT-known Loc where only maps are known.
        closed_pixels: Whether a box's last pixels belong to it, so that its area is ``(x1 - x0 + 1)(y1 - y0 + 1)``.
    """
    if class_correct is not None and not class_correct:
        return Outcome.WRONG_CLASS
    if hit:
        return Outcome.CORRECT
    best = int(box_iou(box[None], truth, closed_pixels)[0].argmax())
    overlap, area, areas = _areas(box, truth, closed_pixels)
    covered = np.divide(overlap, areas, out=np.zeros_like(overlap), where=areas > 0)
    if (covered > SEVERAL_COVERED).sum() > 1:
        return Outcome.SEVERAL_OBJECTS
    if area > 0 and overlap[best] / area > PART_INSIDE:
        return Outcome.PART
    if covered[best] >= MORE_COVERED:
        return Outcome.MORE
    return Outcome.MISSED


def count_outcomes(found: npt.NDArray[np.uint8]) -> dict[str, int]:
    """Number of images of every outcome, those without a ground-truth box left out.

    >>> count_outcomes(np.array([0, 0, 3, 7], dtype=np.uint8))
    {'correct': 2, 'wrong_class': 0, 'several_objects': 0, 'part': 1, 'more': 0, 'missed': 0, 'unreadable': 0}
    """
    counts = np.bincount(found, minlength=len(Outcome))
    return {kind.name.lower(): int(counts[kind]) for kind in Outcome if kind is not Outcome.NO_BOX}


def _areas(
    box: npt.NDArray[Any], truth: npt.NDArray[Any], closed_pixels: bool
) -> tuple[npt.NDArray[np.float64], float, npt.NDArray[np.float64]]:
    """Overlaps ``(K,)`` of a box with ground-truth boxes, its area, and theirs ``(K,)``."""
    plus = 1.0 if closed_pixels else 0.0
    a, b = np.asarray(box, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    sides = np.minimum(a[2:], b[:, 2:]) - np.maximum(a[:2], b[:, :2]) + plus
    return sides.clip(0).prod(axis=1), float((a[2:] - a[:2] + plus).prod()), (b[:, 2:] - b[:, :2] + plus).prod(axis=1)

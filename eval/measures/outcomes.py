"""Why images are not localized, and which ones: kinds of error, object sizes, classes.

The kinds are those of TS-CAM (Gao et al., ICCV 2021; vasgaowei/TS-CAM@25aece4, `get_badcase_detail`).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.protocols import Protocol
from wsol.errors import InputError
from wsol.sweep import box_iou


class Outcome(IntEnum):
    """What became of an image; the first that applies, in this order.

    With B the box, G the ground-truth box it overlaps best (by IoU), areas by the protocol's convention:

    - ``WRONG_CLASS``: the top class is not the label.
    - ``CORRECT``: the protocol counts a Top-1 hit. Its share is Top-1 Loc (GT-known Loc where no class
      is known).
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


SEVERAL_COVERED, PART_INSIDE, MORE_COVERED = 0.3, 0.5, 0.7

# Upper ends of the share of the image that its largest ground-truth box takes.
SIZE_BUCKETS = {"below 10 %": 0.1, "10 to 25 %": 0.25, "25 to 50 %": 0.5, "50 % and more": np.inf}


def outcome(
    box: npt.NDArray[Any],
    truth: npt.NDArray[Any],
    class_correct: bool | None,
    protocol: Protocol,
    iou_threshold: float = 0.5,
) -> Outcome:
    """What became of one image.

    Args:
        box: ``(4,)`` found box in score-map pixels.
        truth: ``(K, 4)`` ground-truth boxes in score-map pixels.
        class_correct: Whether the top class is the label; None where only maps are known.
        protocol: Decides areas and hits.
        iou_threshold: IoU demanded.
    """
    if class_correct is not None and not class_correct:
        return Outcome.WRONG_CLASS
    closed = protocol.convention.closed_pixels
    iou = box_iou(box[None], truth, closed)[0]
    best = int(iou.argmax())
    if protocol.hit(iou[best], iou_threshold, "gt_known_loc" if class_correct is None else "top_k_loc"):
        return Outcome.CORRECT
    overlap, area, areas = _areas(box, truth, closed)
    covered = np.divide(overlap, areas, out=np.zeros_like(overlap), where=areas > 0)
    if (covered > SEVERAL_COVERED).sum() > 1:
        return Outcome.SEVERAL_OBJECTS
    if area > 0 and overlap[best] / area > PART_INSIDE:
        return Outcome.PART
    if covered[best] >= MORE_COVERED:
        return Outcome.MORE
    return Outcome.MISSED


def outcomes(
    boxes: npt.NDArray[Any],
    truth: Sequence[npt.NDArray[Any]],
    class_correct: npt.NDArray[np.bool_] | None,
    protocol: Protocol,
    iou_threshold: float = 0.5,
) -> npt.NDArray[np.uint8]:
    """`outcome` of N images, as the numbers of `Outcome`.

    Args:
        boxes: ``(N, 4)`` found boxes in score-map pixels.
        truth: N arrays ``(K_i, 4)`` in score-map pixels.
        class_correct: ``(N,)`` bool, or None where only maps are known.
        protocol: Decides areas and hits.
        iou_threshold: IoU demanded.

    Raises:
        InputError: If the numbers of images differ.
    """
    known: Sequence[bool | None] = [None] * len(boxes) if class_correct is None else class_correct.tolist()
    if not len(boxes) == len(truth) == len(known):
        raise InputError(f"boxes of {len(boxes)} images, ground truth of {len(truth)}, classes of {len(known)}")
    found = [outcome(*image, protocol, iou_threshold) for image in zip(boxes, truth, known, strict=True)]
    return np.array(found, dtype=np.uint8)


def count_outcomes(found: npt.NDArray[np.uint8]) -> dict[str, int]:
    """Number of images of every outcome.

    >>> count_outcomes(np.array([0, 0, 3], dtype=np.uint8))
    {'correct': 2, 'wrong_class': 0, 'several_objects': 0, 'part': 1, 'more': 0, 'missed': 0}
    """
    counts = np.bincount(found, minlength=len(Outcome))
    return {kind.name.lower(): int(counts[kind]) for kind in Outcome}


def size_buckets(boxes: Sequence[npt.NDArray[Any]], sizes: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Bucket of each image by the share of it that its largest ground-truth box takes.

    Args:
        boxes: N arrays ``(K_i, 4)`` ``x0 y0 x1 y1`` in pixels of the original image.
        sizes: ``(N, 2)`` width and height of the images.

    Returns:
        ``(N,)`` positions in `SIZE_BUCKETS`.

    >>> size_buckets([np.array([[0, 0, 50, 20]]), np.array([[0, 0, 99, 99]])], np.array([[100, 100]] * 2)).tolist()
    [1, 3]
    """
    shares = [
        ((image[:, 2] - image[:, 0]) * (image[:, 3] - image[:, 1])).max() / (width * height)
        for image, (width, height) in zip(boxes, np.asarray(sizes).tolist(), strict=True)
    ]
    return np.searchsorted(list(SIZE_BUCKETS.values()), shares, side="right").astype(np.int64)


class GroupCounts:
    """Images and hits per group, such as a class or a size bucket.

    Args:
        num_groups: Number of groups.
        num_figures: Yes-or-no figures per image.

    >>> counts = GroupCounts(num_groups=3, num_figures=1)
    >>> counts.update(np.array([0, 0, 2]), np.array([[True], [False], [True]]))
    >>> counts.percent()[:, 0].tolist()
    [50.0, nan, 100.0]
    """

    def __init__(self, num_groups: int, num_figures: int) -> None:
        self.images = np.zeros(num_groups, dtype=np.int64)
        self.hits = np.zeros((num_groups, num_figures), dtype=np.int64)

    def update(self, groups: npt.NDArray[np.integer], hits: npt.NDArray[np.bool_]) -> None:
        """Count images of some groups ``(N,)`` with their hits ``(N, F)``."""
        np.add.at(self.images, groups, 1)
        np.add.at(self.hits, groups, hits.astype(np.int64))

    def percent(self) -> npt.NDArray[np.float64]:
        """Percent of hits ``(num_groups, F)``; NaN for a group without images."""
        images = np.where(self.images > 0, self.images, np.nan)
        return 100.0 * self.hits / images[:, None]


def _areas(
    box: npt.NDArray[Any], truth: npt.NDArray[Any], closed_pixels: bool
) -> tuple[npt.NDArray[np.float64], float, npt.NDArray[np.float64]]:
    """Overlaps ``(K,)`` of a box with ground-truth boxes, its area, and theirs ``(K,)``."""
    plus = 1.0 if closed_pixels else 0.0
    a, b = np.asarray(box, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    sides = np.minimum(a[2:], b[:, 2:]) - np.maximum(a[:2], b[:, :2]) + plus
    return sides.clip(0).prod(axis=1), float((a[2:] - a[:2] + plus).prod()), (b[:, 2:] - b[:, :2] + plus).prod(axis=1)

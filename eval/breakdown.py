"""What goes wrong: the kind of error of every image, results per class and per size of the object.

The kinds follow Gao et al. (TS-CAM, ICCV 2021, section 4.3), who divide wrong boxes by two overlaps of box and ground
truth: IoP, intersection over the predicted box, and IoG, intersection over the ground-truth box.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.protocols import Protocol
from eval.records import Records
from wsol.data import GroundTruth

OUTCOMES = ("correct", "wrong_class", "several_objects", "part", "more", "missed")
SIZES = {"small": (0.0, 0.1), "medium": (0.1, 0.3), "large": (0.3, 0.6), "whole": (0.6, np.inf)}
SEVERAL_IOG, PART_IOP, MORE_IOG = 0.3, 0.5, 0.7


def box_outcomes(
    boxes: npt.NDArray[np.integer],
    truths: Sequence[npt.NDArray[Any]],
    hits: npt.NDArray[np.bool_],
    in_top1: npt.NDArray[np.bool_] | None,
    closed_pixels: bool = True,
) -> npt.NDArray[np.uint8]:
    """The outcome of every image, the first of these that holds.

    - ``correct``: the box is a hit, and the class is right where classes are known;
    - ``wrong_class``: the box is a hit;
    - ``several_objects``: the box covers more than 30 % (IoG) of at least two objects;
    - ``part``: more than half of the box lies on one object (IoP > 0.5), so it shows a part of it;
    - ``more``: the box covers more than 70 % of an object (IoG > 0.7), and much else;
    - ``missed``: neither.

    Args:
        boxes: One box of each image ``(N, 4)`` ``x0 y0 x1 y1``.
        truths: N arrays ``(K_i, 4)`` in the same frame.
        hits: Whether each box counts as a hit ``(N,)``.
        in_top1: Whether each class is right ``(N,)``, or None where none was predicted.
        closed_pixels: Boxes include their end pixels, as in IoU.

    Returns:
        Positions in `OUTCOMES` ``(N,)``.
    """
    found = np.full(len(boxes), OUTCOMES.index("missed"), dtype=np.uint8)
    for image, (box, truth) in enumerate(zip(boxes, truths, strict=True)):
        if hits[image]:
            named = in_top1 is None or bool(in_top1[image])
            found[image] = OUTCOMES.index("correct" if named else "wrong_class")
            continue
        over_box, over_truth = _shares(np.asarray(box, np.float64), np.asarray(truth, np.float64), closed_pixels)
        if (over_truth > SEVERAL_IOG).sum() > 1:
            found[image] = OUTCOMES.index("several_objects")
        elif over_box.max(initial=0) > PART_IOP:
            found[image] = OUTCOMES.index("part")
        elif over_truth.max(initial=0) > MORE_IOG:
            found[image] = OUTCOMES.index("more")
    return found


def _shares(
    box: npt.NDArray[np.float64], truth: npt.NDArray[np.float64], closed_pixels: bool
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Intersection over the box, and over each ground-truth box ``(K,)``; zero where there is no area."""
    plus = 1.0 if closed_pixels else 0.0
    sides = np.minimum(box[2:], truth[:, 2:]) - np.maximum(box[:2], truth[:, :2]) + plus
    intersection = np.clip(sides, 0, None).prod(axis=1)
    box_area = float((box[2:] - box[:2] + plus).prod())
    truth_area = (truth[:, 2:] - truth[:, :2] + plus).prod(axis=1)
    over_box = intersection / box_area if box_area > 0 else np.zeros(len(truth))
    return over_box, np.divide(intersection, truth_area, out=np.zeros(len(truth)), where=truth_area > 0)


def size_bucket(truth: npt.NDArray[np.int64], image_size: npt.NDArray[np.int64]) -> str:
    """Size of an image's largest object as a share of the image: a key of `SIZES`, lower ends included.

    >>> size_bucket(np.array([[0, 0, 50, 50]]), np.array([100, 100]))
    'medium'
    """
    share = float((truth[:, 2:] - truth[:, :2]).prod(axis=1).max() / max(int(image_size.prod()), 1))
    return next(name for name, (low, high) in SIZES.items() if low <= share < high)


class Breakdown:
    """Counts outcomes, and the last step's results per class and per size, from records chunk by chunk.

    Args:
        rows: Names of the rows of the records.
        ground_truth: Lists of the split; every image has a box.
        protocol: Conventions of hits.
        has_logits: Whether classes were predicted.
    """

    def __init__(self, rows: Sequence[str], ground_truth: GroundTruth, protocol: Protocol, has_logits: bool) -> None:
        self.rows = tuple(rows)
        self.ground_truth = ground_truth
        self.protocol = protocol
        self.has_logits = has_logits
        self.last = sum(name.isdigit() for name in self.rows) - 1
        self._outcomes = np.zeros((len(self.rows), len(OUTCOMES)), dtype=np.int64)
        self._iou = np.zeros((2, len(self.rows)))
        self._candidates = np.zeros(len(self.rows), dtype=np.int64)
        self._groups: dict[tuple[str, str], npt.NDArray[np.float64]] = {}
        self._images = 0

    def count(self, records: Records) -> None:
        """Count a chunk of records."""
        for row in range(len(self.rows)):
            self._outcomes[row] += np.bincount(records["outcome"][:, row], minlength=len(OUTCOMES))
        self._iou += records["iou"].sum(axis=0, dtype=np.float64), records["iou_fixed"].sum(axis=0, dtype=np.float64)
        self._candidates += records["candidates"].sum(axis=0, dtype=np.int64)
        self._images += len(records)
        truth = self.ground_truth
        hits = self.protocol.hit(records["iou"][:, self.last]) & ~records["unreadable"]
        top1, top5 = records["in_top1"][:, self.last], records["in_top5"][:, self.last]
        values = np.stack([np.ones(len(records)), top1, hits, hits & top1, hits & top5, records["iou"][:, self.last]])
        for place, index in enumerate(records["index"].tolist()):
            groups = (
                ("class", truth.class_names[truth.labels[index]]),
                ("size", size_bucket(truth.boxes[index], truth.sizes[index])),
            )
            for group in groups:
                self._groups[group] = self._groups.get(group, 0) + values[:, place]

    def compute(self) -> dict[str, Any]:
        """The keys of results.json: ``breakdown``, ``mean_iou``, ``candidates``, ``per_class``, ``per_size``.

        Outcomes are counts of images; the other figures are of the headline threshold, in percent but for IoU and
        the mean number of candidate boxes.
        """
        return {
            "breakdown": {
                name: dict(zip(OUTCOMES, counts.tolist(), strict=True))
                for name, counts in zip(self.rows, self._outcomes, strict=True)
            },
            "mean_iou": {
                name: {"headline": headline / self._images, "fixed": fixed / self._images}
                for name, headline, fixed in zip(self.rows, *self._iou.tolist(), strict=True)
            },
            "candidates": dict(zip(self.rows, (self._candidates / self._images).tolist(), strict=True)),
            "per_class": self._table("class", self.ground_truth.class_names),
            "per_size": self._table("size", list(SIZES)),
        }

    def _table(self, kind: str, names: Sequence[str]) -> list[dict[str, Any]]:
        rows = []
        for name in names:
            if (kind, name) not in self._groups:
                continue
            images, *sums = self._groups[kind, name].tolist()
            top1, hit, top1_loc, top5_loc, iou = (value / images for value in sums)
            named = {"top1_cls": 100 * top1, "top1_loc": 100 * top1_loc, "top5_loc": 100 * top5_loc}
            rows.append(
                {
                    kind: name,
                    "images": int(images),
                    "gt_known_loc": 100 * hit,
                    **(named if self.has_logits else dict.fromkeys(named)),
                    "mean_iou": iou,
                }
            )
        return rows

"""What is counted from the records of a split: threshold curves, and the hits that the records keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.judging.hits import (
    CLS_FIGURES,
    IOU_THRESHOLDS,
    LOC_FIGURES,
    POLICIES,
    any_step_hits,
    row_hits,
)
from eval.judging.records import Records
from eval.judging.split import JudgedSplit
from eval.protocols import Protocol
from wsol.data import GroundTruth
from wsol.sweep import cam_thresholds, cut_table

ANY_STEP = "any"


@dataclass(frozen=True)
class Curves:
    """Accuracies of one row over the images that have ground-truth boxes, in percent.

    Attributes:
        thresholds: Score-map thresholds ``(n,)``.
        largest: MaxBoxAcc curve ``(n,)`` of each IoU threshold: box of the largest contour.
        all: MaxBoxAccV2 curve ``(n,)`` of each IoU threshold: best box of all contours.
        localization: ``gt_known_loc``, ``top1_loc`` and ``top5_loc`` ``(n,)``, at IoU 0.5.
        at_policy: The localization figures at the thresholds known beforehand, and at those that each map finds for
            itself: policy ("headline", "fixed", or the name of a rule) -> figure.
    """

    thresholds: npt.NDArray[np.float64]
    largest: dict[float, npt.NDArray[np.float64]]
    all: dict[float, npt.NDArray[np.float64]]
    localization: dict[str, npt.NDArray[np.float64]]
    at_policy: dict[str, dict[str, float]]

    @property
    def best_threshold(self) -> float:
        """Threshold of the highest GT-known Loc, the lowest of several: an oracle on the counted images."""
        return float(self.thresholds[self.localization["gt_known_loc"].argmax()])

    def at(self, threshold: float) -> dict[str, float]:
        """GT-known, Top-1 and Top-5 Loc at one of the curve's thresholds; at the nearest to the one given."""
        place = int(np.abs(self.thresholds - threshold).argmin())
        return {name: float(curve[place]) for name, curve in self.localization.items()}

    def max_box_acc(self) -> dict[float, float]:
        """MaxBoxAcc of each IoU threshold, each at its own best threshold (oracle)."""
        return {iou: float(curve.max()) for iou, curve in self.largest.items()}

    def max_box_acc_v2(self) -> dict[float, float]:
        """The same with the best box of all contours; MaxBoxAccV2 is the mean of the three."""
        return {iou: float(curve.max()) for iou, curve in self.all.items()}


@dataclass(frozen=True)
class Counts:
    """Everything counted from the records of a split, by row; with several steps also for ``any``.

    Attributes:
        curves: Localization; empty where no image has a box.
        classification: ``top1_cls`` and ``top5_cls`` in percent of all images; empty where only maps are known.
        degenerate: Positions of the images with a constant or NaN map at some step.
        unreadable: Positions of the images that could not be read.
    """

    curves: dict[str, Curves]
    classification: dict[str, dict[str, float]]
    degenerate: list[int]
    unreadable: list[int]


class ImageWeights:
    """What each image of a split weighs in a mean: all the same, or such that every class weighs the same.

    Args:
        ground_truth: Lists of the split.
        protocol: Says which mean.

    Attributes:
        macro: Whether every class weighs the same.
        boxed: ``(N,)`` bool, which images have ground-truth boxes: those that means of hits are taken over.
    """

    def __init__(self, ground_truth: GroundTruth, protocol: Protocol) -> None:
        self.macro = protocol.macro
        self.boxed = np.array([len(boxes) > 0 for boxes in ground_truth.boxes], dtype=bool)
        # The images of a plain mean are one group.
        self._groups = ground_truth.labels if protocol.macro else np.zeros(len(ground_truth), dtype=np.int64)
        num_groups = int(self._groups.max()) + 1
        self._sizes = {
            boxed_only: np.bincount(self._groups[self.boxed] if boxed_only else self._groups, minlength=num_groups)
            for boxed_only in (False, True)
        }

    @property
    def num_boxed(self) -> int:
        """How many images have boxes."""
        return int(self.boxed.sum())

    def of(self, indices: npt.NDArray[np.integer], boxed_only: bool) -> npt.NDArray[np.float64]:
        """Weights ``(n,)`` of images; over all images of a mean over classes they sum to 1.

        Args:
            indices: Positions of the images ``(n,)``.
            boxed_only: The mean is over images with boxes; the others weigh nothing.
        """
        counted = self.boxed[indices] if boxed_only else np.ones(len(indices), dtype=bool)
        if not self.macro:
            return counted.astype(np.float64)
        sizes = self._sizes[boxed_only]
        weights = 1.0 / (np.count_nonzero(sizes) * np.maximum(sizes, 1))  # an empty class has no image to weigh
        return np.where(counted, weights[self._groups[indices]], 0.0)

    def counts(self, indices: npt.NDArray[np.integer], hits: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Hits ``(n, F)`` of images summed per group: ``(G, F)``, one group a class or one for all."""
        total = np.zeros((len(self._sizes[False]), hits.shape[1]), dtype=np.int64)
        np.add.at(total, self._groups[indices], hits)
        return total

    def percent(self, counts: npt.NDArray[np.int64], boxed_only: bool) -> npt.NDArray[np.float64]:
        """Mean over groups of the percentages ``(F,)`` that summed hits ``(G, F)`` are."""
        sizes = self._sizes[boxed_only]
        filled = sizes > 0
        return (counts[filled] * (100.0 / sizes[filled, None])).mean(axis=0)


class _RowSums:
    """Sums of hits of one row (or of any step), chunk by chunk.

    The hits that results.json reports are counted as integers, per class where every class weighs the same. Curves
    have too many thresholds for counts per class; there the images' weights are summed.
    """

    def __init__(self, weights: ImageWeights, policies: Sequence[str]) -> None:
        self._weights = weights
        self._policies = policies
        self._curves: dict[str, Any] = {}
        self._kept: Any = 0
        self._classes: Any = 0

    def add(
        self,
        index: npt.NDArray[np.int64],
        curves: dict[str, npt.NDArray[np.bool_]],
        place: npt.NDArray[np.intp],
        kept: npt.NDArray[np.bool_],
        classes: npt.NDArray[np.bool_],
    ) -> None:
        """Add the hits of some images: at stand-in thresholds, at the known ones, and of the classification."""
        weights = self._weights.of(index, boxed_only=True) if self._weights.macro else None
        for figure, hits in curves.items():
            total = hits.sum(axis=0) if weights is None else weights @ hits
            self._curves[figure] = self._curves.get(figure, 0) + total[place]
        self._kept = self._kept + self._weights.counts(index, kept.reshape(len(kept), -1))
        self._classes = self._classes + self._weights.counts(index, classes)

    def curves(self, thresholds: npt.NDArray[np.float64]) -> Curves:
        """Everything about boxes in percent."""
        share = 100.0 if self._weights.macro else 100.0 / self._weights.num_boxed
        percent = {figure: np.asarray(total, dtype=np.float64) * share for figure, total in self._curves.items()}
        kept = self._weights.percent(self._kept, boxed_only=True).reshape(len(self._policies), len(LOC_FIGURES))
        return Curves(
            thresholds=thresholds,
            largest={iou: percent[f"largest@{iou}"] for iou in IOU_THRESHOLDS},
            all={iou: percent[f"all@{iou}"] for iou in IOU_THRESHOLDS},
            localization={name: percent[name] for name in LOC_FIGURES},
            at_policy={
                policy: dict(zip(LOC_FIGURES, kept[place].tolist(), strict=True))
                for place, policy in enumerate(self._policies)
            },
        )

    def classification(self) -> dict[str, float]:
        """Top-1 and Top-5 classification in percent."""
        percent = self._weights.percent(self._classes, boxed_only=False)
        return dict(zip(CLS_FIGURES, percent.tolist(), strict=True))


def count_split(judged: JudgedSplit, cam_threshold_interval: float = 0.001) -> Counts:
    """Count the records of a split once.

    Args:
        judged: The judged split.
        cam_threshold_interval: Step of the curves' thresholds.
    """
    thresholds = cam_thresholds(cam_threshold_interval)
    weights = ImageWeights(judged.ground_truth, judged.protocol)
    policies = (*POLICIES, *judged.thresholds.rules)
    sums: dict[str, _RowSums] = {}
    degenerate: list[int] = []
    unreadable: list[int] = []
    for records in judged.records():
        index = records["index"]
        degenerate += index[records["degenerate"].any(axis=1)].tolist()
        unreadable += index[records["unreadable"]].tolist()
        stand_ins, place = distinct_thresholds(np.unique(records["maximum"]), thresholds)
        for name, (curves_at, kept, classes) in _sources(judged, records).items():
            sums.setdefault(name, _RowSums(weights, policies)).add(index, curves_at(stand_ins), place, kept, classes)
    return Counts(
        curves={name: row.curves(thresholds) for name, row in sums.items()} if weights.num_boxed else {},
        classification={name: row.classification() for name, row in sums.items() if judged.has_logits},
        degenerate=degenerate,
        unreadable=unreadable,
    )


_Source = tuple[
    Callable[[npt.NDArray[np.float64]], dict[str, npt.NDArray[np.bool_]]], npt.NDArray[np.bool_], npt.NDArray[np.bool_]
]


def _sources(judged: JudgedSplit, records: Records) -> dict[str, _Source]:
    """Per row: hits at any thresholds, the hits that records keep, and whether the class is right."""
    protocol = judged.protocol
    classes = np.stack([records["in_top1"], records["in_top5"]], axis=-1)

    def of_row(row: int) -> Callable[[npt.NDArray[np.float64]], dict[str, npt.NDArray[np.bool_]]]:
        return lambda thresholds: row_hits(records, row, thresholds, protocol)

    sources: dict[str, _Source] = {
        name: (of_row(row), records["hit"][:, row], classes[:, row]) for row, name in enumerate(judged.rows)
    }
    steps = [row for row, name in enumerate(judged.rows) if name in judged.steps]
    if len(steps) > 1:
        sources[ANY_STEP] = (
            lambda thresholds: any_step_hits(records, steps, thresholds, protocol),
            np.any(records["hit"][:, steps], axis=1),
            np.any(classes[:, steps], axis=1),
        )
    return sources


def distinct_thresholds(
    maxima: npt.NDArray[np.uint8], thresholds: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]:
    """The thresholds that make a difference for maps of certain maxima.

    A map has at most 256 cuts, so most of 1,000 thresholds repeat their neighbour for every map.

    Args:
        maxima: Distinct maxima of 8-bit maps.
        thresholds: ``(n,)`` thresholds relative to a map's maximum.

    Returns:
        Thresholds that stand for all, and for each threshold the place of the one that stands for it.

    >>> stand_in, place = distinct_thresholds(np.array([2], np.uint8), np.array([0.0, 0.1, 0.5, 0.9]))
    >>> stand_in.tolist(), place.tolist()
    ([0.0, 0.5], [0, 0, 1, 1])
    """
    cuts = cut_table(maxima, thresholds)
    _, first, place = np.unique(cuts, axis=1, return_index=True, return_inverse=True)
    return thresholds[first], np.asarray(place).reshape(-1)

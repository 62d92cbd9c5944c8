"""What is counted from the records of a split: threshold curves, and the hits that the records keep."""

from __future__ import annotations

from collections.abc import Callable
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
        at_policy: The localization figures at the thresholds known beforehand: policy ("headline", "fixed") -> figure.
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
    """Weight of each image of a split in a mean: one each, or such that every class weighs the same.

    Args:
        ground_truth: Lists of the split.
        protocol: Says which mean.

    Attributes:
        boxed: ``(N,)`` bool, which images have ground-truth boxes: those that means of hits are taken over.
    """

    def __init__(self, ground_truth: GroundTruth, protocol: Protocol) -> None:
        self.labels = ground_truth.labels
        self.macro = protocol.macro
        self.boxed = np.array([len(boxes) > 0 for boxes in ground_truth.boxes], dtype=bool)

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
        counted = self.boxed if boxed_only else np.ones(len(self.labels), dtype=bool)
        if not self.macro:
            return counted[indices].astype(np.float64)
        sizes = np.bincount(self.labels[counted], minlength=self.labels.max() + 1)
        of_class = np.divide(1.0, sizes, out=np.zeros(len(sizes)), where=sizes > 0) / np.count_nonzero(sizes)
        return np.where(counted[indices], of_class[self.labels[indices]], 0.0)


class _RowSums:
    """Sums of hits of one row (or of any step), chunk by chunk; weighted where every class weighs the same."""

    def __init__(self) -> None:
        self.curves: dict[str, Any] = {}
        self.kept: Any = 0
        self.classification: Any = 0

    def add(
        self,
        curves: dict[str, npt.NDArray[np.bool_]],
        place: npt.NDArray[np.intp],
        kept: npt.NDArray[np.bool_],
        classes: npt.NDArray[np.bool_],
        weights: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None,
    ) -> None:
        """Add the hits of some images: at stand-in thresholds, at the known ones, and of the classification."""
        of_boxes, of_all = (None, None) if weights is None else weights
        for figure, hits in curves.items():
            self.curves[figure] = self.curves.get(figure, 0) + _total(hits, of_boxes)[place]
        self.kept = self.kept + _total(kept.reshape(len(kept), -1), of_boxes)
        self.classification = self.classification + _total(classes, of_all)


def _total(hits: npt.NDArray[np.bool_], weights: npt.NDArray[np.float64] | None) -> npt.NDArray[Any]:
    """Sum over images: a count, or a sum of weights."""
    return hits.sum(axis=0) if weights is None else weights @ hits


def count_split(judged: JudgedSplit, cam_threshold_interval: float = 0.001) -> Counts:
    """Count the records of a split once.

    Args:
        judged: The judged split.
        cam_threshold_interval: Step of the curves' thresholds.
    """
    thresholds = cam_thresholds(cam_threshold_interval)
    weights = ImageWeights(judged.ground_truth, judged.protocol)
    sums: dict[str, _RowSums] = {}
    degenerate: list[int] = []
    unreadable: list[int] = []
    for records in judged.records():
        index = records["index"]
        degenerate += index[records["degenerate"].any(axis=1)].tolist()
        unreadable += index[records["unreadable"]].tolist()
        stand_ins, place = distinct_thresholds(np.unique(records["maximum"]), thresholds)
        means = (weights.of(index, True), weights.of(index, False)) if judged.protocol.macro else None
        for name, (curves_at, kept, classes) in _sources(judged, records).items():
            sums.setdefault(name, _RowSums()).add(curves_at(stand_ins), place, kept, classes, means)
    macro = judged.protocol.macro
    of_boxes = 100.0 if macro else 100.0 / max(weights.num_boxed, 1)
    of_all = 100.0 if macro else 100.0 / len(judged.ground_truth)
    return Counts(
        curves={name: _curves(row, thresholds, of_boxes) for name, row in sums.items()} if weights.num_boxed else {},
        classification={
            name: dict(zip(CLS_FIGURES, (row.classification * of_all).tolist(), strict=True))
            for name, row in sums.items()
            if judged.has_logits
        },
        degenerate=degenerate,
        unreadable=unreadable,
    )


def _curves(sums: _RowSums, thresholds: npt.NDArray[np.float64], share: float) -> Curves:
    percent = {figure: np.asarray(total, dtype=np.float64) * share for figure, total in sums.curves.items()}
    kept = (np.asarray(sums.kept, dtype=np.float64) * share).reshape(len(POLICIES), len(LOC_FIGURES))
    return Curves(
        thresholds=thresholds,
        largest={iou: percent[f"largest@{iou}"] for iou in IOU_THRESHOLDS},
        all={iou: percent[f"all@{iou}"] for iou in IOU_THRESHOLDS},
        localization={name: percent[name] for name in LOC_FIGURES},
        at_policy={
            policy: dict(zip(LOC_FIGURES, kept[place].tolist(), strict=True)) for place, policy in enumerate(POLICIES)
        },
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
            records["hit"][:, steps].any(axis=1),
            classes[:, steps].any(axis=1),
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

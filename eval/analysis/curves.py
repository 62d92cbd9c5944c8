"""Figures of a split, counted from its records: threshold curves, and what is read from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.judging.records import IOU_THRESHOLDS, Records, demanded_level, hits_at
from eval.protocols import Protocol
from wsol.sweep import cam_thresholds, cut_table

LOC_FIGURES = ("gt_known_loc", "top1_loc", "top5_loc")
ANY_STEP = "any"


@dataclass(frozen=True)
class Curves:
    """Accuracies of one row over all images of a split, in percent.

    Attributes:
        thresholds: Score-map thresholds ``(n,)``.
        largest: MaxBoxAcc curve ``(n,)`` of each IoU threshold: box of the largest contour.
        all: MaxBoxAccV2 curve ``(n,)`` of each IoU threshold: best box of all contours.
        localization: ``gt_known_loc``, ``top1_loc`` and ``top5_loc`` ``(n,)``, at IoU 0.5.
        classification: ``top1_cls`` and ``top5_cls``.
        held: The localization figures at further thresholds, which need not be among the ``(n,)``.
    """

    thresholds: npt.NDArray[np.float64]
    largest: dict[float, npt.NDArray[np.float64]]
    all: dict[float, npt.NDArray[np.float64]]
    localization: dict[str, npt.NDArray[np.float64]]
    classification: dict[str, float]
    held: dict[float, dict[str, float]]

    @property
    def best_threshold(self) -> float:
        """Threshold of the highest GT-known Loc, the lowest of several: an oracle on the counted images."""
        return float(self.thresholds[self.localization["gt_known_loc"].argmax()])

    def at(self, threshold: float) -> dict[str, float]:
        """GT-known, Top-1 and Top-5 Loc at a threshold.

        Raises:
            ValueError: If nothing was counted at that threshold.
        """
        if threshold in self.held:
            return self.held[threshold]
        index = int(np.abs(self.thresholds - threshold).argmin())
        if abs(self.thresholds[index] - threshold) > 1e-9:
            raise ValueError(f"nothing was counted at threshold {threshold}; the nearest is {self.thresholds[index]:g}")
        return {name: float(curve[index]) for name, curve in self.localization.items()}

    def max_box_acc(self) -> dict[float, float]:
        """MaxBoxAcc of each IoU threshold, each at its own best threshold (oracle)."""
        return {iou: float(curve.max()) for iou, curve in self.largest.items()}

    def max_box_acc_v2(self) -> dict[float, float]:
        """The same with the best box of all contours; MaxBoxAccV2 is the mean of the three."""
        return {iou: float(curve.max()) for iou, curve in self.all.items()}


def row_hits(
    records: Records, row: int, thresholds: npt.NDArray[np.float64], protocol: Protocol
) -> dict[str, npt.NDArray[np.bool_]]:
    """Every yes-or-no figure of one row, ``(N, n)`` over images and thresholds.

    Keys: ``largest@<iou>``, ``all@<iou>``, ``gt_known_loc``, ``top1_loc``, ``top5_loc``; and ``top1_cls``,
    ``top5_cls`` as ``(N, 1)``.
    """
    hits = {}
    for rule in ("largest", "all"):
        for iou in IOU_THRESHOLDS:
            level = demanded_level(iou, protocol.gt_known_strict)
            hits[f"{rule}@{iou}"] = hits_at(records, row, thresholds, level, rule)
    top_k_hits = hits_at(records, row, thresholds, demanded_level(0.5, protocol.top_k_strict), "largest")
    top1, top5 = records["in_top1"][:, row, None], records["in_top5"][:, row, None]
    return hits | {
        "gt_known_loc": hits["largest@0.5"],
        "top1_loc": top_k_hits & top1,
        "top5_loc": top_k_hits & top5,
        "top1_cls": top1,
        "top5_cls": top5,
    }


def any_step_hits(
    records: Records, steps: Sequence[int], thresholds: npt.NDArray[np.float64], protocol: Protocol
) -> dict[str, npt.NDArray[np.bool_]]:
    """The figures of `row_hits` where an image counts if any step gets it right.

    This is the TDAM authors' accuracy over steps: with T steps a network has T guesses, and knowing which of them
    is right takes the ground truth. It is an oracle, not a result of the network.
    """
    per_step = [row_hits(records, row, thresholds, protocol) for row in steps]
    return {name: np.logical_or.reduce([hits[name] for hits in per_step]) for name in per_step[0]}


class CurveCounter:
    """Sums the weighted hits of records, chunk by chunk.

    Args:
        rows: Names of the rows in the records.
        protocol: Conventions of hits and means.
        labels: Class of every image of the split ``(N,)``.
        held: Further thresholds to count the localization figures at.
        cam_threshold_interval: Step of the thresholds.
    """

    def __init__(
        self,
        rows: Sequence[str],
        protocol: Protocol,
        labels: npt.NDArray[np.int64],
        held: Sequence[float] = (),
        cam_threshold_interval: float = 0.001,
    ) -> None:
        self.rows = tuple(rows)
        self.protocol = protocol
        self.labels = labels
        self.held = tuple(held)
        self.thresholds = cam_thresholds(cam_threshold_interval)
        self._sums: dict[str, dict[str, npt.NDArray[Any]]] = {}

    def count(self, records: Records) -> None:
        """Count a chunk of records."""
        macro = self.protocol.macro
        weights = image_weights(records["index"], self.labels, self.protocol) if macro else None
        representative, place = distinct_thresholds(
            np.unique(records["maximum"]), np.append(self.thresholds, self.held)
        )
        for name, hits_of in self._sources(records).items():
            sums = self._sums.setdefault(name, {})
            for figure, hits in hits_of(representative).items():
                total = hits.sum(axis=0) if weights is None else weights @ hits
                total = total[place] if len(total) > 1 else total
                sums[figure] = sums.get(figure, 0) + total

    def curves(self, num_images: int) -> dict[str, Curves]:
        """Curves of every row, and with several steps of ``any``."""
        share = 100.0 if self.protocol.macro else 100.0 / num_images
        return {name: self._curves(sums, share) for name, sums in self._sums.items()}

    def _curves(self, sums: dict[str, npt.NDArray[Any]], share: float) -> Curves:
        percent = {figure: np.asarray(total, dtype=np.float64) * share for figure, total in sums.items()}
        count = len(self.thresholds)
        return Curves(
            thresholds=self.thresholds,
            largest={iou: percent[f"largest@{iou}"][:count] for iou in IOU_THRESHOLDS},
            all={iou: percent[f"all@{iou}"][:count] for iou in IOU_THRESHOLDS},
            localization={name: percent[name][:count] for name in LOC_FIGURES},
            classification={name: float(percent[name][0]) for name in ("top1_cls", "top5_cls")},
            held={
                threshold: {name: float(percent[name][count + place]) for name in LOC_FIGURES}
                for place, threshold in enumerate(self.held)
            },
        )

    def _sources(
        self, records: Records
    ) -> dict[str, Callable[[npt.NDArray[np.float64]], dict[str, npt.NDArray[np.bool_]]]]:
        def of_row(row: int) -> Callable[[npt.NDArray[np.float64]], dict[str, npt.NDArray[np.bool_]]]:
            return lambda thresholds: row_hits(records, row, thresholds, self.protocol)

        sources = {name: of_row(row) for row, name in enumerate(self.rows)}
        steps = [row for row, name in enumerate(self.rows) if name.isdigit()]
        if len(steps) > 1:
            sources[ANY_STEP] = lambda thresholds: any_step_hits(records, steps, thresholds, self.protocol)
        return sources


def image_weights(
    indices: npt.NDArray[np.int64], labels: npt.NDArray[np.int64], protocol: Protocol
) -> npt.NDArray[np.float64]:
    """Weight of images in a mean: one each, or for means over classes such that every class weighs the same.

    Args:
        indices: Positions of the images ``(N,)``.
        labels: Class of every image of the split.
        protocol: Says which mean.

    Returns:
        ``(N,)``; over all images of a macro mean they sum to 1.
    """
    if not protocol.macro:
        return np.ones(len(indices))
    sizes = np.bincount(labels)
    return 1.0 / (np.count_nonzero(sizes) * sizes[labels[indices]])


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


def count_curves(
    chunks: Iterable[Records],
    rows: Sequence[str],
    protocol: Protocol,
    labels: npt.NDArray[np.int64],
    held: Sequence[float] = (),
) -> dict[str, Curves]:
    """Curves of every row of a split, from all its records; arguments as in `CurveCounter`."""
    counter = CurveCounter(rows, protocol, labels, held)
    num_images = 0
    for records in chunks:
        counter.count(records)
        num_images += len(records)
    return counter.curves(num_images)

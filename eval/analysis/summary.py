"""What results say beside the curves, counted from a split's records: intervals, kinds of error, groups of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.analysis.curves import ImageWeights, distinct_thresholds
from eval.analysis.groups import SIZE_NAMES, GroupCounts, size_buckets
from eval.analysis.intervals import Bootstrap, Interval
from eval.judging.hits import CLS_FIGURES, IOU_THRESHOLDS, LOC_FIGURES, POLICIES, row_hits
from eval.judging.records import Records
from eval.judging.split import JudgedSplit
from eval.measures.outcomes import count_outcomes
from wsol.sweep import cam_thresholds

HISTOGRAM_BINS = 20
# Whose best threshold is chosen anew in every resample, as it is chosen on the whole split.
ORACLE_CURVES = ("largest@0.5", *(f"all@{iou}" for iou in IOU_THRESHOLDS))


def interval_figures(judged: JudgedSplit, replicates: int = 1000, seed: int = 0) -> dict[str, Any]:
    """95 % bootstrap intervals of every row.

    The Loc figures are resampled with their fixed and val threshold held; MaxBoxAcc and MaxBoxAccV2, which only the
    steps have, choose their threshold anew in every resample. Images without a box are resampled for the
    classification alone.

    Args:
        judged: The judged split.
        replicates: Number of resamples.
        seed: Seed of the resamples.

    Returns:
        ``level``, ``replicates``, ``seed``, and ``rows``: row -> figure -> [low, high] in percent; for the Loc figures
        policy -> [low, high].
    """
    maxima = np.unique(np.concatenate([np.unique(records["maximum"]) for records in judged.records()]))
    sweep_thresholds, _ = distinct_thresholds(maxima, cam_thresholds())
    weights = ImageWeights(judged.ground_truth, judged.protocol)
    rows = [_RowIntervals(judged, row, sweep_thresholds, replicates, seed) for row in range(len(judged.rows))]
    for records in judged.records():
        index = records["index"]
        for row in rows:
            row.update(records, weights.of(index, boxed_only=False), weights.of(index, boxed_only=True))
    return {
        "level": 95.0,
        "replicates": replicates,
        "seed": seed,
        "rows": {row.name: row.intervals() for row in rows},
    }


class _RowIntervals:
    """Which yes-or-no figures of one row are resampled, and what is read from their replicates."""

    def __init__(
        self, judged: JudgedSplit, row: int, sweep_thresholds: npt.NDArray[np.float64], replicates: int, seed: int
    ) -> None:
        self.row = row
        self.name = judged.rows[row]
        self.protocol = judged.protocol
        # results.json knows the headline's policy by what it is: val where thresholds were chosen there.
        self.policies = {"fixed": POLICIES.index("fixed")}
        if judged.thresholds.val is not None:
            self.policies["val"] = POLICIES.index("headline")
        self.sweep_thresholds = sweep_thresholds if self.name in judged.steps else np.empty(0)
        self._held = len(LOC_FIGURES) * len(self.policies)
        self.classes = Bootstrap(len(CLS_FIGURES), replicates, seed)
        self.boxes = Bootstrap(self._held + len(ORACLE_CURVES) * len(self.sweep_thresholds), replicates, seed)

    def update(self, records: Records, weights: npt.NDArray[np.float64], box_weights: npt.NDArray[np.float64]) -> None:
        """Count some images."""
        classes = np.stack([records["in_top1"][:, self.row], records["in_top5"][:, self.row]], axis=1)
        self.classes.update(records["index"], classes, weights)
        hits = records["hit"][:, self.row, list(self.policies.values())]
        columns = [hits.swapaxes(1, 2).reshape(len(records), -1)]
        if len(self.sweep_thresholds):
            curves = row_hits(records, self.row, self.sweep_thresholds, self.protocol)
            columns += [curves[key] for key in ORACLE_CURVES]
        boxed = records["boxed"]
        self.boxes.update(records["index"][boxed], np.concatenate(columns, axis=1)[boxed], box_weights[boxed])

    def intervals(self) -> dict[str, Any]:
        """[low, high] by figure, or by figure and policy."""
        found: dict[str, Any] = {
            figure: _ends(self.classes.interval(place)) for place, figure in enumerate(CLS_FIGURES)
        }
        place = 0
        for figure in LOC_FIGURES:
            found[figure] = {policy: _ends(self.boxes.interval(place + n)) for n, policy in enumerate(self.policies)}
            place += len(self.policies)
        count = len(self.sweep_thresholds)
        if not count:
            return found
        found["max_box_acc"] = _ends(self.boxes.best_interval(slice(place, place + count)))
        v2 = self.boxes.estimates()[:, place + count :].reshape(self.boxes.replicates, len(IOU_THRESHOLDS), count)
        found["max_box_acc_v2"] = np.percentile(v2.max(axis=2).mean(axis=1), [2.5, 97.5]).tolist()
        return found


def _ends(interval: Interval) -> list[float]:
    return [interval.low, interval.high]


def breakdown_figures(judged: JudgedSplit) -> dict[str, Any]:
    """Kinds of error of every row, and the results per class and per size of the object, at the headline threshold.

    All are over the images that have ground-truth boxes, but for the classification.

    Args:
        judged: The judged split; some image has a box.

    Returns:
        The keys of results.json ``breakdown`` (images per outcome), ``mean_iou`` (at the headline and at the fixed
        threshold), ``iou_histogram`` (images in each of 20 equal bins of the IoU), ``candidates`` (mean number of
        boxes MaxBoxAccV2 may choose from), ``per_class`` and ``per_size`` (of the last step; ``first_step`` is the
        GT-known Loc of the first).
    """
    truth, rows = judged.ground_truth, len(judged.rows)
    last = len(judged.steps) - 1
    kinds = [np.zeros(0, dtype=np.uint8)] * rows
    sums = {field: np.zeros(rows) for field in ("iou", "iou_fixed", "candidates")}
    spread = np.zeros((len(judged.steps), HISTOGRAM_BINS), dtype=np.int64)
    classes, sizes = GroupCounts(truth.num_classes), GroupCounts(len(SIZE_NAMES))
    num_boxed = 0
    for records in judged.records():
        kinds = [np.append(found, records["outcome"][:, row]) for row, found in enumerate(kinds)]
        boxed = records[records["boxed"]]
        num_boxed += len(boxed)
        for field, total in sums.items():
            total += boxed[field].sum(axis=0, dtype=np.float64)
        for step in range(len(judged.steps)):
            spread[step] += np.histogram(boxed["iou"][:, step], bins=HISTOGRAM_BINS, range=(0, 1))[0]
        classes.update(truth.labels[records["index"]], records, last)
        index = boxed["index"]
        sizes.update(size_buckets([truth.boxes[i] for i in index], truth.sizes[index]), boxed, last)
    means = {field: (total / num_boxed).tolist() for field, total in sums.items()}
    return {
        "breakdown": {name: count_outcomes(found) for name, found in zip(judged.rows, kinds, strict=True)},
        "mean_iou": {
            name: {"headline": headline, "fixed": fixed}
            for name, headline, fixed in zip(judged.rows, means["iou"], means["iou_fixed"], strict=True)
        },
        "iou_histogram": dict(zip(judged.steps, spread.tolist(), strict=True)),
        "candidates": dict(zip(judged.rows, means["candidates"], strict=True)),
        "per_class": _group_rows("class", truth.class_names, classes, judged.has_logits),
        "per_size": _group_rows("size", list(SIZE_NAMES), sizes, judged.has_logits),
    }


def _group_rows(kind: str, names: Sequence[str], counts: GroupCounts, has_logits: bool) -> list[dict[str, Any]]:
    rows = []
    for group, name in enumerate(names):
        if counts.images[group] == 0:
            continue
        found = counts.percent(group)
        if not has_logits:
            found |= dict.fromkeys(("top1_loc", "top5_loc", "top1_cls"))
        rows.append({kind: name, "images": int(counts.images[group]), **found})
    return rows

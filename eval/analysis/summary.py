"""What a report says beside the curves, counted from a split's records: intervals, kinds of error, groups of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.analysis.curves import LOC_FIGURES, distinct_thresholds, image_weights, row_hits
from eval.analysis.intervals import Bootstrap, Interval
from eval.judging.judge import Thresholds
from eval.judging.records import IOU_THRESHOLDS, Records
from eval.judging.split import JudgedSplit
from eval.measures.outcomes import SIZE_BUCKETS, GroupCounts, count_outcomes, size_buckets
from eval.protocols import Protocol
from wsol.sweep import cam_thresholds

CLASSIFICATION = ("top1_cls", "top5_cls")
# Whose best threshold is chosen anew in every resample, as it is chosen on the whole split.
ORACLE_CURVES = ("largest@0.5", *(f"all@{iou}" for iou in IOU_THRESHOLDS))


def interval_figures(
    judged: JudgedSplit, protocol: Protocol, thresholds: Thresholds, replicates: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """95 % bootstrap intervals of every row.

    The Loc figures are resampled with their fixed and val threshold held; MaxBoxAcc and MaxBoxAccV2, which only the
    steps have, choose their threshold anew in every resample.

    Args:
        judged: The judged split.
        protocol: Conventions of hits and means.
        thresholds: Thresholds known before the pass.
        replicates: Number of resamples.
        seed: Seed of the resamples.

    Returns:
        ``level``, ``replicates``, ``seed``, and ``rows``: row -> figure -> [low, high] in percent; for the Loc figures
        policy -> [low, high].
    """
    maxima = np.unique(np.concatenate([np.unique(records["maximum"]) for records in judged.records()]))
    sweep_thresholds, _ = distinct_thresholds(maxima, cam_thresholds())
    resampled = [
        _RowIntervals(row, name, protocol, thresholds, sweep_thresholds) for row, name in enumerate(judged.rows)
    ]
    bootstraps = [Bootstrap(one.num_columns, replicates, seed) for one in resampled]
    for records in judged.records():
        weights = image_weights(records["index"], judged.ground_truth.labels, protocol)
        for one, bootstrap in zip(resampled, bootstraps, strict=True):
            bootstrap.update(records["index"], one.columns(records), weights)
    return {
        "level": 95.0,
        "replicates": replicates,
        "seed": seed,
        "rows": {one.name: one.intervals(bootstrap) for one, bootstrap in zip(resampled, bootstraps, strict=True)},
    }


class _RowIntervals:
    """Which yes-or-no figures of one row are resampled, and what is read from their replicates."""

    def __init__(
        self,
        row: int,
        name: str,
        protocol: Protocol,
        thresholds: Thresholds,
        sweep_thresholds: npt.NDArray[np.float64],
    ) -> None:
        self.row = row
        self.name = name
        self.protocol = protocol
        self.policies = {"fixed": thresholds.fixed}
        if thresholds.val is not None:
            self.policies["val"] = thresholds.val[name]
        self.sweep_thresholds = sweep_thresholds if name.isdigit() else np.empty(0)
        self._held = len(CLASSIFICATION) + len(LOC_FIGURES) * len(self.policies)
        self.num_columns = self._held + len(ORACLE_CURVES) * len(self.sweep_thresholds)

    def columns(self, records: Records) -> npt.NDArray[np.bool_]:
        """Figures of each image ``(N, F)``."""
        held = row_hits(records, self.row, np.array(list(self.policies.values())), self.protocol)
        columns = [held[figure] for figure in (*CLASSIFICATION, *LOC_FIGURES)]
        if len(self.sweep_thresholds):
            curves = row_hits(records, self.row, self.sweep_thresholds, self.protocol)
            columns += [curves[key] for key in ORACLE_CURVES]
        return np.concatenate(columns, axis=1)

    def intervals(self, bootstrap: Bootstrap) -> dict[str, Any]:
        """[low, high] by figure, or by figure and policy."""
        found: dict[str, Any] = {
            figure: _ends(bootstrap.interval(place)) for place, figure in enumerate(CLASSIFICATION)
        }
        place = len(CLASSIFICATION)
        for figure in LOC_FIGURES:
            found[figure] = {policy: _ends(bootstrap.interval(place + n)) for n, policy in enumerate(self.policies)}
            place += len(self.policies)
        count = len(self.sweep_thresholds)
        if not count:
            return found
        found["max_box_acc"] = _ends(bootstrap.best_interval(slice(place, place + count)))
        v2 = bootstrap.estimates()[:, place + count :].reshape(bootstrap.replicates, len(IOU_THRESHOLDS), count)
        found["max_box_acc_v2"] = np.percentile(v2.max(axis=2).mean(axis=1), [2.5, 97.5]).tolist()
        return found


def _ends(interval: Interval) -> list[float]:
    return [interval.low, interval.high]


def breakdown_figures(judged: JudgedSplit, protocol: Protocol, has_logits: bool) -> dict[str, Any]:
    """Kinds of error of every row, and the last step's results per class and per size of the object.

    Args:
        judged: The judged split; every image has a box.
        protocol: Conventions of hits.
        has_logits: Whether classes were predicted.

    Returns:
        The keys of results.json ``breakdown`` (images per outcome), ``mean_iou`` (at the headline and at the fixed
        threshold), ``candidates`` (mean number of boxes MaxBoxAccV2 may choose from), ``per_class``, ``per_size``.
    """
    truth, rows = judged.ground_truth, len(judged.rows)
    last = sum(name.isdigit() for name in judged.rows) - 1
    kinds = [np.zeros(0, dtype=np.uint8)] * rows
    sums = {field: np.zeros(rows) for field in ("iou", "iou_fixed", "candidates")}
    classes, sizes = GroupCounts(truth.num_classes, 4), GroupCounts(len(SIZE_BUCKETS), 4)
    for records in judged.records():
        kinds = [np.append(found, records["outcome"][:, row]) for row, found in enumerate(kinds)]
        for field, total in sums.items():
            total += records[field].sum(axis=0, dtype=np.float64)
        index = records["index"]
        hits = _group_hits(records, last, protocol)
        classes.update(truth.labels[index], hits)
        sizes.update(size_buckets([truth.boxes[i] for i in index], truth.sizes[index]), hits)
    means = {field: (total / len(truth)).tolist() for field, total in sums.items()}
    return {
        "breakdown": {name: count_outcomes(found) for name, found in zip(judged.rows, kinds, strict=True)},
        "mean_iou": {
            name: {"headline": headline, "fixed": fixed}
            for name, headline, fixed in zip(judged.rows, means["iou"], means["iou_fixed"], strict=True)
        },
        "candidates": dict(zip(judged.rows, means["candidates"], strict=True)),
        "per_class": _group_rows("class", truth.class_names, classes, has_logits),
        "per_size": _group_rows("size", list(SIZE_BUCKETS), sizes, has_logits),
    }


def _group_hits(records: Records, row: int, protocol: Protocol) -> npt.NDArray[np.bool_]:
    """GT-known, Top-1 and Top-5 Loc and Top-1 classification of each image ``(N, 4)`` at the headline threshold."""
    readable = ~records["unreadable"]
    known = protocol.hit(records["iou"][:, row]) & readable
    top_k = protocol.hit(records["iou"][:, row], figure="top_k_loc") & readable
    top1, top5 = records["in_top1"][:, row], records["in_top5"][:, row]
    return np.stack([known, top_k & top1, top_k & top5, top1], axis=1)


def _group_rows(kind: str, names: Sequence[str], counts: GroupCounts, has_logits: bool) -> list[dict[str, Any]]:
    rows = []
    for name, images, percent in zip(names, counts.images.tolist(), counts.percent().tolist(), strict=True):
        if images == 0:
            continue
        known, top1_loc, top5_loc, top1_cls = percent
        named = {"top1_loc": top1_loc, "top5_loc": top5_loc, "top1_cls": top1_cls}
        rows.append(
            {kind: name, "images": images, "gt_known_loc": known, **(named if has_logits else dict.fromkeys(named))}
        )
    return rows

"""Bootstrap intervals over images, the same for any order, sharding or chunking of a split.

Every image draws its own Poisson(1) weights from a generator keyed by seed and position in the split. That is the
Poisson bootstrap (Hanley and MacGibbon, 2006; Chamandy et al., "Estimating uncertainty for massive data streams",
2012), which streams; and since two results over the same images get the same weights, their differences are paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.evaluate import Thresholds
from eval.figures import LOC_FIGURES, image_weights, row_hits
from eval.protocols import Protocol
from eval.records import IOU_THRESHOLDS, Records
from eval.sweep import cam_thresholds

LEVEL = 95.0


def bootstrap_weights(indices: npt.ArrayLike, replicates: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Weights of images in every resample.

    Args:
        indices: Positions of the images in the split ``(N,)``.
        replicates: Number of resamples R.
        seed: Seed of all weights.

    Returns:
        ``(R, N)`` Poisson(1) counts; a column depends on its image's position and the seed alone.

    >>> together, alone = bootstrap_weights([3, 8], 4), bootstrap_weights([8], 4)
    >>> bool((together[:, 1:] == alone).all())
    True
    """
    columns = [
        np.random.Generator(np.random.Philox(key=[seed, int(index)])).poisson(1.0, replicates)
        for index in np.asarray(indices).reshape(-1)
    ]
    return np.array(columns, dtype=np.float32).reshape(-1, replicates).T


def interval(replicated: npt.NDArray[np.floating]) -> list[float]:
    """The central 95 % of replicated figures, as [low, high] (percentile interval).

    >>> interval(np.arange(101.0))
    [2.5, 97.5]
    """
    tail = (100 - LEVEL) / 2
    return [float(value) for value in np.percentile(replicated, [tail, 100 - tail])]


def paired_difference(
    first: npt.NDArray[np.floating],
    second: npt.NDArray[np.floating],
    replicates: int = 1000,
    seed: int = 0,
    weights: npt.NDArray[np.float64] | None = None,
) -> tuple[float, list[float]]:
    """Difference of two means over the same images, with its paired interval.

    Args:
        first: A value of each image ``(N,)``, in the order of the split.
        second: The same of the other result.
        replicates: Number of resamples.
        seed: Seed of the resamples.
        weights: Weight of each image in the mean; None weighs all alike.

    Returns:
        Mean of `second` minus mean of `first`, and [low, high].
    """
    share = np.ones(len(first)) if weights is None else weights
    change = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    numerator, denominator = np.zeros(replicates), np.zeros(replicates)
    for start in range(0, len(change), 4096):
        chunk = slice(start, start + 4096)
        drawn = bootstrap_weights(np.arange(len(change))[chunk], replicates, seed) * share[chunk]
        numerator += drawn @ change[chunk]
        denominator += drawn.sum(axis=1)
    return float(np.average(change, weights=share)), interval(_ratio(numerator, denominator))


@dataclass
class BootstrapIntervals:
    """Intervals of every figure of every row, from records chunk by chunk.

    Figures at the fixed and the val threshold are resampled with that threshold held; MaxBoxAcc and MaxBoxAccV2
    choose their best threshold anew in every resample, as they do on the whole split.

    Attributes:
        rows: Names of the rows of the records.
        protocol: Conventions of hits and means.
        thresholds: Thresholds known before the pass.
        labels: Class of every image of the split.
        replicates: Number of resamples.
        seed: Seed of the resamples.
    """

    rows: Sequence[str]
    protocol: Protocol
    thresholds: Thresholds
    labels: npt.NDArray[np.int64]
    replicates: int = 1000
    seed: int = 0
    _sums: dict[str, dict[str, npt.NDArray[np.float64]]] = field(default_factory=dict, init=False)
    _total: npt.NDArray[np.float64] | None = field(default=None, init=False)

    def count(self, records: Records) -> None:
        """Count a chunk of records."""
        weights = bootstrap_weights(records["index"], self.replicates, self.seed)
        weights = weights * image_weights(records["index"], self.labels, self.protocol).astype(np.float32)
        self._total = weights.sum(axis=1, dtype=np.float64) + (0 if self._total is None else self._total)
        for row, name in enumerate(self.rows):
            sums = self._sums.setdefault(name, {})
            for figure, hits in self._hits(records, row, name).items():
                total = weights @ hits.astype(np.float32)
                sums[figure] = total + sums.get(figure, 0)

    def _hits(self, records: Records, row: int, name: str) -> dict[str, npt.NDArray[np.bool_]]:
        val = None if self.thresholds.val is None else self.thresholds.val.get(name)
        held = np.array([self.thresholds.fixed] + ([] if val is None else [val]))
        hits = {key: hit for key, hit in row_hits(records, row, held, self.protocol).items() if "@" not in key}
        if not name.isdigit():
            return hits
        curves = row_hits(records, row, cam_thresholds(), self.protocol)
        return hits | {key: curve for key, curve in curves.items() if key == "largest@0.5" or key.startswith("all@")}

    def compute(self) -> dict[str, Any]:
        """Intervals [low, high] in percent: row -> figure -> interval; for Loc figures policy -> interval."""
        return {
            "level": LEVEL,
            "replicates": self.replicates,
            "seed": self.seed,
            "rows": {name: self._row(sums) for name, sums in self._sums.items()},
        }

    def _row(self, sums: dict[str, npt.NDArray[np.float64]]) -> dict[str, Any]:
        assert self._total is not None
        percent = {figure: 100 * _ratio(total, self._total[:, None]) for figure, total in sums.items()}
        row: dict[str, Any] = {name: interval(percent[name][:, 0]) for name in ("top1_cls", "top5_cls")}
        for name in LOC_FIGURES:
            policies = zip(("fixed", "val"), percent[name].T, strict=False)
            row[name] = {policy: interval(replicated) for policy, replicated in policies}
        if "largest@0.5" in percent:
            best = [percent[f"all@{iou}"].max(axis=1) for iou in IOU_THRESHOLDS]
            row["max_box_acc"] = interval(percent["largest@0.5"].max(axis=1))
            row["max_box_acc_v2"] = interval(np.mean(best, axis=0))
        return row


def _ratio(numerator: npt.NDArray[np.floating], denominator: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Quotient; a resample of a tiny split that drew no image at all says nothing and counts as zero."""
    safe = np.where(denominator > 0, denominator, 1)
    return np.where(denominator > 0, numerator / safe, 0).astype(np.float64)

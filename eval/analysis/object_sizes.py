"""Figures that large central objects do not decide: by the object's size, and where a centred box fails.

On photographs one threshold and one mean over all images reward large central objects: a centred box that has not seen
the image meets most of them. docs/metrics.md defines the figures; the published ones stay the headline.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.analysis.baselines import hits_of_box
from eval.analysis.curves import distinct_thresholds
from eval.analysis.groups import SIZE_BUCKETS, size_buckets
from eval.analysis.intervals import Bootstrap
from eval.judging.hits import kept_hits, row_hits
from eval.judging.split import JudgedSplit
from wsol.sweep import cam_thresholds

ORACLE = "oracle"
ENDS = (2.5, 97.5)
# Figures that rows of results.json have beside the field's own, each under every threshold policy.
SIZE_FIGURES = ("size_balanced", "centre_box_fails")


def object_size_figures(
    judged: JudgedSplit, centre_box: tuple[int, int, int, int], map_size: tuple[int, int], replicates: int = 1000
) -> dict[str, dict[str, Any]]:
    """Figures by object size of every row; images without a ground-truth box are left out.

    Args:
        judged: The judged split; some image has a box.
        centre_box: The best centred box of the split, in score-map pixels.
        map_size: Width and height of the score map.
        replicates: Resamples for the intervals of the steps; 0 for none.

    Returns:
        Row -> what `ObjectSizes.figures` returns.
    """
    truth = judged.ground_truth
    maxima = np.unique(np.concatenate([np.unique(records["maximum"]) for records in judged.records()]))
    swept, _ = distinct_thresholds(maxima, cam_thresholds())
    # The headline's threshold is the one chosen on val, where there is one.
    policies = {"fixed": "fixed"} | ({} if judged.thresholds.val is None else {"val": "headline"})
    rows = [ObjectSizes(swept, list(policies), replicates if name in judged.steps else 0) for name in judged.rows]
    centre_hits = hits_of_box(centre_box, truth, judged.protocol, map_size)
    for records in judged.records():
        boxed = records[records["boxed"]]
        index = boxed["index"]
        buckets = size_buckets([truth.boxes[place] for place in index], truth.sizes[index])
        for row, sizes in enumerate(rows):
            curve = row_hits(boxed, row, swept, judged.protocol)["gt_known_loc"]
            held = [kept_hits(boxed, row, policy=kept)[:, None] for kept in policies.values()]
            sizes.update(index, np.concatenate([curve, *held], axis=1), buckets, centre_hits[index])
    return {name: sizes.figures() for name, sizes in zip(judged.rows, rows, strict=True)}


class ObjectSizes:
    """Counts GT-known Loc of one row per group of images: every size bucket, and the images a centred box misses.

    Every image counts once in its group, also under protocols that average over classes.

    Args:
        thresholds: ``(n,)`` thresholds that are swept, rising.
        policies: Names of the thresholds known before the pass, such as "fixed" and "val".
        replicates: Resamples for the intervals; 0 for none.
        seed: Seed of the resamples.
    """

    def __init__(
        self, thresholds: npt.NDArray[np.float64], policies: Sequence[str], replicates: int = 1000, seed: int = 0
    ) -> None:
        self.thresholds = np.asarray(thresholds, dtype=np.float64)
        self.policies = tuple(policies)
        columns = len(self.thresholds) + len(self.policies)
        self._buckets = [_Group(columns, replicates, seed) for _ in SIZE_BUCKETS]
        self._missed = _Group(columns, replicates, seed)
        self._images = 0

    def update(
        self,
        indices: npt.NDArray[np.integer],
        hits: npt.NDArray[np.bool_],
        buckets: npt.NDArray[np.integer],
        centre_hits: npt.NDArray[np.bool_],
    ) -> None:
        """Count some images, each once.

        Args:
            indices: ``(N,)`` positions in the split.
            hits: ``(N, n + p)`` whether each image is localized at each of `thresholds`, then under each policy.
            buckets: ``(N,)`` positions in `SIZE_BUCKETS`.
            centre_hits: ``(N,)`` whether the best centred box of the split meets the object.
        """
        self._images += len(indices)
        for bucket, group in enumerate(self._buckets):
            group.update(indices, hits, buckets == bucket)
        self._missed.update(indices, hits, ~centre_hits)

    def figures(self) -> dict[str, Any]:
        """The figures of the row, in percent, None where a group has no images.

        Returns:
            ``by_size``: for every bucket that holds images ``size``, ``images``, the accuracy under every policy,
            and ``threshold``, the lowest of the thresholds with the highest accuracy there, which ``oracle`` is
            at. ``size_balanced``: the mean over these buckets under every policy, ``threshold`` and ``intervals``.
            ``centre_box_fails``: ``images``, their ``share`` of all, and the same.
        """
        filled = [(name, group) for name, group in zip(SIZE_BUCKETS, self._buckets, strict=True) if group.images]
        balanced: dict[str, Any] = {"threshold": None, **self._policies(None), "intervals": None}
        if filled:
            curve = np.mean([group.curve for _, group in filled], axis=0)
            replicates = [group.replicates for _, group in filled if group.replicates is not None]
            resampled = _mean_of_groups(np.stack(replicates)) if replicates else None
            balanced = {**self._policies(curve), "intervals": self._intervals(resampled)}
        return {
            "by_size": [
                {"size": name, "images": group.images, **self._policies(group.curve)} for name, group in filled
            ],
            "size_balanced": balanced,
            "centre_box_fails": {
                "images": self._missed.images,
                "share": 100.0 * self._missed.images / self._images if self._images else None,
                **self._policies(self._missed.curve if self._missed.images else None),
                "intervals": self._intervals(self._missed.replicates),
            },
        }

    def _policies(self, curve: npt.NDArray[np.float64] | None) -> dict[str, float | None]:
        """Accuracy under every policy and at the best one, and which that is."""
        if curve is None:
            return dict.fromkeys([*self.policies, ORACLE, "threshold"])
        count = len(self.thresholds)
        best = int(curve[:count].argmax())
        held = dict(zip(self.policies, curve[count:].tolist(), strict=True))
        return {**held, ORACLE: float(curve[best]), "threshold": float(self.thresholds[best])}

    def _intervals(self, replicates: npt.NDArray[np.float64] | None) -> dict[str, list[float]] | None:
        """[low, high] of every policy; the oracle's threshold is chosen anew in every resample."""
        if replicates is None:
            return None
        swept, held = np.split(replicates, [len(self.thresholds)], axis=1)
        of_policy = {**dict(zip(self.policies, held.T, strict=True)), ORACLE: swept.max(axis=1)}
        return {policy: np.nanpercentile(values, ENDS).tolist() for policy, values in of_policy.items()}


class _Group:
    """Hits of a group's images at every threshold, and their resamples."""

    def __init__(self, thresholds: int, replicates: int, seed: int) -> None:
        self.images = 0
        self._hits = np.zeros(thresholds, dtype=np.int64)
        self._bootstrap = Bootstrap(thresholds, replicates, seed) if replicates else None

    def update(
        self, indices: npt.NDArray[np.integer], hits: npt.NDArray[np.bool_], chosen: npt.NDArray[np.bool_]
    ) -> None:
        self.images += int(chosen.sum())
        self._hits += hits[chosen].sum(axis=0)
        if self._bootstrap is not None:
            self._bootstrap.update(indices[chosen], hits[chosen])

    @property
    def curve(self) -> npt.NDArray[np.float64]:
        """Percent of the images localized at every threshold ``(n,)``."""
        return 100.0 * self._hits / self.images

    @property
    def replicates(self) -> npt.NDArray[np.float64] | None:
        """The curve of every resample ``(replicates, n)``, NaN in one that holds none of the images."""
        if self._bootstrap is None or not self.images:
            return None
        estimates = self._bootstrap.estimates()
        estimates[self._bootstrap.weights == 0] = np.nan
        return estimates


def _mean_of_groups(replicates: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean over groups of ``(G, replicates, n)``, in each resample over those of which it holds images."""
    known = ~np.isnan(replicates)
    count = known.sum(axis=0)
    total = np.where(known, replicates, 0.0).sum(axis=0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)

"""95 % intervals by the Poisson bootstrap: streaming, mergeable, and paired by construction.

In every replicate an image counts as often as a Poisson variable of mean 1 says (Hanley and MacGibbon
2006; Chamandy et al. 2012), which for many images is drawing them with replacement. The variable is a
hash of seed, image and replicate, so images may come in any order and in any number of processes, and two
results over the same images are resampled alike: their difference per replicate is a paired one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wsol.errors import InputError, NothingToJudgeError

CHUNK = 1024  # images weighted at a time
_MAX_COUNT = 16  # P(Poisson(1) > 16) is below 1e-15, less than the resolution of the hash


@dataclass(frozen=True)
class Interval:
    """A figure and the range that holds the middle 95 % (or another level) of its replicates."""

    value: float
    low: float
    high: float


class Bootstrap:
    """Replicates of the means of some figures over images.

    Args:
        num_figures: Figures per image.
        replicates: Number of replicates.
        seed: Another seed gives another, independent resampling.

    >>> bootstrap = Bootstrap(num_figures=1)
    >>> bootstrap.update(np.arange(400), np.arange(400)[:, None] % 2)
    >>> interval = bootstrap.interval(0)
    >>> interval.value, round(interval.low), round(interval.high)
    (50.0, 45, 54)
    """

    def __init__(self, num_figures: int, replicates: int = 1000, seed: int = 0) -> None:
        self.replicates = replicates
        self.seed = seed
        self._sums = np.zeros((replicates, num_figures))
        self._weights = np.zeros(replicates)
        self._plain_sums = np.zeros(num_figures)
        self._plain_weight = 0.0

    def update(
        self,
        indices: npt.NDArray[np.integer],
        values: npt.NDArray[Any],
        weights: npt.NDArray[np.floating] | None = None,
    ) -> None:
        """Count some images, each once.

        Args:
            indices: ``(N,)`` positions of the images in the split: what two results are paired by.
            values: ``(N, F)`` figures of each image, booleans or numbers.
            weights: ``(N,)`` weights of the images in the mean, such as one over the size of the class
                for a mean over classes; equal by default.

        Raises:
            InputError: If the shapes do not fit.
        """
        values = np.asarray(values, dtype=np.float64)
        if values.shape != (len(indices), len(self._plain_sums)):
            raise InputError(
                f"values must have the shape ({len(indices)}, {len(self._plain_sums)}), got {values.shape}"
            )
        image_weights = np.ones(len(indices)) if weights is None else np.asarray(weights, dtype=np.float64)
        self._plain_sums += image_weights @ values
        self._plain_weight += image_weights.sum()
        for start in range(0, len(indices), CHUNK):
            part = slice(start, start + CHUNK)
            counts = poisson_counts(indices[part], self.replicates, self.seed) * image_weights[part]
            self._sums += counts @ values[part]
            self._weights += counts.sum(axis=1)

    def merge(self, other: Bootstrap) -> None:
        """Add the images that another process counted.

        Raises:
            InputError: If the other one was set up differently.
        """
        self._check_alike(other)
        self._sums += other._sums
        self._weights += other._weights
        self._plain_sums += other._plain_sums
        self._plain_weight += other._plain_weight

    def estimates(self) -> npt.NDArray[np.float64]:
        """Percent ``(replicates, F)`` in every replicate.

        Raises:
            NothingToJudgeError: If no image has been counted.
        """
        if self._plain_weight == 0:
            raise NothingToJudgeError("no image has been counted yet; call update first")
        return 100.0 * self._sums / np.maximum(self._weights, np.finfo(float).tiny)[:, None]

    @property
    def weights(self) -> npt.NDArray[np.float64]:
        """Weight of all images together in every replicate ``(replicates,)``; 0 where it holds none of them."""
        return self._weights

    def interval(self, figure: int, level: float = 0.95) -> Interval:
        """Percentile interval of one figure."""
        estimates = self.estimates()[:, figure]
        return _interval(100.0 * self._plain_sums[figure] / self._plain_weight, estimates, level)

    def best_interval(self, figures: slice = slice(None), level: float = 0.95) -> Interval:
        """Interval of the largest of some figures, chosen anew in every replicate: of an oracle threshold."""
        estimates = self.estimates()[:, figures].max(axis=1)
        return _interval(100.0 * self._plain_sums[figures].max() / self._plain_weight, estimates, level)

    def paired_difference(self, other: Bootstrap, figure: int, level: float = 0.95) -> Interval:
        """Interval of this result's figure minus another's, over the same images.

        Raises:
            InputError: If the other one was set up differently or counted other images.
        """
        self._check_alike(other)
        if not np.allclose(self._weights, other._weights, rtol=1e-9):
            raise InputError("the two results are not over the same images, so they cannot be paired")
        mine, theirs = (b._plain_sums[figure] / b._plain_weight for b in (self, other))
        differences = self.estimates()[:, figure] - other.estimates()[:, figure]
        return _interval(100.0 * (mine - theirs), differences, level)

    def _check_alike(self, other: Bootstrap) -> None:
        mine, theirs = ((b._sums.shape, b.seed) for b in (self, other))
        if mine != theirs:
            raise InputError(f"bootstraps of different figures, replicates or seed: {mine} and {theirs}")


def poisson_counts(indices: npt.NDArray[np.integer], replicates: int, seed: int = 0) -> npt.NDArray[np.float64]:
    """How often each image counts in each replicate, ``(replicates, N)``: Poisson with mean 1.

    The same for an index wherever and whenever it is asked for.
    """
    image = _mix(np.asarray(indices).astype(np.uint64) + _mix(np.array(seed, dtype=np.uint64)))
    replicate = _mix(np.arange(replicates, dtype=np.uint64) ^ np.uint64(0xD1B54A32D192ED03))
    uniform = (_mix(image[None, :] ^ replicate[:, None]) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return np.searchsorted(_poisson_distribution(), uniform, side="right").astype(np.float64)


def _poisson_distribution() -> npt.NDArray[np.float64]:
    """P(X <= k) of a Poisson variable of mean 1, for k = 0, 1, …."""
    terms = np.cumprod([1.0, *(1.0 / k for k in range(1, _MAX_COUNT + 1))])
    return np.cumsum(terms) * np.exp(-1.0)


def _mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64 (Steele, Lea and Flood, 2014): a bijection whose output bits look independent."""
    with np.errstate(over="ignore"):
        mixed = values + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _interval(value: float, estimates: npt.NDArray[np.float64], level: float) -> Interval:
    low, high = np.quantile(estimates, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(value), float(low), float(high))

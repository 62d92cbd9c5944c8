"""Which score-map threshold a figure is read at, and where that threshold comes from.

The same curve gives three figures. *fixed*: a threshold given beforehand. *val*: the best threshold of
the validation split, the honest choice of the field. *oracle*: the best threshold of the very images
that are scored; it is an upper bound, and what wsolevaluation prints.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.errors import InputError

POLICIES = ("fixed", "val", "oracle")


@dataclass(frozen=True)
class ThresholdFigure:
    """A figure read from a curve.

    Attributes:
        percent: The figure.
        threshold: Score-map threshold, relative to a map's maximum, that it was read at.
        policy: "fixed", "val" or "oracle": where the threshold comes from.
    """

    percent: float
    threshold: float
    policy: str


def best_threshold(thresholds: npt.ArrayLike, curve: npt.ArrayLike) -> float:
    """Threshold with the highest figure; of several equal ones the lowest, as `numpy.argmax` finds it.

    >>> best_threshold([0.1, 0.2, 0.3], [40.0, 60.0, 60.0])
    0.2
    """
    values, figures = _fitting(thresholds, curve)
    return float(values[figures.argmax()])


def threshold_index(thresholds: npt.ArrayLike, threshold: float) -> int:
    """Index of the listed threshold nearest to one: the lower of two equally near.

    >>> threshold_index([0.1, 0.2, 0.3], 0.24)
    1
    """
    return int(np.abs(np.asarray(thresholds, dtype=np.float64) - threshold).argmin())


def figures_by_policy(
    thresholds: npt.ArrayLike, curve: npt.ArrayLike, fixed: float, val: float | None = None
) -> dict[str, ThresholdFigure | None]:
    """One curve's figure under every policy.

    Args:
        thresholds: ``(n,)`` rising thresholds.
        curve: ``(n,)`` percent at each of them, on the split that is scored.
        fixed: The fixed threshold.
        val: The threshold chosen on the validation split (`best_threshold` of its own curve); None
            without such a split.

    Returns:
        A figure per policy, None under ``"val"`` where there is no validation split.

    Raises:
        InputError: If curve and thresholds do not fit.

    >>> figures = figures_by_policy([0.1, 0.2, 0.3], [40.0, 60.0, 50.0], fixed=0.1, val=0.3)
    >>> [(name, figure.percent, figure.threshold) for name, figure in figures.items()]
    [('fixed', 40.0, 0.1), ('val', 50.0, 0.3), ('oracle', 60.0, 0.2)]
    """
    values, figures = _fitting(thresholds, curve)

    def read(threshold: float, policy: str) -> ThresholdFigure:
        index = threshold_index(values, threshold)
        return ThresholdFigure(float(figures[index]), float(values[index]), policy)

    return {
        "fixed": read(fixed, "fixed"),
        "val": None if val is None else read(val, "val"),
        "oracle": read(best_threshold(values, figures), "oracle"),
    }


def _fitting(thresholds: npt.ArrayLike, curve: npt.ArrayLike) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    values, figures = np.asarray(thresholds, dtype=np.float64), np.asarray(curve, dtype=np.float64)
    if values.shape != figures.shape or values.ndim != 1 or len(values) == 0:
        raise InputError(f"thresholds {values.shape} and curve {figures.shape} must be of one length, at least 1")
    return values, figures

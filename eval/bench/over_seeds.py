"""Means over seeds, paired differences to a baseline, and their 95 % intervals by Student's t."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
from scipy.stats import t

from eval.bench.description import FIGURES, Baseline
from eval.bench.figures import CONFIGURATION, COSTS
from eval.bench.over_images import Intervals, base_run, paired_over_images
from tdam.errors import UserError

AGAINST = ("", "_half", "_low", "_high")  # ends of the columns of a difference


@dataclass(frozen=True)
class Mean:
    """A mean over seeds.

    Attributes:
        value: The mean.
        half: Half the width of its 95 % interval; None of fewer than two seeds.
        seeds: Number of seeds.
    """

    value: float
    half: float | None
    seeds: int

    @property
    def differs_from_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.half is not None and abs(self.value) > self.half


def mean_of(values: pd.Series) -> Mean | None:
    """Mean of a figure over seeds; None where there is none.

    >>> mean_of(pd.Series([60.0, 62.0, 64.0]))
    Mean(value=62.0, half=4.968..., seeds=3)
    """
    values = values.dropna().astype(float)
    count = len(values)
    if count == 0:
        return None
    half = None if count < 2 else float(t.ppf(0.975, count - 1) * values.std() / count**0.5)
    return Mean(float(values.mean()), half, count)


def paired_difference(values: pd.Series, base: pd.Series) -> Mean | None:
    """Mean of the differences seed by seed, over the seeds that both have.

    Args:
        values: A figure, its index the seeds.
        base: The same of the baseline.
    """
    return mean_of(values - base)


def baseline_of(rows: pd.DataFrame, baseline: Baseline) -> dict[str, str]:
    """The configuration, but for the protocol, that all others are compared with: the first that the baseline names.

    Args:
        rows: Result of `finished_rows`.
        baseline: What the comparison names.

    Raises:
        UserError: If none of the finished runs is of it.
    """
    found = rows
    for name in ("network", "method", "map"):
        wanted = getattr(baseline, name)
        if wanted is not None:
            found = found[found[name] == wanted]
    if found.empty:
        raise UserError("no run of the baseline is finished yet")
    return {name: str(found.iloc[0][name]) for name in CONFIGURATION if name != "protocol"}


def summary(
    rows: pd.DataFrame, baseline: Baseline, over_images: Callable[[str, str], Intervals] = paired_over_images
) -> pd.DataFrame:
    """One row per configuration: mean, interval and paired difference of every figure, mean costs.

    Args:
        rows: Result of `finished_rows`.
        baseline: What the comparison names.
        over_images: Gives the intervals of differences between two results folders, where there is one seed.

    Returns:
        Columns `CONFIGURATION`, ``seeds``, for every figure F ``F``, ``F_half``, ``F_against``, ``F_against_half``
        (over seeds), ``F_against_low``, ``F_against_high`` (over images, where there is one seed), empty where
        unknown; ``is_baseline``, and `COSTS`.
    """
    base = baseline_of(rows, baseline)
    lines = []
    for names, runs in rows.groupby(list(CONFIGURATION), sort=False):
        configuration = dict(zip(CONFIGURATION, names, strict=True))
        is_baseline = all(configuration[key] == value for key, value in base.items())
        of_base = rows[rows["protocol"] == configuration["protocol"]]
        for key, value in base.items():
            of_base = of_base[of_base[key] == value]
        line: dict[str, object] = {**configuration, "seeds": len(runs), "is_baseline": is_baseline}
        for figure in FIGURES:
            mean = mean_of(runs[figure])
            line |= {figure: mean and mean.value, f"{figure}_half": mean and mean.half}
        line |= dict.fromkeys(f"{figure}_against{end}" for figure in FIGURES for end in AGAINST)
        if not is_baseline:
            line |= _against(runs, of_base, over_images)
        line |= {cost: runs[cost].astype(float).mean() for cost in COSTS}
        lines.append(line)
    return pd.DataFrame(lines)


def _against(
    runs: pd.DataFrame, of_base: pd.DataFrame, over_images: Callable[[str, str], Intervals]
) -> dict[str, float | None]:
    """Differences to the baseline, paired by seed; by image where there is one seed."""
    partner = base_run(runs, of_base) if len(runs) == 1 else None
    intervals = {} if partner is None else over_images(partner["folder"], runs["folder"].iloc[0])
    line: dict[str, float | None] = {}
    for figure in FIGURES:
        if partner is None:
            found = paired_difference(runs.set_index("seed")[figure], of_base.set_index("seed")[figure])
        else:
            found = mean_of(runs[figure].reset_index(drop=True) - partner[figure])
        value, half = (None, None) if found is None else (found.value, found.half)
        line |= {f"{figure}_against": value, f"{figure}_against_half": half}
        low, high = intervals.get(figure, (None, None))
        line |= {f"{figure}_against_low": low, f"{figure}_against_high": high}
    return line


def best_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """For every protocol and figure the configuration with the highest mean, and the next one.

    Args:
        table: Result of `summary`.

    Returns:
        ``protocol``, ``figure``, and the rows ``best`` and ``next`` of `table`; the next is None where there is none.
    """
    lines = []
    for protocol, of_protocol in table.groupby("protocol", sort=False):
        for figure in FIGURES:
            known = of_protocol[of_protocol[figure].notna()]
            ranked = known[figure].astype(float).sort_values(ascending=False, kind="stable")
            rows = [row for _, row in known.loc[ranked.index[:2]].iterrows()]
            if rows:
                following = rows[1] if len(rows) > 1 else None
                lines.append({"protocol": protocol, "figure": figure, "best": rows[0], "next": following})
    return lines

"""Means over seeds, paired differences to a baseline, and their 95 % intervals by Student's t."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
from scipy.stats import t

from eval.bench.description import FIGURES, Baseline
from eval.bench.figures import CONFIGURATION, COSTS
from tdam.errors import UserError


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


def summary(rows: pd.DataFrame, baseline: Baseline) -> pd.DataFrame:
    """One row per configuration: mean, half interval and paired difference of every figure, mean costs.

    Args:
        rows: Result of `finished_rows`.
        baseline: What the comparison names.

    Returns:
        Columns `CONFIGURATION`, ``seeds``, for every figure F ``F``, ``F_half``, ``F_against``, ``F_against_half``
        (empty where unknown), ``is_baseline``, and `COSTS`.
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
            against = None
            if not is_baseline and runs["seed"].notna().all():
                against = paired_difference(runs.set_index("seed")[figure], of_base.set_index("seed")[figure])
            for key, found in ((figure, mean), (f"{figure}_against", against)):
                line |= {key: found and found.value, f"{key}_half": found and found.half}
        line |= {cost: runs[cost].astype(float).mean() for cost in COSTS}
        lines.append(line)
    return pd.DataFrame(lines)


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

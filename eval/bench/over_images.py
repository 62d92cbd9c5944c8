"""Differences between two runs, paired image by image: what there is where a configuration has one seed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from eval.output.compare import compare, read_result

Intervals = dict[str, tuple[float, float]]


def paired_over_images(first: str, second: str) -> Intervals:
    """95 % bootstrap intervals over images of the second result's figures minus the first's.

    Args:
        first: Results folder of the baseline.
        second: The other's.

    Returns:
        Figure -> interval in points; figures of the whole split have none.

    Raises:
        UserError: If the results are damaged, or not of the same images.
    """
    differences = compare(read_result(Path(first)), read_result(Path(second))).differences
    return {one.figure: (one.low, one.high) for one in differences if one.low is not None and one.high is not None}


def base_run(runs: pd.DataFrame, of_base: pd.DataFrame) -> pd.Series | None:
    """The baseline's run that a configuration's only run is paired with: of its seed; of any, where it has none.

    Args:
        runs: The only run of a configuration.
        of_base: Runs of the baseline by the same protocol.
    """
    seed = runs["seed"].iloc[0]
    found = of_base if pd.isna(seed) else of_base[of_base["seed"].isna() | (of_base["seed"] == seed)]
    return None if found.empty else found.iloc[0]

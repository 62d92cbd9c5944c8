"""Do the verdicts of minibirds carry over to photographs? Rank correlation over the configurations that both have.

python scripts/experiments/verdicts.py

Reads what attention_on_minibirds.py and attention_on_photographs.py have measured so far, and ranks the configurations
by the mean over seeds of a figure of the last step. The interval resamples configurations and, in each, seeds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from comparison import FIGURES, last_steps, markdown
from scipy.stats import spearmanr

DATA = Path(__file__).parents[2] / "docs" / "data"
REPLICATES = 2000


def seeds_of(path: Path, figure: str) -> dict[str, np.ndarray]:
    """Configuration -> the figure of the last step of every seed."""
    rows = last_steps(pd.read_csv(path, dtype={"row": str}))
    return {name: runs[figure].to_numpy() for name, runs in rows.groupby("configuration")}


def correlation(first: list[np.ndarray], second: list[np.ndarray]) -> tuple[float, float, float]:
    """Spearman's correlation of the means, and the ends of its 95 % interval."""
    generator = np.random.default_rng(0)
    found = []
    for _ in range(REPLICATES):
        chosen = generator.integers(0, len(first), len(first))
        means = [[generator.choice(side[i], len(side[i])).mean() for i in chosen] for side in (first, second)]
        if np.ptp(means[0]) > 0 and np.ptp(means[1]) > 0:
            found.append(spearmanr(*means).statistic)
    value = spearmanr([seeds.mean() for seeds in first], [seeds.mean() for seeds in second]).statistic
    low, high = np.percentile(found, [2.5, 97.5])
    return float(value), float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drawn", type=Path, default=DATA / "compare_attention.csv")
    parser.add_argument("--photographs", type=Path, default=DATA / "photographs_attention.csv")
    parser.add_argument("--figure", choices=FIGURES, default="max_box_acc")
    arguments = parser.parse_args()
    drawn = seeds_of(arguments.drawn, arguments.figure)
    real = seeds_of(arguments.photographs, arguments.figure)
    names = [name for name in drawn if name in real]
    lines = []
    for name in sorted(names, key=lambda name: -drawn[name].mean()):
        means = [side[name].mean() for side in (drawn, real)]
        against = [side[name].mean() - side["plain"].mean() for side in (drawn, real)]
        counts = [str(len(side[name])) for side in (drawn, real)]
        lines.append([name, *counts, *(f"{mean:.1f}" for mean in means), *(f"{gap:+.1f}" for gap in against)])
    columns = [f"{what}, {side}" for what in ("seeds", "mean", "against plain") for side in ("drawn", "real")]
    print(markdown(["configuration", *columns], lines))
    value, low, high = correlation([drawn[name] for name in names], [real[name] for name in names])
    print(f"\n{arguments.figure}, {len(names)} configurations: Spearman's {value:+.2f} [{low:+.2f}, {high:+.2f}]")


if __name__ == "__main__":
    main()

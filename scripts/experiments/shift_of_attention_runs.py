"""Does the map of the trained networks move from the first step to the last? Reads what the runs have been judged to.

python scripts/experiments/shift_of_attention_runs.py --runs runs/photographs_attention
python scripts/experiments/shift_of_attention_runs.py --table

The runs are those of attention_on_photographs.py with several steps; the figures are those of docs/attention-shift.md.
One row per run goes to docs/data/photographs_shift.csv; runs that are not there any more keep their rows.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from comparison import markdown

from eval.report.page import EFFECTS, MOVES
from tdam.files import replacing
from wsol.results import read_results

ROOT = Path(__file__).parents[2]
CSV = ROOT / "docs" / "data" / "photographs_shift.csv"


def rows_of(runs: Path) -> pd.DataFrame:
    """The figures between first and last step, of every run that has several."""
    rows = []
    for path in sorted(runs.glob("*/seed*/evaluation/results.json")):
        folder = path.parents[1]
        shift = read_results(path).content["attention_shift"]
        if shift is None:
            continue
        group = shift["groups"]["all"]
        found = group["pairs"][f"1-{len(group['steps'])}"]
        figures = {column.key: column.scale * found[column.key]["mean"] for column in MOVES + EFFECTS}
        name, seed = folder.parent.name.replace("_", " "), int(folder.name.removeprefix("seed"))
        rows.append({"configuration": name, "seed": seed, "images": group["images"], **figures})
    return pd.DataFrame(rows)


def table(rows: pd.DataFrame) -> str:
    """Means over seeds, with the least and the most of them."""
    columns = MOVES + EFFECTS
    lines = []
    for name, runs in rows.groupby("configuration", sort=False):
        cells = []
        for column in columns:
            values, digits = runs[column.key], column.digits
            cells.append(f"{values.mean():.{digits}f} [{values.min():.{digits}f}, {values.max():.{digits}f}]")
        lines.append([str(name), str(len(runs)), *cells])
    return markdown(["configuration", "seeds", *(column.name for column in columns)], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "photographs_attention")
    parser.add_argument("--table", action="store_true", help="print the table of the rows that are there and end")
    arguments = parser.parse_args()
    if not arguments.table:
        rows = pd.concat([pd.read_csv(CSV) if CSV.exists() else None, rows_of(arguments.runs)], ignore_index=True)
        rows = rows.drop_duplicates(["configuration", "seed"], keep="last").sort_values(["configuration", "seed"])
        with replacing(CSV) as part:
            rows.to_csv(part, index=False, float_format="%.6g")
    print(table(pd.read_csv(CSV)))


if __name__ == "__main__":
    main()

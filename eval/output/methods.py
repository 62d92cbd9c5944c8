"""Map methods judged together: one table of what each gains over the first, with paired intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table

from eval.output.compare import FIGURES, compare, read_result
from tdam.files import write_text

METHODS = "methods.csv"


def methods_table(folder: Path, methods: Sequence[str], replicates: int) -> Table:
    """Compare the results in ``folder/<method>`` with the first method's, and write ``folder/methods.csv``.

    Args:
        folder: Where the methods' results are.
        methods: Names of the methods; differences are to the first.
        replicates: Resamples of the paired bootstrap; 0 leaves intervals out.
    """
    first, *others = [read_result(folder / method) for method in methods]
    rows: list[dict[str, Any]] = []
    for method, other in zip(methods[1:], others, strict=True):
        for difference in compare(first, other, max(1, replicates)).differences:
            rows.append(
                {
                    "method": method,
                    "against": methods[0],
                    "figure": difference.figure,
                    "value": difference.second,
                    "difference": difference.difference,
                    "low": difference.low if replicates else None,
                    "high": difference.high if replicates else None,
                }
            )
    write_text(folder / METHODS, pd.DataFrame(rows).to_csv(index=False))
    table = Table(
        title=f"map methods against {methods[0]}, last step, {len(first.last)} images",
        caption=f"Difference in points{' with its paired 95 % bootstrap interval' if replicates else ''}.",
        caption_justify="left",
    )
    for heading in ("figure", *methods[1:]):
        table.add_column(heading, justify="left" if heading == "figure" else "right")
    for figure in dict.fromkeys(row["figure"] for row in rows):
        table.add_row(FIGURES[figure], *(_cell(row) for row in rows if row["figure"] == figure))
    return table


def _cell(row: dict[str, Any]) -> str:
    if row["low"] is None:
        return f"{row['difference']:+.2f}"
    return f"{row['difference']:+.2f} \\[{row['low']:+.1f}, {row['high']:+.1f}]"

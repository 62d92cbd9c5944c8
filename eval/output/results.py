"""One evaluation as an object, and as the files results.json and curves.csv.

The keys of results.json are fixed (schema `wsol-results/1`, described in docs/results.md); percentages are floats.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from eval.analysis.curves import Curves
from eval.output.predictions import read_predictions, write_predictions
from tdam.files import replacing, write_text
from wsol.results import CHECKSUMS, CURVES, PREDICTIONS, RESULTS, read_results, write_checksums


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found; every writer is handed this and nothing else.

    Attributes:
        results: Content of results.json.
        curves: Rows of curves.csv; empty where no image has a box.
        prediction_chunks: Gives the rows of predictions.csv, chunk by chunk in the order of the split.
    """

    results: dict[str, Any]
    curves: pd.DataFrame
    prediction_chunks: Callable[[], Iterable[pd.DataFrame]]

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """All rows of predictions.csv at once."""
        return pd.concat(self.prediction_chunks(), ignore_index=True)

    @property
    def steps(self) -> list[str]:
        """Names of the steps."""
        return list(self.results["steps"])

    @property
    def policy(self) -> str:
        """Threshold policy of the headline figures: "val" or "fixed"."""
        return str(self.results["thresholds"]["headline"])

    def write(self, folder: Path) -> None:
        """Write predictions.csv, curves.csv, results.json and, last, their checksums."""
        (folder / CHECKSUMS).unlink(missing_ok=True)
        write_predictions(folder / PREDICTIONS, self.prediction_chunks())
        with replacing(folder / CURVES) as temporary:
            self.curves.to_csv(temporary, index=False, float_format="%.6g")
        write_json(folder / RESULTS, self.results)
        write_checksums(folder)

    @classmethod
    def read(cls, folder: Path) -> Evaluation:
        """Read the folder that `write` wrote.

        Raises:
            UserError: If a file is missing, damaged or of another schema.
        """
        read = read_results(folder)
        predictions = read_predictions(folder / PREDICTIONS)
        return cls(read.content, read.curves, lambda: [predictions])


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, with NaN refused."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def curve_table(curves: Mapping[str, Curves]) -> pd.DataFrame:
    """Curves of all rows as one long table: step, threshold, and every accuracy at it in percent."""
    tables = []
    for row, of_row in curves.items():
        columns = {"step": row, "threshold": of_row.thresholds, **of_row.localization}
        columns |= {f"max_box_acc_{iou}": curve for iou, curve in of_row.largest.items()}
        columns |= {f"max_box_acc_v2_{iou}": curve for iou, curve in of_row.all.items()}
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()

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
from eval.output.predictions import PREDICTIONS, read_predictions, write_predictions
from tdam.errors import UserError
from tdam.files import replacing, write_text

SCHEMA = "wsol-results/1"
RESULTS, CURVES = "results.json", "curves.csv"


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
        """Write predictions.csv, curves.csv and, last, results.json."""
        write_predictions(folder / PREDICTIONS, self.prediction_chunks())
        with replacing(folder / CURVES) as temporary:
            self.curves.to_csv(temporary, index=False, float_format="%.6g")
        write_json(folder / RESULTS, self.results)

    @classmethod
    def read(cls, folder: Path) -> Evaluation:
        """Read the folder that `write` wrote.

        Raises:
            UserError: If a file is missing, damaged or of another schema.
        """
        results = read_results(folder)
        predictions = read_predictions(folder / PREDICTIONS)
        return cls(results, _read_curves(folder / CURVES), lambda: [predictions])


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, with NaN refused."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_results(path: Path) -> dict[str, Any]:
    """Read a results.json, or the one in a folder.

    Raises:
        UserError: If it is missing, damaged or of another schema.
    """
    path = path / RESULTS if path.is_dir() else path
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist: it is written by wsol-eval --output DIR") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a readable results file ({error})") from error
    if not isinstance(results, dict) or results.get("schema") != SCHEMA:
        raise UserError(f"{path} is not of schema {SCHEMA}: evaluate again with this version")
    return results


def _read_curves(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype={"step": str})
    except pd.errors.EmptyDataError:  # a split without boxes has no curves
        return pd.DataFrame()
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: it is written by wsol-eval --output DIR") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a readable table ({error}): evaluate again") from error


def curve_table(curves: Mapping[str, Curves]) -> pd.DataFrame:
    """Curves of all rows as one long table: step, threshold, and every accuracy at it in percent."""
    tables = []
    for row, of_row in curves.items():
        columns = {"step": row, "threshold": of_row.thresholds, **of_row.localization}
        columns |= {f"max_box_acc_{iou}": curve for iou, curve in of_row.largest.items()}
        columns |= {f"max_box_acc_v2_{iou}": curve for iou, curve in of_row.all.items()}
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()

"""Results of an evaluation as files: results.json, predictions.csv, curves.csv.

The keys of results.json are fixed (schema `wsol-results/1`, described in docs/results.md); percentages are floats.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eval.analysis.curves import ANY_STEP, LOC_FIGURES, Curves
from eval.judging.judge import Thresholds
from eval.judging.split import JudgedSplit
from eval.measures.outcomes import Outcome
from tdam.errors import UserError

SCHEMA = "wsol-results/1"
RESULTS, PREDICTIONS, CURVES = "results.json", "predictions.csv", "curves.csv"
PACKAGES = ("wsol", "torch", "torchvision", "timm", "torchmetrics", "numpy", "opencv-python-headless", "numba")


def row_figures(judged: JudgedSplit, row: str, thresholds: Thresholds, has_logits: bool) -> dict[str, Any]:
    """All figures of one row, under the keys of results.json.

    Figures that nothing was given for (no class scores, no boxes, no masks) are None.

    Args:
        judged: The judged split.
        row: A step, a fusion or "any".
        thresholds: The thresholds known before the pass.
        has_logits: Whether classes were predicted.
    """
    curves = judged.curves.get(row)
    figures: dict[str, Any] = {
        "top1_cls": curves.classification["top1_cls"] if curves and has_logits else None,
        "top5_cls": curves.classification["top5_cls"] if curves and has_logits else None,
        **{name: _loc(curves, name, row, thresholds, has_logits) for name in LOC_FIGURES},
        "max_box_acc": None,
        "max_box_acc_v2": None,
        "pxap": judged.pxap.get(row),
    }
    if curves is None:
        return figures
    by_iou, by_iou_v2 = curves.max_box_acc(), curves.max_box_acc_v2()
    return figures | {
        "max_box_acc": by_iou[0.5],
        "max_box_acc_v2": float(np.mean(list(by_iou_v2.values()))),
        "max_box_acc_by_iou": {str(iou): value for iou, value in by_iou.items()},
        "max_box_acc_v2_by_iou": {str(iou): value for iou, value in by_iou_v2.items()},
    }


def _loc(
    curves: Curves | None, name: str, row: str, thresholds: Thresholds, has_logits: bool
) -> dict[str, float | None]:
    """One localization figure under each threshold policy."""
    if curves is None or (name != "gt_known_loc" and not has_logits):
        return {"fixed": None, "val": None, "oracle": None}
    chosen = None if thresholds.val is None else thresholds.val.get(row)
    return {
        "fixed": curves.at(thresholds.fixed)[name],
        "val": None if chosen is None else curves.at(chosen)[name],
        "oracle": float(curves.localization[name].max()),
    }


def environment() -> dict[str, Any]:
    """What a reader needs to run the same again: versions, machine, time."""
    versions: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "packages": versions,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, with NaN refused."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)


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


def prediction_chunks(judged: JudgedSplit) -> Iterator[pd.DataFrame]:
    """Rows of predictions.csv, one per image and step, chunk by chunk in the order of the split."""
    truth = judged.ground_truth
    steps = [row for row, name in enumerate(judged.rows) if name.isdigit()]
    names = np.array(truth.class_names, dtype=object)
    kinds = np.array([kind.name.lower() for kind in Outcome], dtype=object)
    ids = np.array(truth.image_ids, dtype=object)
    for records in judged.records():
        index = np.repeat(records["index"], len(steps))
        of_steps = {
            field: records[field][:, steps].reshape(-1, *records[field].shape[2:])
            for field in records.dtype.names or ()
            if field not in ("index", "unreadable", "reached_largest", "reached_all")
        }
        known = of_steps["class_id"] >= 0
        box, predicted = of_steps["box"], of_steps["predicted_box"]
        yield pd.DataFrame(
            {
                "image": ids[index],
                "step": np.tile([int(judged.rows[row]) for row in steps], len(records)),
                "label": truth.labels[index],
                "label_name": names[truth.labels[index]],
                "class_id": np.where(known, of_steps["class_id"], -1),
                "class_name": np.where(known, names[np.where(known, of_steps["class_id"], 0)], ""),
                "confidence": of_steps["confidence"],
                "top1_correct": of_steps["in_top1"].astype(int),
                "top5_correct": of_steps["in_top5"].astype(int),
                "x0": box[:, 0],
                "y0": box[:, 1],
                "x1": box[:, 2],
                "y1": box[:, 3],
                "iou": of_steps["iou"],
                "iou_fixed": of_steps["iou_fixed"],
                "outcome": kinds[of_steps["outcome"]],
                "predicted_x0": predicted[:, 0],
                "predicted_y0": predicted[:, 1],
                "predicted_x1": predicted[:, 2],
                "predicted_y1": predicted[:, 3],
                "candidates": of_steps["candidates"],
                "objects": [len(truth.boxes[i]) for i in index],
                "degenerate_map": of_steps["degenerate"].astype(int),
                "unreadable": np.repeat(records["unreadable"], len(steps)).astype(int),
            }
        )


def write_predictions(path: Path, judged: JudgedSplit) -> None:
    """Write predictions.csv: one row per image and step, boxes in pixels of the original image."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8", newline="") as file:
        for number, chunk in enumerate(prediction_chunks(judged)):
            chunk.to_csv(file, index=False, header=number == 0, float_format="%.6g")
    os.replace(temporary, path)


def curve_table(curves: Mapping[str, Curves]) -> pd.DataFrame:
    """Curves of all rows as one long table: step, threshold, and every accuracy at it in percent."""
    tables = []
    for row, of_row in curves.items():
        columns = {"step": row, "threshold": of_row.thresholds, **of_row.localization}
        columns |= {f"max_box_acc_{iou}": curve for iou, curve in of_row.largest.items()}
        columns |= {f"max_box_acc_v2_{iou}": curve for iou, curve in of_row.all.items()}
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def split_rows(judged: JudgedSplit) -> tuple[list[str], list[str]]:
    """Names of the steps and names of the fusions."""
    steps = [name for name in judged.rows if name.isdigit()]
    return steps, [name for name in judged.rows if name not in (*steps, ANY_STEP)]

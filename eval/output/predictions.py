"""predictions.csv: one row per image and step, as the records say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from eval.analysis.groups import SIZE_NAMES, size_buckets
from eval.judging.hits import LOC_FIGURES, kept_hits
from eval.judging.records import Records
from eval.judging.split import JudgedSplit
from eval.measures.outcomes import Outcome
from tdam.errors import UserError
from tdam.files import replacing
from wsol.data import GroundTruth
from wsol.results import GAPS, TEXTS, read_table

# Column of each figure's hit at the headline threshold and, with the suffix, at the fixed one.
HIT_COLUMNS: Final = {figure: f"hit_{figure}" for figure in LOC_FIGURES}
FIXED: Final = "_fixed"


def prediction_chunks(judged: JudgedSplit) -> Iterator[pd.DataFrame]:
    """Rows of predictions.csv, one per image and step, chunk by chunk in the order of the split."""
    for records in judged.records():
        yield _table(judged, records)


def _table(judged: JudgedSplit, records: Records) -> pd.DataFrame:
    truth = judged.ground_truth
    steps = [row for row, name in enumerate(judged.rows) if name in judged.steps]
    names = np.array(truth.class_names, dtype=object)
    kinds = np.array([kind.name.lower() for kind in Outcome], dtype=object)
    index = np.repeat(records["index"], len(steps))
    boxed = np.repeat(records["boxed"], len(steps))

    def of_steps(field: str) -> npt.NDArray[Any]:
        values = records[field][:, steps]
        return values.reshape(-1, *values.shape[2:])

    def hits(figure: str, policy: str) -> pd.arrays.IntegerArray:
        found = np.stack([kept_hits(records, step, figure, policy) for step in steps], axis=1).reshape(-1)
        needs_class = figure != "gt_known_loc" and not judged.has_logits
        return pd.arrays.IntegerArray(found.astype(np.int64), mask=~boxed | needs_class)

    class_id = of_steps("class_id")
    known = class_id >= 0
    box, predicted = of_steps("box"), of_steps("predicted_box")
    return pd.DataFrame(
        {
            "image": np.array(truth.image_ids, dtype=object)[index],
            "step": np.tile([int(judged.rows[row]) for row in steps], len(records)),
            "label": truth.labels[index],
            "label_name": names[truth.labels[index]],
            "class_id": np.where(known, class_id, -1),
            "class_name": np.where(known, names[np.where(known, class_id, 0)], ""),
            "confidence": of_steps("confidence"),
            "top1_correct": of_steps("in_top1").astype(int),
            "top5_correct": of_steps("in_top5").astype(int),
            **{column: hits(figure, "headline") for figure, column in HIT_COLUMNS.items()},
            **{f"{column}{FIXED}": hits(figure, "fixed") for figure, column in HIT_COLUMNS.items()},
            "x0": box[:, 0],
            "y0": box[:, 1],
            "x1": box[:, 2],
            "y1": box[:, 3],
            "iou": of_steps("iou"),
            "iou_fixed": of_steps("iou_fixed"),
            "outcome": kinds[of_steps("outcome")],
            "predicted_x0": predicted[:, 0],
            "predicted_y0": predicted[:, 1],
            "predicted_x1": predicted[:, 2],
            "predicted_y1": predicted[:, 3],
            "candidates": of_steps("candidates"),
            "objects": [len(truth.boxes[i]) for i in index],
            "size": np.repeat(_size_names(truth, records), len(steps)),
            "degenerate_map": of_steps("degenerate").astype(int),
            "unreadable": np.repeat(records["unreadable"], len(steps)).astype(int),
        }
    )


def _size_names(truth: GroundTruth, records: Records) -> npt.NDArray[Any]:
    """Bucket of object size of each image ``(N,)``; "" where it has no box."""
    names = np.full(len(records), "", dtype=object)
    boxed = records["index"][records["boxed"]]
    buckets = size_buckets([truth.boxes[place] for place in boxed], truth.sizes[boxed])
    names[records["boxed"]] = np.array(list(SIZE_NAMES), dtype=object)[buckets]
    return names


def write_predictions(path: Path, chunks: Iterable[pd.DataFrame]) -> None:
    """Write predictions.csv, whole or not at all; boxes are in pixels of the original image."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        for number, chunk in enumerate(chunks):
            chunk.to_csv(file, index=False, header=number == 0, float_format="%.6g")


def read_predictions(path: Path) -> pd.DataFrame:
    """Read predictions.csv, names as text whatever they are.

    Args:
        path: The file.

    Returns:
        One row per image and step, as `prediction_chunks` gave them.

    Raises:
        UserError: If it is missing, damaged or of an earlier version that kept no hits.
    """
    table = read_table(path, TEXTS, GAPS)
    missing = [name for name in ("image", "step", *HIT_COLUMNS.values()) if name not in table.columns]
    if missing:
        raise UserError(f"{path} has no column {missing[0]}: it is damaged or of an earlier version; evaluate again")
    return table

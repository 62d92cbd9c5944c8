"""predictions.csv row by row against the records, and back from the file."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
from tiny_source import PROTOCOL, ArraySource, tiny_split

from eval.analysis.curves import count_split
from eval.judging.split import judge_split
from eval.judging.thresholds import Thresholds
from eval.measures.outcomes import Outcome
from eval.output.predictions import prediction_chunks, read_predictions, write_predictions
from eval.output.results import Evaluation, curve_table, write_json
from tdam.errors import UserError

FIGURES = ("gt_known_loc", "top1_loc", "top5_loc")
UNBOXED, UNREADABLE = 2, 5
CORNERS = ("x0", "y0", "x1", "y1")


def judged_split(folder, classes=True):
    truth, maps, logits = tiny_split(num_images=11, seed=4)
    boxes = [one if image != UNBOXED else one[:0] for image, one in enumerate(truth.boxes)]
    boxes[3] = np.array([[0, 0, 47, 35]])
    truth = dataclasses.replace(truth, boxes=tuple(boxes))
    val = dict(zip(("1", "2", "mean", "max", "confidence"), (0.4, 0.6, 0.5, 0.5, 0.5), strict=True))
    source = ArraySource(maps, logits if classes else None, unreadable=[UNREADABLE], degenerate=[(1, 7)])
    return judge_split(source, truth, PROTOCOL, Thresholds(0.2, val, "val"), folder)


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    return judged_split(tmp_path_factory.mktemp("judged"))


def expected_row(judged, record, step):
    """What a row is to say, from one record."""
    truth, image = judged.ground_truth, int(record["index"])
    known, boxed = record["class_id"][step] >= 0, len(truth.boxes[image]) > 0
    row = {
        "image": truth.image_ids[image],
        "step": step + 1,
        "label": truth.labels[image],
        "label_name": truth.class_names[truth.labels[image]],
        "class_id": record["class_id"][step],
        "class_name": truth.class_names[record["class_id"][step]] if known else "",
        "confidence": record["confidence"][step],
        "top1_correct": int(record["in_top1"][step]),
        "top5_correct": int(record["in_top5"][step]),
    }
    for suffix, policy in (("", 0), ("_fixed", 1)):
        for place, figure in enumerate(FIGURES):
            told = boxed and (place == 0 or judged.has_logits)
            row[f"hit_{figure}{suffix}"] = int(record["hit"][step, policy, place]) if told else pd.NA
    row |= dict(zip(CORNERS, record["box"][step], strict=True))
    row |= {"iou": record["iou"][step], "iou_fixed": record["iou_fixed"][step]}
    row["outcome"] = Outcome(record["outcome"][step]).name.lower()
    row |= {f"predicted_{end}": value for end, value in zip(CORNERS, record["predicted_box"][step], strict=True)}
    row |= {"candidates": record["candidates"][step], "objects": len(truth.boxes[image])}
    share = max(((b[2] - b[0]) * (b[3] - b[1]) for b in truth.boxes[image]), default=0) / (48 * 36)
    sizes = ("below 10 %", "10 to 25 %", "25 to 50 %", "50 % and more")
    row["size"] = sizes[sum(share >= end for end in (0.1, 0.25, 0.5))] if boxed else ""
    return row | {"degenerate_map": int((image, step) == (7, 1)), "unreadable": int(image == UNREADABLE)}


@pytest.mark.parametrize("classes", [True, False])
def test_every_row_says_what_its_record_says(tmp_path, classes):
    judged = judged_split(tmp_path, classes)
    (records,) = judged.records()
    (table,) = prediction_chunks(judged)
    expected = [expected_row(judged, record, step) for record in records for step in range(2)]
    assert list(table.columns) == list(expected[0])
    for (_, row), wanted in zip(table.iterrows(), expected, strict=True):
        for key, value in wanted.items():
            both_missing = pd.isna(row[key]) and pd.isna(value)
            assert both_missing or row[key] == value, (wanted["image"], key)
    assert set(table["size"]) >= {"", "10 to 25 %", "50 % and more"}
    assert pd.api.types.is_integer_dtype(table["top1_correct"])


def evaluation(judged):
    results = {"schema": "wsol-results/1", "steps": {"1": {}, "2": {}}, "thresholds": {"headline": "val"}}
    return Evaluation(results, curve_table(count_split(judged, 0.1).curves), lambda: prediction_chunks(judged))


def test_chunks_are_written_below_each_other_and_read_as_they_were(judged, tmp_path):
    (table,) = prediction_chunks(judged)
    write_predictions(tmp_path / "p.csv", [table.iloc[:6], table.iloc[6:8], table.iloc[8:]])
    text = (tmp_path / "p.csv").read_text()
    assert text.count("image,step") == 1
    assert text.startswith("image,step,label,label_name,")
    assert not re.search(r"\d\.\d{7}", text), "six digits of a number are written"
    read = read_predictions(tmp_path / "p.csv")
    for column in table.columns:
        if pd.api.types.is_numeric_dtype(table[column]):
            ours, theirs = (t[column].astype("float64").to_numpy(dtype=float, na_value=np.nan) for t in (table, read))
            np.testing.assert_allclose(theirs, ours, rtol=1e-5)
        else:
            assert read[column].tolist() == table[column].tolist(), column


def test_a_file_without_a_column_that_is_read_is_refused(judged, tmp_path):
    (table,) = prediction_chunks(judged)
    for column in ("image", "step", "hit_gt_known_loc", "hit_top1_loc", "hit_top5_loc"):
        write_predictions(tmp_path / "p.csv", [table.drop(columns=column)])
        with pytest.raises(UserError) as caught:
            read_predictions(tmp_path / "p.csv")
        assert str(caught.value) == (
            f"{tmp_path / 'p.csv'} has no column {column}: it is damaged or of an earlier version; evaluate again"
        )


def test_an_evaluation_comes_back_from_its_folder(judged, tmp_path):
    one = evaluation(judged)
    (tmp_path / "checksums.json").write_text("of an earlier run")
    one.write(tmp_path)
    again = Evaluation.read(tmp_path)
    assert again.results == one.results
    assert again.steps == ["1", "2"]
    assert again.policy == "val"
    assert list(again.curves.columns) == list(one.curves.columns)
    numbers = [column for column in one.curves.columns if column != "step"]
    np.testing.assert_allclose(again.curves[numbers], one.curves[numbers], rtol=1e-5)
    assert again.curves["step"].tolist() == one.curves["step"].tolist()
    assert again.predictions["image"].tolist() == one.predictions["image"].tolist()
    (tmp_path / "curves.csv").write_text((tmp_path / "curves.csv").read_text() + "1,2\n")
    with pytest.raises(UserError, match=r"curves\.csv"):
        Evaluation.read(tmp_path)


def test_predictions_of_all_chunks_are_numbered_anew(judged):
    (table,) = prediction_chunks(judged)
    halves = Evaluation({}, pd.DataFrame(), lambda: [table.iloc[12:], table.iloc[:12]])
    assert halves.predictions.index.tolist() == list(range(22))
    assert halves.predictions["image"].iloc[0] == "6.png"


def test_curves_of_all_rows_stand_in_one_table(judged):
    curves = count_split(judged, 0.1).curves
    table = curve_table(curves)
    assert list(table.columns) == [
        *("step", "threshold", "gt_known_loc", "top1_loc", "top5_loc"),
        *(f"max_box_acc_{iou}" for iou in (0.3, 0.5, 0.7)),
        *(f"max_box_acc_v2_{iou}" for iou in (0.3, 0.5, 0.7)),
    ]
    assert table.index.tolist() == list(range(10 * 6))
    for row, of_row in curves.items():
        told = table[table["step"] == row]
        assert told["threshold"].tolist() == of_row.thresholds.tolist()
        assert told["top5_loc"].tolist() == of_row.localization["top5_loc"].tolist()
        assert told["max_box_acc_0.7"].tolist() == of_row.largest[0.7].tolist()
        assert told["max_box_acc_v2_0.3"].tolist() == of_row.all[0.3].tolist()
    assert curve_table({}).empty


def test_json_is_indented_whole_and_without_nan(tmp_path):
    write_json(tmp_path / "a.json", {"a": [1]})
    assert (tmp_path / "a.json").read_text() == '{\n "a": [\n  1\n ]\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", float("nan"))
    assert "a" in (tmp_path / "a.json").read_text()

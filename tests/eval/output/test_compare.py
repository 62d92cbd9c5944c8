"""Comparing results: refusals, warnings, and differences that a hand computes the same."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest
import torch
from tiny_dataset import write_checkpoint, write_dataset

from eval.evaluation import evaluate
from eval.judging.process import Process
from eval.options import EvaluationOptions
from eval.output.compare import compare, compare_all, comparison_table, read_result
from tdam.errors import UserError


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    dataset = write_dataset(folder / "things")
    for name, seed in (("a", 0), ("b", 3)):
        options = EvaluationOptions(
            dataset=str(dataset),
            model="resnet_mini_tdam",
            checkpoint=write_checkpoint(folder / f"{name}.safetensors", seed=seed),
            output=folder / name,
            gallery=0,
        )
        evaluate(options, Process(), torch.device("cpu"))
    return folder / "a", folder / "b"


def test_differences_are_those_of_results_json(folders):
    a, b = folders
    comparison = compare(read_result(a), read_result(b / "results.json"))
    metrics = [json.loads((path / "results.json").read_text())["metrics"] for path in (a, b)]
    assert comparison.images == 7
    by_figure = {row.figure: row for row in comparison.differences}
    for figure in ("top1_cls", "top5_cls"):
        assert by_figure[figure].first == pytest.approx(metrics[0][figure])
        assert by_figure[figure].second == pytest.approx(metrics[1][figure])
    for figure in ("gt_known_loc", "top1_loc", "top5_loc", "size_balanced"):
        row = by_figure[figure]
        assert row.second == pytest.approx(metrics[1][figure]["val"])
        assert row.difference == pytest.approx(metrics[1][figure]["val"] - metrics[0][figure]["val"])
        assert row.low <= row.difference <= row.high


def test_a_result_does_not_differ_from_itself(folders):
    (comparison,) = compare_all([folders[0], folders[0]])
    assert all((row.difference, row.low or 0, row.high or 0) == (0, 0, 0) for row in comparison.differences)
    assert comparison.warnings == ()
    assert comparison_table(comparison).row_count == 9, "without masks there is no PxAP"


def edited(folder, tmp_path, **changes):
    copy = tmp_path / "edited"
    shutil.copytree(folder, copy)
    (copy / "checksums.json").unlink()
    results = json.loads((copy / "results.json").read_text())
    for key, value in changes.items():
        results[key] = {**results[key], **value} if isinstance(value, dict) else value
    (copy / "results.json").write_text(json.dumps(results))
    return copy


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "cub"}, "dataset cub"),
        ({"protocol": "bas"}, "protocol bas"),
        ({"data": {"split": "val"}}, "split val"),
    ],
)
def test_unlike_results_are_refused(folders, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        compare_all([folders[0], edited(folders[1], tmp_path, **changes)])


def test_other_images_and_missing_predictions_are_refused(folders, tmp_path):
    copy = edited(folders[1], tmp_path)
    table = pd.read_csv(copy / "predictions.csv")
    table[table["image"] != table["image"][0]].to_csv(copy / "predictions.csv", index=False)
    with pytest.raises(UserError, match="other images"):
        compare_all([folders[0], copy])
    (copy / "predictions.csv").unlink()
    with pytest.raises(UserError, match=r"predictions\.csv is missing"):
        compare_all([folders[0], copy])
    with pytest.raises(UserError, match="at least two"):
        compare_all([folders[0]])


def test_other_settings_are_warned_of(folders, tmp_path):
    copy = edited(folders[1], tmp_path, thresholds={"headline": "fixed"}, network={"method": "grad-cam"})
    (comparison,) = compare_all([folders[0], copy])
    assert comparison.warnings == (
        "threshold policies differ: val against fixed",
        "method differs: cam against grad-cam",
    )

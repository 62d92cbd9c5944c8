"""Results read back: the shipped schema holds, tables say what the file says, damaged files are named."""

from __future__ import annotations

import copy
import json
import shutil

import jsonschema
import numpy as np
import pytest
import torch
from tiny_dataset import write_checkpoint, write_dataset

import wsol
from eval.evaluation import evaluate
from eval.judging.process import Process
from eval.options import EvaluationOptions
from tdam.errors import UserError
from wsol.results import results_schema


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    options = EvaluationOptions(
        dataset=str(write_dataset(folder / "things")),
        model="resnet_mini_tdam",
        checkpoint=write_checkpoint(folder / "w.safetensors"),
        output=folder / "out",
        gallery=0,
        bootstrap=20,
    )
    evaluate(options, Process(), torch.device("cpu"))
    return folder / "out"


def test_results_follow_the_shipped_schema(folder):
    content = json.loads((folder / "results.json").read_text())
    validator = jsonschema.Draft202012Validator(results_schema())
    validator.check_schema(results_schema())
    validator.validate(content)
    wrong = copy.deepcopy(content)
    wrong["metrics"]["top1_loc"]["val"] = 101
    assert not validator.is_valid(wrong)
    del wrong["headline"]
    assert not validator.is_valid(wrong)


def test_tables_say_what_the_file_says(folder):
    results = wsol.read_results(folder)
    content = json.loads((folder / "results.json").read_text())
    assert results.headline["gt_known_loc"] == content["metrics"]["gt_known_loc"]["val"]
    assert results.figures.loc["step 1", "top5_loc@oracle"] == content["steps"]["1"]["top5_loc"]["oracle"]
    assert results.figures.loc["fusion max", "max_box_acc"] == content["fusions"]["max"]["max_box_acc"]
    assert results.per_class["images"].sum() == content["images"]
    last = results.predictions[results.predictions["step"] == 2]
    assert 100 * last["hit_gt_known_loc"].mean() == pytest.approx(results.headline["gt_known_loc"])
    assert results.curves.groupby("step").size().loc["any"] == 1000


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match="wsol-eval --output"):
        wsol.read_results(tmp_path)
    (tmp_path / "results.json").write_text('{"schema": "other"}')
    with pytest.raises(UserError, match="schema wsol-results/1"):
        wsol.read_results(tmp_path)


def read_everything(folder):
    """Tables are read when they are asked for."""
    results = wsol.read_results(folder)
    return results, results.predictions, results.curves


@pytest.mark.parametrize("name", ["results.json", "predictions.csv", "curves.csv"])
def test_one_flipped_bit_is_refused(folder, tmp_path, name):
    damaged_folder = tmp_path / "copy"
    shutil.copytree(folder, damaged_folder)
    content = bytearray((damaged_folder / name).read_bytes())
    for place in np.random.default_rng(0).integers(0, len(content), 20):
        damaged = bytearray(content)
        damaged[place] ^= 1
        (damaged_folder / name).write_bytes(damaged)
        with pytest.raises(UserError, match=rf"{name} is damaged or was edited"):
            read_everything(damaged_folder)
    (damaged_folder / "checksums.json").unlink()
    (damaged_folder / name).write_bytes(content)
    assert wsol.read_results(damaged_folder).headline == wsol.read_results(folder).headline

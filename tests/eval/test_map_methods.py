"""Several map methods in one pass over the images give what each gives alone; networks of any make are judged."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import torch
from tiny_dataset import CLASSES, write_checkpoint, write_dataset

from eval.evaluation import evaluate, evaluate_methods
from eval.judging.process import Process
from eval.options import EvaluationOptions
from eval.output.methods import methods_table
from tdam.errors import UsageError, UserError

COMMON = {"batch_size": 3, "bootstrap": 20, "gallery": 0, "attention_shift": False}
NETWORK = f"""
import torch
from torch import nn

def make(width=6, classes={len(CLASSES)}):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, width, 3, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(width, classes))
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return str(write_dataset(tmp_path_factory.mktemp("data") / "things"))


def run(options):
    return evaluate_methods(options.each_method(), Process(), torch.device("cpu"))


def test_methods_judged_together_are_those_judged_alone(dataset, tmp_path):
    checkpoint = write_checkpoint(tmp_path / "w.safetensors")
    methods = ("cam", "grad-cam", "activation")
    common = {"dataset": dataset, "model": "resnet_mini_tdam", "checkpoint": checkpoint, **COMMON}
    together = run(EvaluationOptions(method=methods, output=tmp_path / "out", **common))
    for method, results in zip(methods, together, strict=True):
        alone = evaluate(
            EvaluationOptions(method=method, output=tmp_path / method, **common), Process(), torch.device("cpu")
        )
        assert results["metrics"] == alone["metrics"]
        assert results["thresholds"] == alone["thresholds"]
        for file in ("predictions.csv", "curves.csv"):
            assert (tmp_path / "out" / method / file).read_bytes() == (tmp_path / method / file).read_bytes()
        assert json.loads((tmp_path / "out" / method / "results.json").read_text())["network"]["method"] == method
    assert together[0]["metrics"] != together[2]["metrics"]


def test_one_table_holds_the_paired_differences(dataset, tmp_path):
    checkpoint = write_checkpoint(tmp_path / "w.safetensors")
    common = {"dataset": dataset, "model": "resnet_mini_tdam", "checkpoint": checkpoint, **COMMON}
    first, second = run(EvaluationOptions(method=("cam", "activation"), output=tmp_path / "out", **common))
    methods_table(tmp_path / "out", ("cam", "activation"), 20)
    table = pd.read_csv(tmp_path / "out" / "methods.csv").set_index("figure")
    row = table.loc["max_box_acc_v2"]
    assert row["difference"] == pytest.approx(second["metrics"]["max_box_acc_v2"] - first["metrics"]["max_box_acc_v2"])
    assert (table.dropna().eval("low <= difference <= high")).all()


def test_a_function_of_ones_own_makes_the_network(dataset, tmp_path, monkeypatch):
    (tmp_path / "own_networks.py").write_text(NETWORK)
    monkeypatch.chdir(tmp_path)
    options = EvaluationOptions(dataset=dataset, model="own_networks:make", model_args=("width=8",), **COMMON)
    (results,) = run(options)
    assert results["network"]["parameters"] == 8 * 27 + 8 + 8 * len(CLASSES) + len(CLASSES)
    assert results["network"]["map_size"] == [56, 56]
    with pytest.raises(UserError, match="has 3 classes"):
        run(EvaluationOptions(dataset=dataset, model="own_networks:make", model_args=("classes=3",), **COMMON))
    with pytest.raises(UserError, match=r"has no function mak$"):
        run(EvaluationOptions(dataset=dataset, model="own_networks:mak", **COMMON))
    with pytest.raises(UserError, match="there is no module own_network "):
        run(EvaluationOptions(dataset=dataset, model="own_network:make", **COMMON))
    with pytest.raises(UserError, match=r"make\(depth=3\) fails"):
        run(EvaluationOptions(dataset=dataset, model="own_networks:make", model_args=("depth=3",), **COMMON))


def test_several_methods_need_a_folder(dataset):
    with pytest.raises(UsageError, match="--output"):
        EvaluationOptions(dataset=dataset, model="resnet_mini", method=("cam", "grad-cam"))
    with pytest.raises(UsageError, match="different"):
        EvaluationOptions(dataset=dataset, model="resnet_mini", method=("cam", "cam"))

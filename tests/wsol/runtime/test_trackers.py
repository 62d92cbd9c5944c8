"""Experiment trackers get the figures that log.csv and results.json hold."""

from __future__ import annotations

import json
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from tiny_dataset import write_checkpoint, write_dataset
from tiny_training import TinyImages, tiny_config

from eval.commands.evaluate import run as evaluate
from tdam.errors import UserError
from wsol.commands.train import run as train_command
from wsol.runtime.trackers import open_trackers
from wsol.training import Trainer


class FakeWandB(ModuleType):
    """Takes what the package wandb takes, and keeps it."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.started: list[dict[str, Any]] = []
        self.axes: dict[str, str | None] = {}
        self.rows: list[dict[str, float]] = []
        self.finished = 0

    def init(self, *, project, name, dir, config, id, resume):
        self.started.append({"project": project, "name": name, "config": config, "id": id, "resume": resume})
        return SimpleNamespace(
            id=id or f"run{len(self.started)}", define_metric=self.define, log=self.rows.append, finish=self.finish
        )

    def define(self, name: str, step_metric: str | None = None) -> None:
        self.axes[name] = step_metric

    def finish(self) -> None:
        self.finished += 1


class FakeMLflow(ModuleType):
    """Takes what the package mlflow takes, and keeps it."""

    def __init__(self) -> None:
        super().__init__("mlflow")
        self.calls: list[tuple[str, Any]] = []

    def set_experiment(self, name: str) -> None:
        self.calls.append(("experiment", name))

    def start_run(self, *, run_id: str | None, run_name: str) -> SimpleNamespace:
        self.calls.append(("start", (run_id, run_name)))
        return SimpleNamespace(info=SimpleNamespace(run_id=run_id or "abc"))

    def log_params(self, params: dict[str, Any]) -> None:
        self.calls.append(("params", params))

    def log_metrics(self, metrics: dict[str, float], *, step: int) -> None:
        self.calls.append(("metrics", (metrics, step)))

    def end_run(self) -> None:
        self.calls.append(("end", None))


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> tuple[FakeWandB, FakeMLflow]:
    wandb, mlflow = FakeWandB(), FakeMLflow()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    return wandb, mlflow


def test_training_curves_reach_every_tracker(fakes, tmp_path) -> None:
    wandb, mlflow = fakes
    config = tiny_config(output=str(tmp_path / "run"), epochs=2, log=("wandb", "mlflow"))
    Trainer(config, None, TinyImages()).fit()
    log = pd.read_csv(tmp_path / "run" / "log.csv")

    epochs = [row for row in wandb.rows if "epoch" in row]
    assert [row["epoch"] for row in epochs] == [1, 2]
    assert [row["epoch/train_loss"] for row in epochs] == pytest.approx(log.train_loss.tolist())
    updates = [row["update"] for row in wandb.rows if "update" in row]
    assert updates == sorted(updates)
    assert wandb.axes["epoch/train_loss"] == "epoch"
    assert wandb.axes["train/loss"] == "update"
    assert wandb.started[0]["config"]["lr"] == config.lr
    assert wandb.finished == 1

    metrics = [content for kind, content in mlflow.calls if kind == "metrics"]
    found = [values["epoch/train_loss"] for values, _ in metrics if "epoch/train_loss" in values]
    assert found == pytest.approx(log.train_loss.tolist())
    assert mlflow.calls[-1] == ("end", None)


def test_a_continued_run_goes_on_in_its_run_at_the_service(fakes, tmp_path) -> None:
    wandb, mlflow = fakes
    for first_step, expected in ((0, None), (5, "run1")):
        for tracker in open_trackers(("wandb", "mlflow"), tmp_path, "name", {"lr": 1}, first_step):
            tracker.close()
        assert wandb.started[-1]["id"] == expected
    starts = [content for kind, content in mlflow.calls if kind == "start"]
    assert [run_id for run_id, _ in starts] == [None, "abc"]
    # MLflow refuses parameters that a run has already.
    assert [kind for kind, _ in mlflow.calls].count("params") == 1


def test_the_headline_of_an_evaluation_reaches_every_tracker(fakes, tmp_path) -> None:
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    wandb, mlflow = fakes
    dataset, weights = write_dataset(tmp_path / "things"), write_checkpoint(tmp_path / "weights.safetensors")
    words = ["--model", "resnet_mini_tdam", "--checkpoint", weights, "--dataset", dataset, "--output", tmp_path / "out"]
    evaluate([*map(str, words), "--bootstrap", "0", "--log", "tensorboard", "wandb", "mlflow"])
    headline = json.loads((tmp_path / "out" / "results.json").read_text())["headline"]

    (row,) = wandb.rows
    assert row["headline/gt_known_loc"] == headline["gt_known_loc"]
    assert row["headline/threshold"] == headline["threshold"]
    assert all(isinstance(value, int | float) for value in row.values())
    ((metrics, step),) = [content for kind, content in mlflow.calls if kind == "metrics"]
    assert (metrics["headline/top1_loc"], step) == (headline["top1_loc"], 0)
    events = event_accumulator.EventAccumulator(str(tmp_path / "out" / "tensorboard"))
    events.Reload()
    assert events.Scalars("headline/gt_known_loc")[0].value == pytest.approx(headline["gt_known_loc"])


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_package_that_is_missing_is_named_before_anything_is_computed(name, monkeypatch, tmp_path) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.chdir(tmp_path)
    message = f"--log {name} needs the package {name}: pip install {name}"
    with pytest.raises(UserError, match=message):
        evaluate(["--model", "resnet_mini_tdam", "--dataset", "minibirds", "--output", "out", "--log", name])
    with pytest.raises(UserError, match=message):
        train_command(["--model", "resnet_mini", "--dataset", "minibirds", "--log", name])
    assert list(tmp_path.iterdir()) == []

"""A small comparison from its file to its page, with a run that fails and one that is killed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from accelerate.state import AcceleratorState
from tiny_dataset import write_checkpoint, write_dataset

from eval.bench import worker
from eval.bench.description import read_description
from eval.bench.runs import expand
from eval.bench.state import Record, State, state_of, weight_settings, write_record
from eval.commands.bench import main
from eval.output.compare import compare, read_result
from tdam.errors import UserError
from wsol.results import read_results
from wsol.training import Trainer


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    AcceleratorState._reset_state(reset_partial_state=True)


def write(folder: Path, **changes: object) -> Path:
    dataset = folder / "things"
    if not dataset.exists():
        write_dataset(dataset, splits=("train", "val", "test"))
    settings = {"epochs": 1, "batch_size": 4, "workers": 0, "device": "cpu", "lr": 0.01}
    content = {
        "dataset": str(dataset),
        "networks": {"plain": {"model": "resnet_mini"}},
        "methods": {"cam": None, "bad": {"method": "has", "lr": 1e30}},
        "training": settings,
        "evaluation": {"bootstrap": 10, "attention_shift": False, "device": "cpu"},
        "maps": ["cam", "activation"],
        **changes,
    }
    path = folder / "comparison.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["wsol-bench", *map(str, arguments)])
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.mark.slow
def test_from_the_file_to_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    file = write(tmp_path)
    assert call(monkeypatch, file, "--show") == 0
    listed = capsys.readouterr().out
    assert re.search(r"plain/cam/seed0 +waiting", listed)
    assert call(monkeypatch, file) == 1
    printed = capsys.readouterr()
    assert "plain/cam/seed0: done" in printed.out
    assert "plain/bad/seed0: not done: error: " in printed.err
    assert "lower the learning rate" in printed.err
    assert "error: 1 of 2 runs are not done" in printed.err

    folder = Path("runs/bench/comparison")
    page = (folder / "report.html").read_text()
    assert "1 finished run, 1 not finished" in page
    assert "lower the learning rate" in page
    rows = pd.read_csv(folder / "runs.csv")
    assert rows["map"].tolist() == ["cam", "activation"]
    for row in rows.itertuples():
        results = read_results(folder / "plain/cam/seed0/evaluation/wsolevaluation" / row.map)
        assert row.gt_known_loc == pytest.approx(results.headline["gt_known_loc"], abs=1e-3)
        assert results.content["network"]["method"] == row.map
        assert row.parameters == results.content["network"]["parameters"]
    assert (rows[["train_seconds", "evaluation_seconds", "macs"]] > 0).all(axis=None)
    (speed,) = pd.read_csv(folder / "plain/cam/seed0/log.csv")["images_per_second"]
    assert rows["train_seconds"].tolist() == pytest.approx([4 / speed] * 2, rel=1e-4), "one whole batch of four"
    table = pd.read_csv(folder / "table.csv").set_index("map")
    against = compare(*(read_result(Path(path)) for path in rows["folder"])).differences
    (found,) = [one for one in against if one.figure == "gt_known_loc"]
    assert table.loc["activation", "gt_known_loc_against"] == pytest.approx(found.difference, abs=1e-3)
    assert table.loc["activation", "gt_known_loc_against_low"] == pytest.approx(found.low, abs=1e-3)

    # What is done is not done again; a further map method is judged without training.
    done = {path: path.stat().st_mtime_ns for path in folder.glob("plain/cam/seed0/**/*.json")}
    weights = folder / "plain/cam/seed0/best.safetensors"
    before = weights.stat().st_mtime_ns
    write(tmp_path, methods=["cam"], maps=["cam", "activation", "layer-cam"])
    assert call(monkeypatch, file) == 0
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert weights.stat().st_mtime_ns == before
    assert pd.read_csv(folder / "runs.csv")["map"].tolist() == ["cam", "activation", "layer-cam"]
    assert "0 not finished" not in (folder / "report.html").read_text()

    # Other settings are another run: nothing is computed, nothing is overwritten.
    capsys.readouterr()
    write(tmp_path, methods=["cam"], training={"epochs": 2})
    assert call(monkeypatch, file) == 1
    assert "holds a run with other settings (batch_size: 4 != 64" in capsys.readouterr().err


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = {"epochs": 2, "batch_size": 4, "workers": 0, "device": "cpu", "lr": 0.01}
    description = read_description(write(tmp_path, methods=["cam"], maps="cam", training=training))
    (run,) = expand(description)
    finish = Trainer._finish_epoch

    def killed(self: Trainer, speed: float) -> None:
        if self.position.epoch == 1:
            raise KeyboardInterrupt
        finish(self, speed)

    monkeypatch.setattr(Trainer, "_finish_epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        worker.do(run, description)
    assert state_of(run, description) is State.BEGUN
    first = (run.folder / "log.csv").read_text().splitlines()
    monkeypatch.setattr(Trainer, "_finish_epoch", finish)
    AcceleratorState._reset_state(reset_partial_state=True)
    worker.do(run, description)
    assert state_of(run, description) is State.DONE
    assert (run.folder / "log.csv").read_text().splitlines()[:2] == first, "the first epoch was not done again"

    # Damaged results are judged again, and the training is not.
    results = run.evaluation_folder("wsolevaluation", "cam") / "results.json"
    whole = results.read_text()
    results.write_text(whole.replace("gt_known_loc", "gt_known_lox", 1))
    assert state_of(run, description) is State.TRAINED
    monkeypatch.setattr(worker, "train", None)
    worker.do(run, description)
    assert state_of(run, description) is State.DONE


def test_given_weights_are_judged_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = write_checkpoint(tmp_path / "weights.safetensors")
    networks = {"mine": {"model": "resnet_mini_tdam", "checkpoint": str(weights)}}
    description = read_description(write(tmp_path, networks=networks, methods=["cam"], maps="cam"))
    (run,) = expand(description)
    assert run.name == "mine/as given"
    monkeypatch.setattr(worker, "train", None)
    worker.do(run, description)
    assert state_of(run, description) is State.DONE
    assert len(list(run.folder.rglob("results.json"))) == 1


def test_the_worker_tells_a_users_mistake_in_one_line(tmp_path: Path) -> None:
    file = write(tmp_path, networks=["resnet_mini"], methods=["cam"], training={"init": "nowhere.pth", "device": "cpu"})
    command = [sys.executable, "-P", "-m", "eval.bench.worker", str(file), "resnet_mini/cam/seed0", "", "", ""]
    (tmp_path / "eval.py").write_text("raise SystemExit('the eval.py of the working directory was imported')\n")
    variables = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=variables, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "nowhere.pth" in done.stderr


def test_only_takes_networks_methods_and_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    file = write(tmp_path, networks={"a": None, "b": None}, methods=["cam", "has"], seeds=2)
    assert call(monkeypatch, file, "--show", "--only", "b", "a/has/seed1") == 0
    names = re.findall(r"\b[ab]/\w+/seed\d", capsys.readouterr().out)
    assert names == ["b/cam/seed0", "b/has/seed0", "a/has/seed1", "b/cam/seed1", "b/has/seed1"]
    assert call(monkeypatch, file, "--show", "--only", "c") == 2
    assert "unknown network, method or run 'c'" in capsys.readouterr().err


def test_a_page_of_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert call(monkeypatch, "report", write(tmp_path)) == 1
    assert "no run of comparison is finished yet" in capsys.readouterr().err


def test_other_settings_name_the_difference(tmp_path: Path) -> None:
    description = read_description(write(tmp_path))
    run = expand(description)[0]
    write_record(run, Record(weight_settings(run) | {"lr": 0.5}, description.evaluation))
    with pytest.raises(UserError, match=r"other settings \(lr: 0.5 != 0.01\)"):
        state_of(run, description)

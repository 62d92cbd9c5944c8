from __future__ import annotations

import builtins
import sys

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from accelerate.state import AcceleratorState
from tiny_training import TinyImages

import tdam
import wsol
import wsol.training.engine
from tdam.errors import UnknownNameError
from wsol.commands.train import main, parse
from wsol.data import DatasetError
from wsol.data.transforms import evaluation_transform
from wsol.methods import create_method
from wsol.metrics import localization_accuracy, max_box_acc
from wsol.training import validation
from wsol.training.validation import Validation

OPTIONS = "--model resnet_mini_tdam --dataset tiny --epochs 2 --batch-size 8 --workers 0 --no-tensorboard --device cpu"


@pytest.fixture(autouse=True)
def tiny_dataset(monkeypatch, tmp_path):
    def load(name, split="test", root=None, **options):
        if name != "tiny":
            raise DatasetError(f"no dataset {name}")
        return TinyImages(seed={"train": 0, "val": 1}[split])

    monkeypatch.setattr(wsol.training.engine, "load_dataset", load)
    monkeypatch.setattr(validation, "load_dataset", load)
    monkeypatch.chdir(tmp_path)
    AcceleratorState._reset_state(reset_partial_state=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def command(monkeypatch, line: str) -> None:
    monkeypatch.setattr("sys.argv", ["wsol-train", *line.split()])
    main()


def test_the_command_trains_validates_and_writes_where_evaluation_looks(monkeypatch, tmp_path, capsys):
    command(monkeypatch, OPTIONS)
    folder = tmp_path / "runs" / "tiny" / "resnet_mini_tdam"
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".")} == {
        "best.safetensors",
        "last.safetensors",
        "state.pt",
        "log.csv",
        "curves.png",
    }
    network = wsol.open_trained("resnet_mini_tdam", dataset="tiny", num_classes=3)
    assert "trained here" in network.source
    log = pd.read_csv(folder / "log.csv")
    assert log.epoch.tolist() == [1, 2]
    assert log.max_box_acc.between(0, 100).all()
    config = tdam.read_config(folder / "best.safetensors")
    assert config["metrics"]["max_box_acc"] == pytest.approx(log.max_box_acc.max())
    assert "looks at the val split's boxes" in capsys.readouterr().out


def test_a_new_run_keeps_the_earlier_one_and_resume_continues_it(monkeypatch, tmp_path):
    command(monkeypatch, OPTIONS)
    folder = tmp_path / "runs" / "tiny" / "resnet_mini_tdam"
    first = (folder / "last.safetensors").read_bytes()
    for option, kept in (("--resume", False), ("--seed 1", True)):
        AcceleratorState._reset_state(reset_partial_state=True)
        command(monkeypatch, f"{OPTIONS} {option}")
        assert (folder.with_name("resnet_mini_tdam-1")).exists() == kept
    assert (folder.with_name("resnet_mini_tdam-1") / "last.safetensors").read_bytes() == first
    assert (folder / "last.safetensors").read_bytes() != first


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("--model resnet_min --dataset tiny", 2, "error: unknown model 'resnet_min'; valid: resnet_mini"),
        ("--model resnet_mini --dataset mine", 1, "error: no dataset mine"),
        ("--model resnet_mini --dataset tiny --method camm", 2, "error: unknown method 'camm'; valid: cam"),
        ("--model resnet_mini --dataset tiny --select-by accuracy", 2, "error: unknown figure to select by"),
        ("--model resnet_mini --dataset tiny --recipe minibird", 2, "error: unknown recipe 'minibird'; valid: minib"),
        ("--model resnet_mini --dataset tiny --batch-size 99", 1, "error: batch_size 99 exceeds the 24 training"),
        ("--model resnet_mini --dataset tiny --model-args steps=3", 1, "error: resnet_mini is a plain network"),
        ("--model resnet_mini --dataset tiny --init nowhere.safetensors", 1, "error: no checkpoint at nowhere"),
    ],
)
def test_mistakes_get_one_line_and_their_exit_code(monkeypatch, capsys, line, code, message):
    with pytest.raises(SystemExit) as stop:
        command(monkeypatch, f"{line} --device cpu --workers 0")
    error = capsys.readouterr().err
    assert stop.value.code == code
    assert error.startswith(message)
    assert error.count("\n") == 1


def test_options_win_over_the_recipe_and_recipes_over_defaults():
    config, resume, recipe = parse(["--model", "resnet_mini", "--dataset", "minibirds", "--lr", "0.5", "--resume"])
    assert (resume, recipe) == (True, "minibirds")
    assert (config.optimizer, config.lr) == ("muon", 0.5)
    config, resume, recipe = parse(["--model", "resnet_mini", "--dataset", "minibirds", "--recipe", "none"])
    assert (resume, recipe) == (False, "none")
    assert config.optimizer == "sgd"
    config, *_ = parse(["--recipe", "tdam-imagenet", "--model-args", "steps=3", "attention=top"])
    assert (config.model, config.dataset) == ("resnet50_tdam", "imagenet")
    assert config.model_args == {"steps": 3, "attention": "top"}
    with pytest.raises(UnknownNameError):
        parse(["--model", "resnet_mini", "--dataset", "tiny", "--schedule", "cosin"])


def test_validation_is_the_metrics_on_the_maps_of_the_labels():
    network = tdam.create_model("resnet_mini_tdam", num_classes=3)
    figures = Validation("tiny", batch_size=7)(create_method("cam", network).eval())
    dataset = TinyImages(seed=1)
    preprocessing = timm.data.resolve_model_data_config(network)
    dataset.transform = evaluation_transform((96, 96), preprocessing["mean"], preprocessing["std"])
    images = torch.stack([dataset[index][0] for index in range(24)])
    labels = torch.from_numpy(dataset.ground_truth.labels)
    cams = wsol.class_activation_maps(network.eval(), images, labels)
    maps = wsol.score_maps(cams.maps[-1], (96, 96))
    boxes = [
        (box * 96.0 / np.tile(size, 2)).astype(int)
        for box, size in zip(dataset.ground_truth.boxes, dataset.ground_truth.sizes, strict=True)
    ]
    assert figures["max_box_acc"] == pytest.approx(max_box_acc(maps, boxes)["max_box_acc"][0.5])
    best = max(
        localization_accuracy(maps, boxes, cams.logits[-1], labels, threshold=cut)["top1_loc"]
        for cut in np.arange(0, 1, 0.004)
    )
    assert figures["top1_loc"] >= best
    assert figures["top1_cls"] == pytest.approx(100 * float((cams.logits[-1].argmax(1) == labels).float().mean()))


def test_without_accelerate_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "wsol.training.session", raising=False)
    monkeypatch.setattr("builtins.__import__", _without_accelerate(builtins.__import__))
    with pytest.raises(SystemExit) as exit_:
        command(monkeypatch, OPTIONS)
    assert exit_.value.code == 1
    assert "pip install 'wsol[train]'" in capsys.readouterr().err


def _without_accelerate(original):
    def find(name, *arguments, **options):
        if name == "wsol.training.session":
            raise ModuleNotFoundError("No module named 'accelerate'", name="accelerate")
        return original(name, *arguments, **options)

    return find

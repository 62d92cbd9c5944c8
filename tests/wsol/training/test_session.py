"""Training from labels alone works to the end, and what the val split lacks is said."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from tiny_datasets import picture, write_files

from wsol.commands.train import run
from wsol.data import load_dataset
from wsol.training.validation import BoxFigures, ClassFigures


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    AcceleratorState._reset_state(reset_partial_state=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def write_splits(folder: Path, *splits: str) -> None:
    for split in splits:
        write_files(
            folder,
            {f"{split}/{c}/{i}.jpg": picture(f"{split}{c}{i}", 40, 30) for c in ("cup", "mug") for i in range(2)},
        )


def train(folder: Path) -> dict[str, str]:
    """Train one epoch; returns its row of the log."""
    options = "--model resnet_mini --epochs 1 --batch-size 2 --workers 0 --device cpu --no-tensorboard --output out"
    run([*options.split(), "--dataset", str(folder)])
    assert (Path("out") / "best.safetensors").is_file()
    with open("out/log.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    return row


def test_without_a_val_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_splits(tmp_path / "set", "train")
    assert "top1_cls" not in train(tmp_path / "set")
    assert "has no val split (has: train): trains without validation" in capsys.readouterr().err


def test_val_with_labels_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_splits(tmp_path / "set", "train", "val")
    row = train(tmp_path / "set")
    assert row["top1_cls"]
    assert "gt_known_loc" not in row
    assert "neither boxes nor masks: the best epoch is chosen by top1_cls" in capsys.readouterr().err


def test_val_images_without_a_box_count_for_classification_alone(tmp_path: Path) -> None:
    write_splits(tmp_path, "val")
    rows = ["cup/0.jpg,cup,0,0,40,30", "cup/1.jpg,cup,,,,", "mug/0.jpg,mug,,,,", "mug/1.jpg,mug,0,0,40,30"]
    (tmp_path / "val.csv").write_text("path,label,x0,y0,x1,y1\n" + "\n".join(rows))
    dataset = load_dataset(tmp_path, "val")
    labels = torch.from_numpy(dataset.ground_truth.labels)
    logits = torch.nn.functional.one_hot(torch.tensor([0, 0, 0, 0])).float() @ torch.ones(1, 2)
    logits[:, 0] += torch.tensor([1.0, 1.0, 0.5, 0.5])  # the class cup for all: right for two of four
    maps = torch.zeros(4, 8, 8).numpy()
    maps[:, 0, 0] = maps[:, 7, 7] = 1
    maps[:, range(8), range(8)] = 1  # one component whose box is the whole map
    figures, classes = BoxFigures(dataset), ClassFigures(dataset)
    for counter in (figures, classes):
        counter.update([0, 1, 2, 3], maps, logits, labels)
    found = figures.compute()
    assert found["top1_cls"] == classes.compute()["top1_cls"] == 50
    assert found["gt_known_loc"] == 100
    assert found["top1_loc"] == 50  # of the two images with a box, one is of class cup

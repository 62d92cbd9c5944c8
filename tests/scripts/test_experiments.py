"""What the experiments' scripts decide by themselves: which runs are done, which classes and halves are used."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from eval.bench.checks import check_names
from eval.bench.description import read_description
from eval.bench.runs import expand
from wsol.maps import map_methods
from wsol.methods.stages import input_size
from wsol.training.network import create_configured_method

EXPERIMENTS = Path(__file__).parents[2] / "scripts" / "experiments"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    """Imports a script of the folder by name."""
    monkeypatch.syspath_prepend(str(EXPERIMENTS))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_comparisons_name_what_exists_and_their_networks_go_with_their_methods(path: Path) -> None:
    description = read_description(path, dataset="minibirds")
    runs = expand(description)
    check_names(description)
    assert {name for run in runs for name in run.maps} <= set(map_methods())
    for run in {(run.network, run.method): run for run in runs}.values():
        method = create_configured_method(run.training_config(), num_classes=3)
        side = input_size(method.network)[0]
        cams = method.eval().class_activation_maps(torch.zeros(1, 3, side, side))
        assert cams.logits.shape[1:] == (1, 3)


def row(name: str, seed: int, step: str, value: float) -> dict[str, object]:
    return {"configuration": name, "seed": seed, "row": step, "parameters": 1000, "macs": 1e6, "max_box_acc": value}


def test_finished_runs_are_kept_in_order_and_not_repeated(script, tmp_path: Path, monkeypatch) -> None:
    comparison = script("comparison")
    one = comparison.Comparison(tmp_path / "rows.csv", tmp_path / "runs", {"plain": {}, "other": {}}, {})
    (tmp_path / "runs").mkdir()
    done: list[tuple[str, int]] = []

    def run(self, name: str, seed: int) -> list[dict[str, object]]:
        done.append((name, seed))
        return [row(name, seed, "1", 50.0 + seed), row(name, seed, "2", 60.0 + seed), row(name, seed, "mean", 1.0)]

    monkeypatch.setattr(comparison.Comparison, "run", run)
    one.train_all(["other", "plain"], range(2))
    assert done == [("other", 0), ("plain", 0), ("other", 1), ("plain", 1)], "first seeds come first"
    one.train_all(["plain", "other"], range(3))
    assert done[4:] == [("plain", 2), ("other", 2)]
    rows = one.finished()
    assert rows.configuration.tolist() == ["plain"] * 9 + ["other"] * 9
    last = comparison.last_steps(rows)
    assert sorted(last[last.configuration == "plain"].max_box_acc) == [60.0, 61.0, 62.0]
    assert "| other | 3 | 1,000 | 1.0 | 61.0 ± 2.5 | +0.0 ± 2.3 | +0.0 ± 0.0 |" in one.table()


def test_classes_are_spread_evenly_and_boxes_kept(script, tmp_path: Path) -> None:
    photographs = script("attention_on_photographs")
    data = tmp_path / "data"
    (data / "images").mkdir(parents=True)
    labels = [f"thing_n{number:08d}" for number in range(10)]
    for split in ("train", "test"):
        table = pd.DataFrame(
            [(f"{split}/{label}.jpg", label, 1, 2, 30, 40) for label in labels],
            columns=["path", "label", "x0", "y0", "x1", "y1"],
        )
        table.to_csv(data / f"{split}.csv", index=False)
    splits = {split: {"images": "images", "boxes": f"{split}.csv"} for split in ("train", "test")}
    (data / "dataset.yaml").write_text(yaml.safe_dump({"name": "things", "splits": splits}))
    path = photographs.take_classes(data, tmp_path / "few", 3)
    for split in ("train", "test"):
        taken = pd.read_csv(path.parent / f"{split}.csv")
        assert taken.label.tolist() == [labels[0], labels[3], labels[6]]
        assert taken[["x0", "y0", "x1", "y1"]].to_numpy().tolist() == [[1, 2, 30, 40]] * 3
    assert Path(yaml.safe_load(path.read_text())["splits"]["test"]["images"]) == (data / "images").resolve()


def test_a_threshold_comes_from_the_other_half(script) -> None:
    pretrained = script("pretrained_on_photographs")
    # Even images are found at the first threshold alone, odd ones at the second.
    hits = np.array([[True, False], [False, True]] * 4)
    assert not pretrained.two_fold(hits).any()
    assert pretrained.two_fold(np.ones((5, 3), dtype=bool)).all()


def test_a_paired_interval_of_equal_hits_is_zero(script) -> None:
    pretrained = script("pretrained_on_photographs")
    hits = np.random.default_rng(0).random((50, 4)) < 0.5
    assert pretrained.paired(hits, hits) == "+0.0 [+0.0, +0.0]"
    better = hits | (np.arange(50)[:, None] < 25)
    assert pretrained.paired(better, hits).startswith(f"{100 * (better.mean(0).max() - hits.mean(0).max()):+.1f} [")


def test_hands_down_what_was_found(script) -> None:
    """Pooling gives the energy-weighted mean back, and the map of any class is the energy up to a factor."""
    import torch

    cross_stage = script("cross_stage")
    features = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    energy = features.mean(1, keepdim=True)
    found = cross_stage.HandDown()(features)
    weighted = (energy * features).sum((2, 3)) / energy.sum((2, 3))
    torch.testing.assert_close(found.mean((2, 3)), weighted, rtol=1e-4, atol=1e-5)
    ratio = torch.einsum("d,bdhw->bhw", torch.tensor([0.5, -2.0, 1.0]), found) / energy[:, 0]
    torch.testing.assert_close(ratio, ratio[:, :1, :1].expand_as(ratio), rtol=1e-3, atol=1e-5)


def test_differences_are_paired_by_seed(script) -> None:
    """Seeds that one side lacks do not count, and what a seed does to both sides cancels."""
    comparison = script("comparison")
    plain = pd.DataFrame([row("plain", seed, "1", value) for seed, value in ((2, 90.0), (0, 10.0), (1, 50.0))])
    other = pd.DataFrame([row("other", seed, "1", value) for seed, value in ((1, 53.0), (0, 11.0), (7, 0.0))])
    assert comparison.paired_gain(other, plain) == "+2.0 ± 12.7"
    assert comparison.paired_gain(plain, plain) == "–"


def test_boxes_overlap_as_their_pixels_do(script) -> None:
    choices, side = script("threshold_choices"), 12
    generator = np.random.default_rng(0)
    corners = np.sort(generator.integers(0, side, (2, 30, 2, 2)), axis=2).reshape(2, 30, 4)
    found = choices.best_iou(corners[0] / side, corners[1][:3] / side, side)

    def pixels(box: np.ndarray) -> np.ndarray:
        grid = np.zeros((side, side), dtype=bool)
        grid[box[1] : box[3] + 1, box[0] : box[2] + 1] = True  # both ends belong to a box
        return grid

    for box, best in zip(corners[0], found, strict=True):
        others = [(pixels(box) & pixels(o)).sum() / (pixels(box) | pixels(o)).sum() for o in corners[1][:3]]
        assert best == pytest.approx(max(others))


def test_the_errors_of_a_list_are_those_of_its_boxes(script) -> None:
    choices = script("threshold_choices")
    true, pseudo = np.array([0.2, 0.3, 0.6, 0.5]), np.array([0.1, 0.3, 0.5, 0.6])
    assert choices.moved(true, true, pseudo) == pytest.approx(pseudo)
    # Half as large and elsewhere: so are the shifts; what leaves the image is cut.
    assert choices.moved(np.array([0.0, 0.8, 0.2, 0.9]), true, pseudo) == pytest.approx([0.0, 0.8, 0.15, 0.95])
    published = choices.PublishedList(np.tile(true, (9, 1)), np.tile(pseudo, (9, 1)))
    (spoiled,) = published.spoil([true[None]], draw=0)
    assert spoiled == pytest.approx(pseudo[None])
    assert published.quality()["mean_iou"] == pytest.approx(100 * 0.06 / 0.14, abs=0.5)


def test_halves_come_back_in_the_order_of_the_images(script) -> None:
    values, places = torch.arange(2 * 5 * 3.0).reshape(2, 5, 3), torch.tensor([1, 3, 0, 2, 4])
    found = script("feedback_on_photographs").in_order(values[:, places], places)
    assert found.tolist() == values.tolist()

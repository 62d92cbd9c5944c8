"""What a comparison's file may say, which runs follow from it, and how mistakes are told."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tiny_dataset import write_dataset

from eval.bench.checks import check_comparison, check_names
from eval.bench.description import read_description
from eval.bench.runs import expand
from tdam.errors import UserError

GOOD = {
    "dataset": "minibirds",
    "training": {"epochs": 2, "model_args": {"output_stride": 16}},
    "networks": {
        "plain": {"model": "resnet_mini", "methods": ["cam", "has"]},
        "tdam": {"model": "resnet_mini_tdam", "model_args": {"distance": 1}, "lr": 0.5},
    },
    "methods": {
        "cam": None,
        "has": {"lr": 0.1, "maps": ["cam", "activation"]},
        "strong": {"method": "cutmix", "networks": ["tdam"], "method_args": {"prob": 1}},
    },
    "seeds": 2,
}


def write(folder: Path, **changes: object) -> Path:
    path = folder / "comparison.yaml"
    path.write_text(yaml.safe_dump({**GOOD, **changes}, sort_keys=False))
    return path


def test_runs_are_the_pairs_that_go_together_first_seeds_first(tmp_path: Path) -> None:
    runs = expand(read_description(write(tmp_path), output=tmp_path / "out"))
    pairs = ["plain/cam", "plain/has", "tdam/cam", "tdam/has", "tdam/strong"]
    assert [run.name for run in runs] == [f"{pair}/seed{seed}" for seed in (0, 1) for pair in pairs]
    assert len({run.folder for run in runs}) == 10
    assert runs[1].maps == ("cam", "activation")
    assert runs[0].maps == ("cam",)


def test_later_settings_win_and_options_of_networks_are_joined(tmp_path: Path) -> None:
    description = read_description(write(tmp_path, recipe="minibirds"))
    runs = {run.name: run.settings for run in expand(description)}
    assert runs["tdam/strong/seed1"]["model_args"] == {"output_stride": 16, "distance": 1}
    assert runs["tdam/strong/seed1"]["method"] == "cutmix"
    assert runs["tdam/strong/seed1"]["seed"] == 1
    assert (runs["tdam/has/seed0"]["lr"], runs["tdam/cam/seed0"]["lr"], runs["plain/cam/seed0"]["lr"]) == (
        0.1,
        0.5,
        0.02,
    )
    assert runs["plain/cam/seed0"]["epochs"] == 2, "the file's, not the recipe's"


def test_the_command_line_takes_the_place_of_dataset_and_output(tmp_path: Path) -> None:
    description = read_description(write(tmp_path), "cub", tmp_path / "data", tmp_path / "out")
    (run, *_) = expand(description)
    assert (run.settings["dataset"], run.settings["data_root"]) == ("cub", str(tmp_path / "data"))
    assert run.folder == tmp_path / "out" / "plain" / "cam" / "seed0"
    assert read_description(write(tmp_path)).output == Path("runs/bench/comparison")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": {}}, "unknown key in .*comparison.yaml 'network'; valid: networks"),
        ({"dataset": None}, "dataset is missing"),
        ({"networks": {}}, "networks is missing"),
        ({"seeds": "three"}, "seeds must be a list"),
        ({"figure": "iou"}, "unknown figure"),
        ({"baseline": {"network": "plan"}}, "unknown network of the baseline .* valid: plain"),
        ({"networks": {"plain": {"methods": ["cm"]}}}, "unknown method of plain .* valid: cam"),
        ({"networks": {"a/b": None}}, "choose a name without /"),
        ({"training": [1]}, "training must hold KEY: VALUE lines"),
    ],
)
def test_mistakes_in_the_file(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_description(write(tmp_path, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocols": ["wsoleval"]}, "unknown protocol 'wsoleval'; valid: wsolevaluation"),
        ({"training": {"epoch": 2}}, "unknown key of training 'epoch'; valid: epochs"),
        ({"training": {"epochs": "two"}}, "training: epochs: expected a whole number, got 'two'"),
        ({"training": {"seed": 3}}, "unknown key of training 'seed'"),
        ({"networks": {"plain": {"stepss": 2}}}, "unknown key of network plain 'stepss'"),
        ({"networks": ["resnet_mini"], "methods": {"has": {"grid": 2}}}, "unknown key of method has 'grid'"),
        ({"evaluation": {"batch": 2}}, "unknown key of evaluation 'batch'; valid: batch_size"),
        ({"evaluation": {"checkpoint": "a"}}, "unknown key of evaluation 'checkpoint'"),
        ({"networks": {"plain": {"checkpoint": "a", "lr": 1}}}, "whose checkpoint is given, 'lr'; valid: .*model"),
    ],
)
def test_unknown_keys_and_wrong_values_list_the_valid_ones(tmp_path: Path, changes: dict, message: str) -> None:
    methods = {"methods": {"cam": None}} if "networks" in changes else {}
    with pytest.raises(UserError, match=message):
        check_names(read_description(write(tmp_path, **{**methods, **changes})))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"networks": {"resnet_mni": None}}, "resnet_mni/cam: unknown model 'resnet_mni'; valid: resnet_mini"),
        ({"methods": ["hass"]}, "resnet_mini/hass: unknown method 'hass'; valid: has"),
        ({"methods": {"has": {"method_args": {"grid": 2}}}}, "unknown hyper-parameter of method has 'grid'"),
        ({"methods": ["ts-cam"]}, "resnet_mini/ts-cam: "),
        ({"maps": ["camm"]}, "unknown map method 'camm'; valid: cam"),
        ({"maps": ["cam", "searchlight"]}, "resnet_mini/cam: ResNetMini has no feedback"),
        ({"maps": ["attention-rollout"]}, "resnet_mini/cam: ResNetMini computes no attention"),
        ({"methods": ["acol"], "maps": ["grad-cam"]}, "resnet_mini/acol: this network makes its maps itself"),
        ({"evaluation": {"selection_boxes": "none.txt"}}, r"none\.txt: no such file"),
        ({"training": {"selection_boxes": "none.txt"}}, r"resnet_mini/cam: none\.txt: no such file"),
        ({"evaluation": {"val_results": "none.json"}}, r"evaluation: val_results: there is no none\.json"),
        ({"dataset": "cub"}, "wsol-data prepare cub"),
    ],
)
def test_what_cannot_run_is_told_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict, message: str
) -> None:
    monkeypatch.setenv("WSOL_DATA", str(tmp_path))
    dataset = write_dataset(tmp_path / "set", splits=("train", "val", "test"))
    settings = {"dataset": str(dataset), "training": {}, "networks": ["resnet_mini"], "methods": ["cam"], **changes}
    description = read_description(write(tmp_path, **settings), output=tmp_path / "out")
    with pytest.raises(UserError, match=message):
        check_comparison(description, expand(description))
    assert not (tmp_path / "out").exists()


def test_a_single_network_or_method_needs_no_list(tmp_path: Path) -> None:
    description = read_description(write(tmp_path, networks="resnet_mini", methods="cam", baseline={}))
    assert [variant.name for variant in (*description.networks, *description.methods)] == ["resnet_mini", "cam"]

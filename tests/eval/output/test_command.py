"""The command in results.json is the true one: it gives the same options back, and the same figures again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import tyro
from tiny_dataset import write_checkpoint, write_dataset

from eval.commands.evaluate import run
from eval.options import EvaluationOptions
from eval.output.command import command_line

EVERY = EvaluationOptions(
    dataset="my data/$things",
    model="resnet50_tdam",
    data_root=Path("/data root"),
    split="val",
    checkpoint=Path("a'b.safetensors"),
    protocol="bas",
    output=Path("out [1]"),
    batch_size=7,
    precision="bf16",
    fold_norms=True,
    limit=5,
    threshold=0.25,
    val=False,
    attention_shift=False,
    decode="fast",
    on_error="count",
    coco=True,
    gallery=0,
    pick="gained",
    bootstrap=0,
    threshold_rules=(),
)


def read_back(command: str) -> EvaluationOptions:
    program, *words = shlex.split(command)
    assert program == "wsol-eval"
    return tyro.cli(EvaluationOptions, args=words)


@pytest.mark.parametrize(
    "options",
    [
        EVERY,
        EvaluationOptions(dataset="minibirds", model="resnet_mini_tdam"),
        EvaluationOptions(dataset="minibirds", score_maps=Path("maps"), val_score_maps=Path("val maps")),
    ],
)
def test_the_command_read_back_gives_the_same_options(options: EvaluationOptions) -> None:
    assert read_back(command_line(options)) == options


def test_what_the_environment_and_the_runs_folder_decided_is_spelled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSOL_DATA", "/big/data")
    found = Path("runs/cub/resnet50_tdam/best.safetensors")
    given = EvaluationOptions(dataset="cub", model="resnet50_tdam", resume=True, output=Path("o"))
    options = read_back(command_line(given, found))
    assert (options.data_root, options.checkpoint, options.resume) == (Path("/big/data"), found, False)
    assert read_back(command_line(EvaluationOptions(dataset="things/", model="m"))).data_root is None


def test_the_pasted_command_reproduces_the_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_dataset(Path("my things"))
    folder = Path("runs/my things/resnet_mini_tdam")
    folder.mkdir(parents=True)
    write_checkpoint(folder / "best.safetensors")
    options = ["--threshold", "0.35", "--protocol", "bas", "--limit", "5", "--bootstrap", "0", "--gallery", "0"]
    run(["--model", "resnet_mini_tdam", "--dataset", "my things", "--output", "out", *options])
    first = json.loads(Path("out/results.json").read_text())
    (folder / "best.safetensors").rename("kept.safetensors")
    write_checkpoint(folder / "best.safetensors", seed=1)
    command = first["command"].replace("'runs/my things/resnet_mini_tdam/best.safetensors'", "kept.safetensors")
    assert "--checkpoint kept.safetensors" in command
    run([*shlex.split(command)[1:], "--output", "again"])
    again = json.loads(Path("again/results.json").read_text())
    for key in ("steps", "fusions", "thresholds", "per_class", "breakdown", "baselines", "images"):
        assert again[key] == first[key], key
    assert Path("out/report.html").read_text().count("--threshold 0.35") >= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--val-results", "out", "--output", "out"], "would overwrite --val-results"),
        (["--val-results", "out/results.json", "--output", "out"], "would overwrite --val-results"),
        (["--selection-boxes", "out/predictions.csv", "--output", "out"], "would overwrite --selection-boxes"),
        (["--checkpoint", "link", "--output", "out"], "would overwrite --checkpoint"),
    ],
)
def test_an_output_that_is_an_input_is_refused(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    for name in ("results.json", "predictions.csv", "curves.csv"):
        Path("out", name).write_text("input")
    Path("link").symlink_to("out/curves.csv")
    with pytest.raises(Exception, match=message):
        run(["--model", "resnet_mini", "--dataset", "minibirds", *arguments])
    assert {path.read_text() for path in Path("out").iterdir()} == {"input"}


def test_maps_are_not_written_over_the_maps_that_are_judged(tmp_path: Path) -> None:
    maps = ["--score-maps", str(tmp_path), "--save-score-maps", f"{tmp_path}/"]
    with pytest.raises(Exception, match="would overwrite the maps of --score-maps"):
        run(["--dataset", "minibirds", *maps])

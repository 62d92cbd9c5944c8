"""The command as a user calls it: exit codes, one-line errors, printed tables."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tiny_dataset import write_checkpoint, write_dataset

from eval.commands.evaluate import main


def call(arguments, monkeypatch):
    """Run the command in this process, which spares the start of another; returns the exit code."""
    monkeypatch.setattr(sys, "argv", ["wsol-eval", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_:
        main()
    return exit_.value.code


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return write_dataset(folder / "things"), write_checkpoint(folder / "weights.safetensors")


def test_a_good_call_prints_the_table_and_writes_the_files(data, tmp_path):
    dataset, checkpoint = data
    command = [str(Path(sys.executable).parent / "wsol-eval"), "--model", "resnet_mini_tdam", "--dataset", str(dataset)]
    command += ["--checkpoint", str(checkpoint), "--output", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for words in ("step 1", "step 2 (last)", "any step (oracle)", "chosen on things val, 7 images", "7 images."):
        assert words in done.stdout
    assert {"results.json", "predictions.csv", "curves.csv"} <= {path.name for path in (tmp_path / "out").iterdir()}
    assert not (tmp_path / "out" / "partial").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["--model", "resnet_mini_tdm", "--dataset", "minibirds"],
            2,
            "error: unknown model 'resnet_mini_tdm'; valid: resnet_mini_tdam",
        ),
        (["--model", "resnet50_tdam", "--dataset", "cup"], 2, "error: unknown dataset 'cup'; valid: cub"),
        (["--model", "resnet50_tdam", "--dataset", "cub", "--split", "tset"], 2, "valid: test"),
        (["--model", "resnet50_tdam", "--dataset", "cub", "--protocol", "wsoleval"], 2, "valid: wsolevaluation"),
        (["--model", "resnet50_tdam", "--dataset", "cub"], 1, "wsol-data prepare cub"),
        (["--dataset", "cub"], 2, "--model NAME"),
    ],
)
def test_mistakes_get_one_line_and_their_exit_code(arguments, code, message, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WSOL_DATA", str(tmp_path))
    assert call(arguments, monkeypatch) == code
    printed = capsys.readouterr()
    assert message in printed.err
    assert len(printed.err.strip().splitlines()) == 1
    assert not printed.out


def test_unknown_options_leave_with_two(monkeypatch, capsys):
    assert call(["--modle", "resnet50_tdam"], monkeypatch) == 2
    assert "--modle" in capsys.readouterr().err

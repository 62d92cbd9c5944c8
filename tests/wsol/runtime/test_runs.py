from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from wsol.runtime.runs import run_folder, train_command


@pytest.mark.parametrize("dataset", ["mugs", "../mugs", "/etc", "a/b", "..", ".", "", "C:\\x", "杯", "two words"])
@pytest.mark.parametrize("model", ["resnet50.a1_in1k", "hf-hub:timm/resnet18", "my.module:build"])
def test_a_run_has_a_folder_of_its_own_below_runs(dataset: str, model: str) -> None:
    folder = run_folder(dataset, model, "runs")
    assert len(folder.parts) == 3
    assert folder.parts[0] == "runs"
    assert folder.resolve().parent.parent == Path("runs").resolve()


def test_the_training_command_survives_a_shell() -> None:
    words = shlex.split(train_command("resnet_mini", "my data/$mugs", "/data root"))
    assert words[4:] == ["my data/$mugs", "--data-root", "/data root"]
    assert words[:4] == ["wsol-train", "--model", "resnet_mini", "--dataset"]

"""Datasets that installed packages announce."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_dataset import write_dataset

from tdam.errors import UnknownNameError, UserError
from wsol.commands import data as command
from wsol.data import DatasetError, list_datasets, load_dataset
from wsol.data.registry import find_source

CUPS = """
from wsol.data import Source
from wsol.data.custom import load_custom

CUPS = Source(
    title="cups: six kinds",
    where="https://example.org/cups.zip",
    load=lambda root, split: load_custom(root / "cups", split) if (root / "cups").is_dir() else None,
)
"""


def install(folder: Path, name: str, entry_points: str, code: str = CUPS) -> None:
    """What an installer leaves in a folder of the path: a module, and the metadata of a distribution."""
    (folder / f"{name}_package.py").write_text(code)
    info = folder / f"{name}_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[wsol.datasets]\n{entry_points}\n")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "installed"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def test_a_dataset_of_another_package_is_one_of_ours(
    installed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(installed, "cups", "cups = cups_package:CUPS")
    write_dataset(tmp_path / "data" / "cups", images=8)
    assert "cups" in list_datasets()
    assert find_source("cups").title == "cups: six kinds"
    assert len(load_dataset("cups", "test", root=tmp_path / "data")) == 8
    command.main(["list", "--root", str(tmp_path / "data")])
    assert "cups: six kinds" in capsys.readouterr().out
    with pytest.raises(DatasetError, match=r"get it from https://example\.org/cups\.zip, or name another folder"):
        load_dataset("cups", "test", root=tmp_path)
    with pytest.raises(UnknownNameError, match="unknown dataset 'cub2'; valid: cub, cups"):
        load_dataset("cub2")


@pytest.mark.parametrize(
    ("entry_points", "message"),
    [
        ("odd = odd_package:nothing", "dataset odd of odd_package:nothing cannot be loaded"),
        ("odd = odd_package:NUMBER", r"dataset odd: odd_package:NUMBER is no wsol\.data\.Source"),
    ],
)
def test_a_broken_package_harms_no_other_dataset(installed: Path, entry_points: str, message: str) -> None:
    install(installed, "odd", entry_points, "NUMBER = 3")
    assert find_source("cub").title.startswith("CUB")
    with pytest.raises(UserError, match=message):
        load_dataset("odd")


def test_a_name_that_is_taken_is_refused(installed: Path) -> None:
    install(installed, "first", "cups = first_package:CUPS")
    install(installed, "second", "cups = second_package:CUPS")
    with pytest.raises(UserError, match=r"dataset cups of .*_package:CUPS has a name that .*_package:CUPS has"):
        load_dataset("cups")


def test_the_name_of_a_benchmark_is_refused(installed: Path) -> None:
    install(installed, "birds", "cub = birds_package:CUPS")
    with pytest.raises(UserError, match="dataset cub of birds_package:CUPS has a name that this package has"):
        list_datasets()

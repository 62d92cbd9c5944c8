"""What is named as a dataset and is none is told apart, with the lines that make it one."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tiny_datasets import picture, write_files

from wsol.data import DatasetError, load_dataset


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("name: 2020-99-99\nsplits: {test: {images: test}}", "cannot be read"),
        ("name: !!timestamp x\nsplits: {test: {images: test}}", "cannot be read"),
        ("[" * 3000, "nested too deep"),
        ("a: &a [x]\nsplits: {test: {images: *a}}", r"the alias \*a is not read here"),
        ("classes: 1000001\nsplits: {test: {images: test}}", r"not between 1 and 1,000,000"),
        ("classes: 0\nsplits: {test: {images: test}}", "not between 1"),
        ("classes: true\nsplits: {test: {images: test}}", "must be a list of different names"),
        ("classes: [a, a]\nsplits: {test: {images: test}}", "must be a list of different names"),
        ("name: ../x\nsplits: {test: {images: test}}", "write a name without"),
        ("splits: {test: {images: test/cup/a.jpg}}", "is a file, expected a folder"),
    ],
)
def test_malformed(yaml: str, message: str, tmp_path: Path) -> None:
    write_files(tmp_path, {"test/cup/a.jpg": picture("a", 9, 9), "dataset.yaml": yaml.encode()})
    with pytest.raises(DatasetError, match=message) as error:
        load_dataset(tmp_path)
    assert str(error.value).startswith(str(tmp_path / "dataset.yaml"))


def suggested_line(message: str) -> str:
    return message.rpartition(" with '")[2].rstrip("'") if " with '" in message else message.split("'")[1]


def test_a_folder_of_class_folders(tmp_path: Path) -> None:
    write_files(tmp_path, {f"{c}/a.jpg": picture(c, 9, 9) for c in ("cup", "mug")})
    with pytest.raises(DatasetError, match="but class folders: move them into") as error:
        load_dataset(tmp_path)
    (tmp_path / "dataset.yaml").write_text(suggested_line(str(error.value)))
    assert load_dataset(tmp_path).ground_truth.class_names == ("cup", "mug")


def test_a_list_of_boxes(tmp_path: Path) -> None:
    files = {"photos/a.jpg": picture("a", 60, 40), "boxes.csv": b"path,label,x0,y0,x1,y1\na.jpg,cup,1,2,30,30\n"}
    write_files(tmp_path, files)
    with pytest.raises(
        DatasetError, match=r"boxes\.csv: a list of boxes is not a dataset: write .*dataset\.yaml"
    ) as error:
        load_dataset(tmp_path / "boxes.csv")
    line = str(error.value).split("the line '")[1].split("'")[0].replace("FOLDER", "photos")
    assert yaml.safe_load(line)
    (tmp_path / "dataset.yaml").write_text(line)
    assert load_dataset(tmp_path).ground_truth.image_ids == ("a.jpg",)
    with pytest.raises(DatasetError, match=r"a\.jpg: is not a dataset; name a folder, or a dataset\.yaml"):
        load_dataset(tmp_path / "photos/a.jpg")

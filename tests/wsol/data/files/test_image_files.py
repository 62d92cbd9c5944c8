from pathlib import Path

import pytest
from tiny_datasets import picture, write_files

from wsol.data import DatasetError, load_dataset
from wsol.data.files.image_files import image_files
from wsol.photographs import find_images


def test_hidden_files_and_folders_are_passed_by(tmp_path: Path) -> None:
    seen = ["a.JPG", "cup/b.jpeg", "cup/deep/c.PNG", "mug/d.tif"]
    hidden = [
        ".x.jpg",
        ".git/e.jpg",
        "__MACOSX/cup/._b.jpeg",
        "cup/.ipynb_checkpoints/f.png",
        "cup/notes.txt",
        "mug/g.pdf",
    ]
    write_files(tmp_path, dict.fromkeys([*seen, *hidden], b""))
    assert image_files(tmp_path) == seen
    assert find_images([tmp_path]) == [tmp_path / name for name in seen]


def test_links_are_followed_and_circles_end(tmp_path: Path) -> None:
    write_files(tmp_path, {"elsewhere/a.jpg": picture("a", 9, 9), "set/test/mug/b.jpg": picture("b", 9, 9)})
    (tmp_path / "set/test/cup").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set/test/mug/up").symlink_to(tmp_path / "set/test")
    (tmp_path / "set/test/mug/gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert image_files(tmp_path / "set/test") == ["cup/a.jpg", "mug/b.jpg", "mug/gone.jpg"]
    dataset = load_dataset(tmp_path / "set")
    assert dataset.ground_truth.class_names == ("cup", "mug")
    assert [finding.kind for finding in dataset.findings] == ["image missing"]


@pytest.mark.parametrize("name", ["b\udcff.jpg", "b\n.jpg"])
def test_a_name_that_no_result_could_hold(name: str, tmp_path: Path) -> None:
    write_files(tmp_path, {f"test/cup/{name}": picture("b", 9, 9)})
    with pytest.raises(DatasetError, match="rename the file"):
        load_dataset(tmp_path)

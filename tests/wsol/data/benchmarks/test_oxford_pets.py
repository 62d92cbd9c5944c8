"""Oxford-IIIT Pet in miniature, in the published layout."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_datasets import (
    OXFORD_PETS_SIZE,
    Files,
    oxford_pets_annotations,
    oxford_pets_images,
    oxford_pets_rows,
    write_tar,
)

from tdam.errors import UnknownNameError
from wsol.data import DatasetError, load_dataset
from wsol.data.doctor import check_dataset
from wsol.data.prepare import prepare


def prepared(root: Path, annotations: Files, classes: tuple[str, ...] = ()) -> list[str]:
    said: list[str] = []
    archives = (
        write_tar(root / "a.tar.gz", annotations, "gz"),
        write_tar(root / "i.tar.gz", oxford_pets_images(), "gz"),
    )
    prepare("oxford-pets", root, archives, say=said.append, classes=classes)
    return said


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_splits_are_the_published_ones_with_val_drawn_from_trainval(tmp_path: Path) -> None:
    said = prepared(tmp_path, oxford_pets_annotations())
    assert said[2:] == [
        "oxford-pets train: 3 images of 3 classes",
        "oxford-pets val: 4 images of 3 classes",
        "oxford-pets test: 4 images of 3 classes",
    ]
    truth = {split: load_dataset("oxford-pets", split, tmp_path).ground_truth for split in ("train", "val", "test")}
    listed = {
        part: {f"{name}.jpg" for name, _, own in oxford_pets_rows() if own == part} for part in ("trainval", "test")
    }
    assert set(truth["test"].image_ids) == listed["test"]
    assert set(truth["train"].image_ids) | set(truth["val"].image_ids) == listed["trainval"]
    assert not set(truth["train"].image_ids) & set(truth["val"].image_ids)
    assert truth["test"].class_names == ("Abyssinian", "american_bulldog", "Bengal")
    for image_id, label in zip(truth["test"].image_ids, truth["test"].labels, strict=True):
        assert image_id.startswith(truth["test"].class_names[label])
    assert [finding for finding in check_dataset("oxford-pets", tmp_path) if finding.severity != "note"] == []


def test_the_border_is_ignored_and_the_box_encloses_it(tmp_path: Path) -> None:
    prepared(tmp_path, oxford_pets_annotations())
    dataset = load_dataset("oxford-pets", "test", tmp_path)
    wanted = np.zeros(OXFORD_PETS_SIZE[::-1], dtype=np.uint8)
    wanted[6:30, 8:32] = 255
    wanted[8:28, 10:30] = 1
    for index in range(len(dataset)):
        np.testing.assert_array_equal(dataset.mask(index), wanted)
        assert dataset.ground_truth.boxes[index].tolist() == [[8, 6, 31, 29]]


@pytest.mark.parametrize(
    ("trimap", "reason"),
    [
        (None, "trimap missing or unreadable"),
        (np.full((9, 9), 1), "trimap of another size than the image"),
        (np.full((40, 50), 2), "trimap without animal"),
        (np.full((40, 50), 4), "trimap with values other than 1, 2 and 3"),
    ],
)
def test_an_image_whose_trimap_is_of_no_use_is_left_out_and_named(
    tmp_path: Path, trimap: np.ndarray | None, reason: str
) -> None:
    files = oxford_pets_annotations()
    path = "annotations/trimaps/Abyssinian_4.png"
    del files[path]
    said = prepared(tmp_path, files | ({} if trimap is None else {path: png(trimap)}))
    assert f"oxford-pets: 1 left out, {reason}: Abyssinian_4" in said
    assert "oxford-pets test: 3 images of 3 classes" in said


def test_some_breeds_alone(tmp_path: Path) -> None:
    prepared(tmp_path, oxford_pets_annotations(), ("Bengal", "Abyssinian"))
    truth = load_dataset("oxford-pets", "test", tmp_path).ground_truth
    assert truth.class_names == ("Abyssinian", "Bengal")
    assert truth.labels.tolist() == [0, 0, 1]
    with pytest.raises(UnknownNameError, match="Bengal"):
        prepare("oxford-pets", tmp_path, classes=("Bengals",))
    with pytest.raises(DatasetError, match="cub is prepared with all its classes"):
        prepare("cub", tmp_path, classes=("001.Black_footed_Albatross",))


def test_one_archive_alone_says_what_is_missing(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "a.tar.gz", oxford_pets_annotations(), "gz")
    with pytest.raises(DatasetError, match=r"still needed: images\.tar\.gz"):
        prepare("oxford-pets", tmp_path, (archive,))

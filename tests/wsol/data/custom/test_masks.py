"""Masks that do not fit their images are found when the split is opened."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_datasets import mask, picture, write_files

from wsol.data import DatasetError, load_dataset

PHOTOS = {f"test/mug/{name}.jpg": picture(name, 30, 20) for name in "ab"}


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (mask(20, 30, (5, 5, 9, 9)), r"mask of another shape: mug/b\.jpg: .*b\.png: 20 x 30, not 30 x 20"),
        (mask(30, 30, (5, 5, 9, 9)), "mask of another shape"),
        (mask(30, 20, (0, 0, 0, 0)), r"mask empty: mug/b\.jpg"),
        (png(Image.fromarray(np.ones((20, 30), np.uint8))), "mask empty"),
    ],
)
def test_a_mask_that_does_not_fit(file: bytes, message: str, tmp_path: Path) -> None:
    masks = {"test_masks/mug/a.png": mask(30, 20, (5, 5, 9, 9)), "test_masks/mug/b.png": file}
    with pytest.raises(DatasetError, match=message):
        load_dataset(write_files(tmp_path, PHOTOS | masks))


def test_a_folder_of_masks_that_fits_no_image(tmp_path: Path) -> None:
    write_files(tmp_path, PHOTOS | {"test_masks/other/a.png": mask(30, 20, (5, 5, 9, 9))})
    with pytest.raises(DatasetError, match=r"no mask fits any of the 2 images; the first would be .*mug/a\.png"):
        load_dataset(tmp_path)


def test_an_image_without_mask_is_said(tmp_path: Path) -> None:
    write_files(tmp_path, PHOTOS | {"test_masks/mug/a.png": mask(60, 40, (5, 5, 9, 9))})
    dataset = load_dataset(tmp_path)
    assert [(finding.kind, finding.subject) for finding in dataset.findings] == [("image without mask", "mug/b.jpg")]
    assert dataset.mask(0).sum() > 0
    assert dataset.mask(1) is None


def test_masks_of_any_depth(tmp_path: Path) -> None:
    bright = np.zeros((20, 30), bool)
    bright[4:9, 7:11] = True
    files = {
        "a": Image.fromarray(bright.astype(np.uint16) * 65535),
        "b": Image.fromarray(bright).convert("1"),
    }
    masks = {f"test_masks/mug/{name}.png": png(image) for name, image in files.items()}
    dataset = load_dataset(write_files(tmp_path, PHOTOS | masks))
    for index in range(2):
        np.testing.assert_array_equal(dataset.mask(index), bright)


def test_transparency_in_a_mask_is_refused(tmp_path: Path) -> None:
    glass = Image.new("LA", (30, 20), (255, 0))
    write_files(tmp_path, PHOTOS | {f"test_masks/mug/{name}.png": png(glass) for name in "ab"})
    dataset = load_dataset(tmp_path)
    with pytest.raises(DatasetError, match="a mask with transparency; save it as grey"):
        dataset.mask(0)

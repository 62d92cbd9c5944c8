from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared import shared_path
from tiny_datasets import (
    CUB,
    CUB_CLASSES,
    CUBV2_LISTS,
    cub_archive,
    cub_segmentations,
    cubv2_archive,
    lists,
    write_files,
)

from wsol.data import DatasetError, GroundTruth, load_dataset
from wsol.data.benchmarks.cub import integer_boxes


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_files(tmp_path, cub_archive())


def names(split: int) -> list[str]:
    return [row[0] for row in CUB if row[2] == split]


def test_boxes_are_those_of_the_published_lists(root: Path) -> None:
    listed = GroundTruth.from_lists(shared_path("metadata", "CUB", "test"))
    truth = load_dataset("cub", "test", root).ground_truth
    assert len(truth) == 3
    for i, image_id in enumerate(truth.image_ids):
        j = listed.image_ids.index(image_id)
        np.testing.assert_array_equal(truth.boxes[i], listed.boxes[j])
        np.testing.assert_array_equal(truth.sizes[i], listed.sizes[j])
        assert truth.labels[i] == listed.labels[j]


@given(st.lists(st.tuples(*[st.floats(0, 400)] * 4), max_size=4), st.integers(1, 500), st.integers(1, 500))
def test_integer_boxes_follow_the_rule(rows: list[tuple[float, ...]], width: int, height: int) -> None:
    boxes = integer_boxes(np.array(rows).reshape(-1, 4), width, height)
    rule = [[int(x), int(y), min(int(x + w), width - 1), min(int(y + h), height - 1)] for x, y, w, h in rows]
    assert boxes.tolist() == rule


def test_splits_without_cubv2(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train, val, test = (load_dataset("cub", split, root).ground_truth for split in ("train", "val", "test"))
    assert "CUBV2 is absent: 2 of 4 train images are held out" in capsys.readouterr().err
    assert set(test.image_ids) == set(names(0))
    assert set(train.image_ids) | set(val.image_ids) == set(names(1))
    assert not set(train.image_ids) & set(val.image_ids)
    assert sorted(train.labels) == sorted(val.labels) == [0, 1]
    assert val.image_ids == load_dataset("cub", "val", root).ground_truth.image_ids
    assert train.class_names == CUB_CLASSES


def test_cubv2_is_the_val_split(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_files(root / "CUBV2", cubv2_archive())
    with pytest.raises(DatasetError, match="CUBV2 has no ground truth: put metadata/CUB/val"):
        load_dataset("cub", "val", root)
    write_files(root, lists("CUB", "val", CUBV2_LISTS))
    val = load_dataset("cub", "val", root)
    assert val.ground_truth.image_ids == CUBV2_LISTS["image_ids"]
    assert val.ground_truth.boxes[1].tolist() == [[109, 179, 401, 541]]
    assert val.image(0).size == (560, 419)
    assert load_dataset("cub", "train", root).ground_truth.image_ids == tuple(names(1))
    assert capsys.readouterr().err == ""


def test_own_validation_split(root: Path) -> None:
    tree = root / "CUB_200_2011"
    (tree / "validation_split.txt").write_text("".join(f"{i} {int(i == 5)}\n" for i in range(1, 8)))
    assert load_dataset("cub", "val", root).ground_truth.image_ids == (CUB[4][0],)
    assert len(load_dataset("cub", "train", root)) == 3
    assert load_dataset(tree, "val").ground_truth.image_ids == (CUB[4][0],)


def test_masks(root: Path) -> None:
    assert load_dataset("cub", "test", root).mask(0) is None
    write_files(root / "CUB_200_2011", cub_segmentations())
    mask = load_dataset("cub", "test", root).mask(0)
    assert mask is not None
    assert mask.shape == (335, 500)
    assert mask.sum() == 325 * 304
    assert mask[27, 60] == mask[27 + 303, 60 + 324] == 1


def test_several_boxes_of_an_image(root: Path) -> None:
    with (root / "CUB_200_2011/bounding_boxes.txt").open("a") as file:
        file.write("1 5.0 6.0 7.0 8.0\n")
    boxes = load_dataset("cub", "test", root).ground_truth.boxes
    assert boxes[0].tolist() == [[60, 27, 385, 331], [5, 6, 12, 14]]
    assert len(boxes[1]) == 1


def test_listed_sizes_are_used(root: Path) -> None:
    (root / "CUB_200_2011/image_sizes.txt").write_text("".join(f"{i} 300 250\n" for i in range(1, 8)))
    truth = load_dataset("cub", "test", root).ground_truth
    assert truth.sizes.tolist() == [[300, 250]] * 3
    assert truth.boxes[0].tolist() == [[60, 27, 299, 249]]


def test_unreadable_image_spoils_only_itself(root: Path) -> None:
    (root / "CUB_200_2011/images" / CUB[0][0]).write_bytes(b"\xff\xd8 no image")
    dataset = load_dataset("cub", "test", root)
    assert dataset.ground_truth.sizes[0].tolist() == [0, 0]
    assert dataset.ground_truth.boxes[0].tolist() == [[60, 27, 385, 331]]
    with pytest.raises(DatasetError, match=r"Black_Footed_Albatross_0046_18\.jpg: cannot be read"):
        dataset[0]
    assert dataset[1][0].shape == (3, 347, 500)


@pytest.mark.parametrize(
    ("table", "text", "message"),
    [
        ("images.txt", "1 a.jpg b.jpg\n", "images.txt:1: expected a number and 1 value"),
        ("images.txt", "1 a.jpg\n1 b.jpg\n", "images.txt: an image number occurs twice"),
        ("image_class_labels.txt", "1 1\n", "image_class_labels.txt: 1 rows of 1 images, expected 7"),
        ("image_class_labels.txt", "1 9\n" + "".join(f"{i} 1\n" for i in range(2, 8)), "among the 2 classes"),
        ("train_test_split.txt", "8 1\n", "train_test_split.txt:1: unknown image number 8"),
        ("bounding_boxes.txt", "1 1 2 3 4\n2 1 2 x 4\n", "bounding_boxes.txt:2: '1 2 x 4' is not numeric"),
        ("bounding_boxes.txt", "1 1 2 3\n", "bounding_boxes.txt:1: expected a number and 4 value"),
        ("classes.txt", "1 one\n3 three\n", "classes.txt: class numbers are not 1, 2, 3"),
    ],
)
def test_malformed_tables(table: str, text: str, message: str, root: Path) -> None:
    (root / "CUB_200_2011" / table).write_text(text)
    with pytest.raises(DatasetError) as error:
        load_dataset("cub", "test", root)
    assert message in str(error.value)

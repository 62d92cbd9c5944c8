"""Tiny-ImageNet in miniature, in the published layout and with its faults."""

from pathlib import Path

import numpy as np
import pytest
from tiny_datasets import TINY_IMAGENET_TRAIN, tiny_imagenet_archive, write_files, write_zip

from tdam.errors import UnknownNameError
from wsol.data import DatasetError, load_dataset
from wsol.data.benchmarks import tiny_imagenet
from wsol.data.doctor import check_dataset
from wsol.data.prepare import prepare

IDS = ("n01443537", "n01855672", "n02124075", "n03126707")


def prepared(root: Path, classes: tuple[str, ...] = ()) -> list[str]:
    said: list[str] = []
    archive = write_zip(root / "any-name.zip", tiny_imagenet_archive())
    prepare("tiny-imagenet", root, (archive,), say=said.append, classes=classes)
    return said


def test_faults_are_left_out_and_named(tmp_path: Path) -> None:
    said = prepared(tmp_path)
    assert said[1:] == [
        "tiny-imagenet: 2 left out, box without area: train/n01443537/images/n01443537_12.JPEG, val/images/val_3.JPEG",
        "tiny-imagenet: 2 left out, same image again: train/n02124075/images/n02124075_1.JPEG, "
        "train/n02124075/images/n02124075_4.JPEG",
        "tiny-imagenet: 2 left out, same image with two labels: train/n01855672/images/n01855672_2.JPEG, "
        "train/n03126707/images/n03126707_2.JPEG",
        f"tiny-imagenet train: {4 * (TINY_IMAGENET_TRAIN - 10) - 3} images of 4 classes",
        "tiny-imagenet val: 38 images of 4 classes",
        "tiny-imagenet test: 7 images of 4 classes",
    ]


def test_labels_boxes_and_pixels_are_those_published(tmp_path: Path) -> None:
    prepared(tmp_path)
    files = tiny_imagenet_archive()
    rows = files["tiny-imagenet-200/val/val_annotations.txt"].decode().splitlines()
    published = {f"val/images/{row[0]}": row[1:] for row in (line.split("\t") for line in rows)}
    test = load_dataset("tiny-imagenet", "test", tmp_path)
    truth = test.ground_truth
    assert truth.class_names == ("goldfish", "crane (n01855672)", "Egyptian cat", "crane (n03126707)")
    assert set(truth.image_ids) == set(published) - {"val/images/val_3.JPEG"}
    for image_id, label, boxes in zip(truth.image_ids, truth.labels, truth.boxes, strict=True):
        wordnet_id, *box = published[image_id]
        assert IDS[label] == wordnet_id
        assert boxes.tolist() == [list(map(int, box))]
    assert np.asarray(truth.sizes).tolist() == [[64, 64]] * len(truth)
    assert test[0][0].shape == (3, 64, 64)


def test_splits_share_no_image_and_val_is_the_end_of_train(tmp_path: Path) -> None:
    prepared(tmp_path)
    train, val = (load_dataset("tiny-imagenet", split, tmp_path).ground_truth for split in ("train", "val"))
    numbers = [int(Path(image_id).stem.split("_")[1]) for image_id in val.image_ids]
    assert min(numbers) == TINY_IMAGENET_TRAIN - 10
    assert max(int(Path(image_id).stem.split("_")[1]) for image_id in train.image_ids) < min(numbers)
    assert [finding for finding in check_dataset("tiny-imagenet", tmp_path) if finding.severity != "note"] == []


def test_some_classes_alone(tmp_path: Path) -> None:
    prepared(tmp_path, ("n02124075", "n01443537"))
    truth = load_dataset("tiny-imagenet", "test", tmp_path).ground_truth
    assert truth.class_names == ("goldfish", "Egyptian cat")
    assert sorted(truth.labels.tolist()) == [0, 0, 1, 1]
    with pytest.raises(UnknownNameError, match="n99999999"):
        prepare("tiny-imagenet", tmp_path, classes=("n99999999",))


def test_a_tree_is_enough_and_one_without_lists_says_what_to_do(tmp_path: Path) -> None:
    write_files(tmp_path, tiny_imagenet_archive())
    with pytest.raises(DatasetError, match=r"not listed yet; run 'wsol-data prepare tiny-imagenet --root"):
        load_dataset("tiny-imagenet", "test", tmp_path)
    prepare("tiny-imagenet", tmp_path / "tiny-imagenet-200")
    assert len(load_dataset("tiny-imagenet", "test", tmp_path / "tiny-imagenet-200")) == 7


def test_a_missing_class_folder_and_a_bad_row_are_named(tmp_path: Path) -> None:
    files = tiny_imagenet_archive()
    boxes = "tiny-imagenet-200/train/n01443537/n01443537_boxes.txt"
    write_files(tmp_path, {name: data for name, data in files.items() if name != boxes})
    with pytest.raises(DatasetError, match=r"n01443537_boxes\.txt: no such file.*--classes"):
        prepare("tiny-imagenet", tmp_path)
    write_files(tmp_path, {boxes: b"n01443537_0.JPEG\t1\t2\t3\t4\nn01443537_1.JPEG\t1\t2\t3\n"})
    with pytest.raises(DatasetError, match=r"n01443537_boxes\.txt:2: expected 5 columns"):
        prepare("tiny-imagenet", tmp_path)


def test_nothing_there_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"tiny-imagenet-200\.zip .* from http://cs231n\.stanford\.edu"):
        prepare("tiny-imagenet", tmp_path)
    assert tiny_imagenet.load_tiny_imagenet(tmp_path, "test") is None

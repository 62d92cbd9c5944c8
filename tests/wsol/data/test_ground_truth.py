from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import shared_path

from wsol.data import DatasetError, GroundTruth, MaskFiles
from wsol.data.ground_truth import id_fault

SPLITS = {  # published counts: images, classes, boxes or masks, share of images with more than one
    "CUB/train": (5994, 200, 5994, 0.0),
    "CUB/val": (1000, 200, 1000, 0.0),
    "CUB/test": (5794, 200, 5794, 0.0),
    "ILSVRC/val": (10000, 1000, 18532, 0.205),
    "ILSVRC/test": (50000, 1000, 80477, 0.234),
    "OpenImages/val": (2500, 100, 3854, None),
    "OpenImages/test": (5000, 100, 7632, None),
}


def write(folder: Path, **lists: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    defaults = {"image_ids": "a.jpg\nb,c.jpg", "class_labels": "a.jpg,0\nb,c.jpg,1"}
    defaults |= {"image_sizes": "a.jpg,50,40\nb,c.jpg,60,30", "localization": "a.jpg,1,2,3,4\nb,c.jpg,5,6,7,8"}
    for name, text in (defaults | lists).items():
        (folder / f"{name}.txt").write_text(text)
    return folder


@pytest.mark.parametrize("split", SPLITS)
def test_published_lists(split: str) -> None:
    images, classes, objects, several = SPLITS[split]
    truth = GroundTruth.from_lists(shared_path("metadata", *split.split("/")))
    counts = [len(boxes) for boxes in truth.boxes]
    if truth.masks is not None:
        counts = [len(files.objects) for files in truth.masks]
        assert all(files.ignore for files in truth.masks)
    assert len(truth) == images
    assert sorted(set(truth.labels.tolist())) == list(range(classes))
    assert sum(counts) == objects
    if several is not None:
        assert np.mean(np.array(counts) > 1) == pytest.approx(several, abs=0.0005)
        boxes, sizes = np.concatenate(truth.boxes), np.repeat(truth.sizes, counts, axis=0)
        assert (boxes[:, 2:] < sizes).all()
        assert (boxes >= 0).all()


@pytest.mark.parametrize("split", SPLITS)
def test_published_lists_are_written_byte_for_byte(split: str, tmp_path: Path) -> None:
    published = shared_path("metadata", *split.split("/"))
    GroundTruth.from_lists(published).write_lists(tmp_path)
    for name in ("image_ids.txt", "class_labels.txt", "image_sizes.txt", "localization.txt"):
        assert (tmp_path / name).read_bytes() == (published / name).read_bytes()


ids = st.lists(
    # A backslash would be read as the separator of a list written on Windows.
    st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="\\"), min_size=1).filter(
        lambda name: id_fault(name) is None
    ),
    unique=True,
    min_size=1,
)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), image_ids=ids)
def test_lists_keep_everything(data: st.DataObject, image_ids: list[str], tmp_path_factory) -> None:
    n = len(image_ids)
    number = st.integers(0, 10_000)
    labels = data.draw(st.lists(st.integers(0, 5), min_size=n, max_size=n))
    boxes = data.draw(st.lists(st.lists(st.tuples(*[number] * 4), max_size=3), min_size=n, max_size=n))
    truth = GroundTruth(
        dataset="d",
        split="test",
        image_ids=tuple(image_ids),
        labels=np.array(labels),
        sizes=np.full((n, 2), 7),
        boxes=tuple(np.array(b, dtype=np.int64).reshape(-1, 4) for b in boxes),
        class_names=tuple(f"class {i}" for i in range(6)),
    )
    folder = tmp_path_factory.mktemp("lists") / "d" / "test"
    truth.write_lists(folder)
    again = GroundTruth.from_lists(folder)
    assert (again.dataset, again.split, again.image_ids) == ("d", "test", truth.image_ids)
    assert again.class_names == truth.class_names
    np.testing.assert_array_equal(again.labels, truth.labels)
    np.testing.assert_array_equal(again.sizes, truth.sizes)
    assert [b.tolist() for b in again.boxes] == [[list(box) for box in b] for b in boxes]


def test_masks_round_trip(tmp_path: Path) -> None:
    text = "a.jpg,a_m1.png,a_ignore.png\na.jpg,a_m2.png,\nb.jpg,b_m1.png,"
    write(tmp_path, image_ids="a.jpg\nb.jpg", class_labels="b.jpg,1\na.jpg,0", image_sizes="", localization=text)
    truth = GroundTruth.from_lists(tmp_path)
    assert truth.masks == (MaskFiles(("a_m1.png", "a_m2.png"), "a_ignore.png"), MaskFiles(("b_m1.png",), None))
    assert truth.labels.tolist() == [0, 1]
    assert truth.sizes.tolist() == [[0, 0], [0, 0]]
    truth.write_lists(tmp_path / "again")
    assert (tmp_path / "again" / "localization.txt").read_text() == text


def test_subset_keeps_order_and_classes(tmp_path: Path) -> None:
    truth = GroundTruth.from_lists(write(tmp_path)).subset([1, 0])
    assert truth.image_ids == ("b,c.jpg", "a.jpg")
    assert truth.boxes[0].tolist() == [[5, 6, 7, 8]]
    assert truth.num_classes == 2


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"image_ids": "a.jpg\n\nb,c.jpg"}, "image_ids.txt:2: empty line"),
        ({"image_ids": "a.jpg\nb,c.jpg\na.jpg"}, "image_ids.txt:3: 'a.jpg' is already on line 1"),
        ({"class_labels": "a.jpg,0\nb,c.jpg,one"}, "class_labels.txt:2: expected an id and 1 integer"),
        ({"class_labels": "a.jpg,0\nb,c.jpg"}, "class_labels.txt:2: expected an id and 1 integer"),
        ({"class_labels": "a.jpg,0\nz.jpg,1"}, "class_labels.txt:2: 'z.jpg' is not among the image ids"),
        ({"class_labels": "a.jpg,0"}, "class_labels.txt: no row for 1 image(s), first 'b,c.jpg'"),
        ({"class_labels": "a.jpg,0\nb,c.jpg,1\na.jpg,0"}, "class_labels.txt:3: second row for 'a.jpg'"),
        ({"class_labels": "a.jpg,-1\nb,c.jpg,1"}, "class_labels.txt: negative label -1"),
        ({"image_sizes": "a.jpg,50\nb,c.jpg,60,30"}, "image_sizes.txt:1: expected an id and 2 integer"),
        ({"localization": "a.jpg,1,2,3,4.5"}, "localization.txt:1: expected an id and 4 integer"),
        ({"localization": "a.jpg,1,2,3,99999999999999999999"}, "localization.txt:1: expected an id and 4"),
        ({"localization": "a.jpg,m.png,\na.jpg,m.png"}, "localization.txt:2: expected 'id,mask,ignore'"),
        ({"class_names": "one"}, "class_names.txt: 1 names, but a label is 1"),
    ],
)
def test_malformed_lists_name_file_and_line(lists: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as error:
        GroundTruth.from_lists(write(tmp_path, **lists))
    assert message in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"image_ids\.txt: no such file"):
        GroundTruth.from_lists(tmp_path)


def test_lengths_must_agree() -> None:
    with pytest.raises(DatasetError, match="2 images but 1 labels"):
        GroundTruth("d", "test", ("a", "b"), np.zeros(1), np.zeros((2, 2)), (np.zeros((0, 4)),) * 2, ("c",))

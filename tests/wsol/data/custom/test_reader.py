import json
from pathlib import Path

import numpy as np
import pytest
from tiny_datasets import mask, picture, voc_xml, write_files

from tdam.errors import UnknownNameError
from wsol.data import DatasetError, load_dataset

PHOTOS = {f"photos/{name}.jpg": picture(name, 60, 40) for name in ("a", "b", "c")}
CSV = "path,label,x0,y0,x1,y1\na.jpg,mug,1,2,30,40\na.jpg,mug,5.9,6,60,12\nb.jpg,cup,0,0,10,10\nc.jpg,cup,,,,\n"
FIVE_LINES = """\
name: mugs
splits:
  train: {images: train}
  val: {images: photos, boxes: val.csv}
  test: {images: photos, boxes: test.csv, masks: masks}
"""


@pytest.fixture
def mugs(tmp_path: Path) -> Path:
    files = {f"train/{c}/{i}.png": picture(f"{c}{i}", 30, 20, "PNG") for c in ("cup", "mug") for i in range(2)}
    files |= PHOTOS | {"val.csv": CSV.encode(), "test.csv": CSV.encode(), "dataset.yaml": FIVE_LINES.encode()}
    files |= {"masks/a.png": mask(60, 40, (1, 2, 29, 38)), "masks/a_ignore.png": mask(60, 40, (0, 0, 5, 40))}
    return write_files(tmp_path / "mugs", files)


@pytest.mark.parametrize("named", ["file", "folder"])
def test_csv(mugs: Path, named: str) -> None:
    dataset = load_dataset(mugs / "dataset.yaml" if named == "file" else str(mugs), "test")
    truth = dataset.ground_truth
    assert (truth.dataset, truth.split) == ("mugs", "test")
    assert truth.image_ids == ("a.jpg", "b.jpg", "c.jpg")
    assert truth.class_names == ("cup", "mug")
    assert truth.labels.tolist() == [1, 0, 0]
    assert [b.tolist() for b in truth.boxes] == [[[1, 2, 30, 39], [5, 6, 59, 12]], [[0, 0, 10, 10]], []]
    assert truth.sizes.tolist() == [[60, 40]] * 3
    found = dataset.mask(0)
    assert found is not None
    assert (found == 1).sum() == 29 * 38
    assert (found == 255).sum() == 5 * 40 - 4 * 38
    assert dataset.mask(1) is None


def test_image_folder(mugs: Path) -> None:
    dataset = load_dataset(mugs, "train")
    assert dataset.ground_truth.image_ids == ("cup/0.png", "cup/1.png", "mug/0.png", "mug/1.png")
    assert dataset.ground_truth.labels.tolist() == [0, 0, 1, 1]
    assert all(len(boxes) == 0 for boxes in dataset.ground_truth.boxes)
    assert dataset[3][0].shape == (3, 20, 30)


def coco(**changes: object) -> dict[str, object]:
    content = {
        "images": [{"id": 7, "file_name": "deep/a.jpg"}, {"id": 9, "file_name": "deep/b.jpg"}],
        "categories": [{"id": 3, "name": "mug"}, {"id": 1, "name": "cup"}],
        "annotations": [
            {"image_id": 7, "category_id": 3, "bbox": [1, 2, 10.5, 20]},
            {"image_id": 9, "category_id": 1, "bbox": [50, 30, 10, 10]},
            {"image_id": 7, "category_id": 1, "bbox": [0, 0, 60, 40], "iscrowd": 1},
        ],
    }
    return content | changes


def test_coco(tmp_path: Path) -> None:
    yaml = "splits: {test: {images: photos, boxes: test.json}}"
    write_files(tmp_path, PHOTOS | {"dataset.yaml": yaml.encode(), "test.json": json.dumps(coco()).encode()})
    truth = load_dataset(tmp_path, "test").ground_truth
    assert truth.dataset == tmp_path.name
    assert truth.image_ids == ("a.jpg", "b.jpg")  # the list was written one folder further up
    assert truth.class_names == ("cup", "mug")
    assert [b.tolist() for b in truth.boxes] == [[[1, 2, 11, 22]], [[50, 30, 59, 39]]]


def test_folder_that_explains_itself(tmp_path: Path) -> None:
    photos = {f"test/{c}/{name}.jpg": picture(name, 60, 40) for c, name in (("cup", "a"), ("mug", "b"))}
    boxes = {"test_boxes/cup/a.xml": voc_xml("cup", [(1, 2, 60, 40), (3, 4, 5, 6)], 60, 40)}
    boxes |= {"test_boxes/mug/b.xml": voc_xml("mug", [(7, 8, 9, 10)], 60, 40)}
    write_files(tmp_path, photos | boxes | {"test_masks/mug/b.png": mask(60, 40, (7, 8, 2, 2))})
    dataset = load_dataset(tmp_path, "test")
    assert dataset.ground_truth.image_ids == ("cup/a.jpg", "mug/b.jpg")
    assert [b.tolist() for b in dataset.ground_truth.boxes] == [[[1, 2, 59, 39], [3, 4, 5, 6]], [[7, 8, 9, 10]]]
    assert dataset.mask(1).sum() == 4
    with pytest.raises(DatasetError, match=r"has no train split \(has: test\)"):
        load_dataset(tmp_path, "train")


def test_labels_from_folders_where_the_csv_has_none(tmp_path: Path) -> None:
    write_files(tmp_path / "test", {"mug/a.jpg": picture("a", 60, 40), "cup/b.jpg": picture("b", 60, 40)})
    write_files(tmp_path, {"test.csv": b"path,x0,y0,x1,y1\nmug/a.jpg,1,2,3,4\nb.jpg,1,2,3,4\n"})
    truth = load_dataset(tmp_path, "test").ground_truth
    assert truth.image_ids == ("mug/a.jpg", "cup/b.jpg")
    assert truth.labels.tolist() == [1, 0]


def numbered(folder: Path, labels: list[str], head: str = "") -> Path:
    """A dataset of one image per label."""
    files = {f"photos/{i}.jpg": picture(str(i), 60, 40) for i in range(len(labels))}
    rows = "".join(f"{i}.jpg,{label}\n" for i, label in enumerate(labels))
    yaml = f"{head}splits: {{test: {{images: photos, boxes: test.csv}}}}"
    return write_files(folder, files | {"dataset.yaml": yaml.encode(), "test.csv": f"path,label\n{rows}".encode()})


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["2", "0", "1"], ("0", "1", "2")),
        ([str(i) for i in range(11)], tuple(map(str, range(11)))),
        # with a gap, not from 0, padded, or in digits of another script they are names, sorted as text
        (["10", "2"], ("10", "2")),
        (["1", "2", "3"], ("1", "2", "3")),
        (["00000", "00001"], ("00000", "00001")),
        (["3017", "48460"], ("3017", "48460")),
        (["20231105", "20240101"], ("20231105", "20240101")),
        (["0", "01"], ("0", "01")),
        (["0", "\uff11"], ("0", "\uff11")),
        (["0", "-1"], ("-1", "0")),
    ],
)
def test_numbers_are_class_numbers_only_where_dense_and_plain(
    labels: list[str], names: tuple[str, ...], tmp_path: Path
) -> None:
    truth = load_dataset(numbered(tmp_path, labels), "test").ground_truth
    assert truth.class_names == names
    assert [truth.class_names[label] for label in truth.labels] == labels


def test_classes_fix_order_and_number(tmp_path: Path) -> None:
    truth = load_dataset(numbered(tmp_path, ["10", "2"], "classes: [10, 2]\n"), "test").ground_truth
    assert truth.class_names == ("10", "2")
    assert truth.labels.tolist() == [0, 1]
    truth = load_dataset(numbered(tmp_path, ["10", "2"], "classes: 12\n"), "test").ground_truth
    assert truth.labels.tolist() == [10, 2]
    assert truth.num_classes == 12


def test_classes_are_those_of_all_splits(mugs: Path) -> None:
    write_files(mugs, {"test.csv": b"path,label\na.jpg,mug\n"})
    assert load_dataset(mugs, "test").ground_truth.labels.tolist() == [1]


def test_missing_image_spoils_only_itself(mugs: Path) -> None:
    (mugs / "photos/a.jpg").unlink()
    dataset = load_dataset(mugs, "test")
    assert dataset.ground_truth.sizes.tolist() == [[0, 0], [60, 40], [60, 40]]
    with pytest.raises(DatasetError, match=r"photos/a\.jpg: No such file"):
        dataset[0]
    np.testing.assert_array_equal(dataset.image(1).size, (60, 40))


@pytest.mark.parametrize(
    ("csv", "message"),
    [
        ("", "test.csv:1: no column 'path' in the header (has: nothing)"),
        ("file,label\na.jpg,mug\n", "test.csv:1: no column 'path' in the header (has: file, label)"),
        ("path,label,x0,y0\na.jpg,mug,1,2\n", "test.csv:1: the header has no x1, y1"),
        ("path,label,x0,y0,x1,y1\na.jpg,mug,1,2,3\n", "test.csv:2: expected as many values"),
        ("path,label,x0,y0,x1,y1\na.jpg,mug,1,2,3,4,5\n", "test.csv:2: expected as many values"),
        ("path,label,x0,y0,x1,y1\na.jpg,mug,1,2,3,x\n", "test.csv:2: '1,2,3,x' are not four numbers"),
        ("path,label,x0,y0,x1,y1\na.jpg,mug,1,,3,4\n", "test.csv:2: '1,,3,4' are not four numbers"),
        ("path,label\na.jpg,mug\na.jpg,cup\n", "test.csv:3: 'a.jpg' is 'cup' here, but 'mug' at "),
        ("path,label\n,mug\n", "test.csv:2: expected as many values"),
        ("path\na.jpg\n", "'a.jpg' has no label"),
        ("path,label\n", "test.csv: no images"),
    ],
)
def test_malformed_csv(csv: str, message: str, mugs: Path) -> None:
    (mugs / "test.csv").write_text(csv)
    with pytest.raises(DatasetError) as error:
        load_dataset(mugs, "test")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "test.json:1: not JSON"),
        ("[]", "test.json: not a COCO instances file"),
        (json.dumps({"images": []}), "not a COCO instances file (KeyError: 'categories')"),
        (json.dumps(coco(annotations=[{"image_id": 8, "category_id": 3, "bbox": [1, 2, 3, 4]}])), "(KeyError: 8)"),
        (json.dumps(coco(annotations=[{"image_id": 7, "category_id": 3, "bbox": [1, 2, 3]}])), "is not [x, y, width"),
        (
            json.dumps(coco(annotations=[{"image_id": 7, "category_id": c, "bbox": [1, 2, 3, 4]} for c in (3, 1)])),
            "image 7: objects of several categories (mug, cup)",
        ),
    ],
)
def test_malformed_coco(content: str, message: str, tmp_path: Path) -> None:
    yaml = b"splits: {test: {images: photos, boxes: test.json}}"
    write_files(tmp_path, PHOTOS | {"dataset.yaml": yaml, "test.json": content.encode()})
    with pytest.raises(DatasetError) as error:
        load_dataset(tmp_path, "test")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("", "dataset.yaml: expected the keys name, classes, splits"),
        ("splits: [", "dataset.yaml: cannot be read"),
        ("split: {}", "unknown key 'split'; valid: name, classes, splits"),
        ("splits: {tset: {images: photos}}", "splits: unknown key 'tset'; valid: train, val, test"),
        ("splits: {test: {boxes: test.csv}}", "splits: test: 'images' is missing"),
        ("splits: {test: {images: fotos}}", "fotos does not exist"),
        ("splits: {test: {images: photos, boxes: dataset.yaml}}", "expected a .csv file, a COCO .json file or"),
        ("splits: {test: {images: photos, boxes: photos}}", "photos: no .xml file below it"),
        ("classes: [a, a]\nsplits: {test: {images: photos}}", "'classes' must be a list of different names"),
        ("classes: [mug]\nsplits: {test: {images: photos, boxes: test.csv}}", "class 'cup' is not among mug"),
    ],
)
def test_malformed_description(yaml: str, message: str, mugs: Path) -> None:
    (mugs / "dataset.yaml").write_text(yaml)
    with pytest.raises(DatasetError) as error:
        load_dataset(mugs, "test")
    assert message in str(error.value)


def test_ambiguous_names(tmp_path: Path) -> None:
    write_files(tmp_path / "test", {f"{c}/a.jpg": picture(c, 9, 9) for c in ("cup", "mug")})
    write_files(tmp_path, {"test.csv": b"path,x0,y0,x1,y1\na.jpg,1,2,3,4\n"})
    with pytest.raises(DatasetError, match=r"test\.csv:2: 'a\.jpg' may be cup/a\.jpg or mug/a\.jpg"):
        load_dataset(tmp_path, "test")


def test_two_entries_for_one_image(tmp_path: Path) -> None:
    write_files(tmp_path / "test", {"cup/a.jpg": picture("a", 9, 9)})
    write_files(tmp_path, {"test.csv": b"path,label\na.jpg,cup\ncup/a.jpg,cup\n"})
    with pytest.raises(DatasetError, match=r"test\.csv:3: two entries for 'cup/a\.jpg', the other is .*test\.csv:2"):
        load_dataset(tmp_path, "test")


def test_neither_name_nor_path(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown dataset 'nowhere'"):
        load_dataset("nowhere")
    with pytest.raises(DatasetError, match=r"holds neither dataset\.yaml nor one of the folders train, val, test"):
        load_dataset(tmp_path)

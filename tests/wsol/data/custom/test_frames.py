"""Boxes of another frame, unit or order are refused with file, line and image; the rest is cut and said."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_datasets import picture, voc_xml, write_files

from wsol.data import DatasetError, LocalizationDataset, load_dataset
from wsol.data.doctor import check_dataset

HEADER = "path,label,x0,y0,x1,y1\n"
GOOD = ["cup/a.jpg,cup,30,20,80,60", "mug/b.jpg,mug,10,10,119,79"]


def turned(width: int, height: int, orientation: int = 6) -> bytes:
    """A JPEG of this size as stored, with a camera's orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (90, 60, 30)).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def with_csv(folder: Path, rows: list[str], size: tuple[int, int] = (120, 80), photo: bytes | None = None) -> Path:
    files = {f"test/{name}.jpg": photo or picture(name, *size) for name in ("cup/a", "mug/b")}
    return write_files(folder, files | {"test.csv": (HEADER + "\n".join(rows) + "\n").encode()})


def kinds(dataset: LocalizationDataset) -> list[tuple[str, str]]:
    return [(finding.kind, finding.subject) for finding in dataset.findings]


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ("0.25,0.25,0.667,0.75", "box in fractions of the image"),
        ("0,0,1,1", "box in fractions of the image"),
        ("300,200,800,600", "box outside the image"),
        ("-90,-70,-10,-5", "box outside the image"),
        ("30,20,500,600", "box outside the image"),
        ("101,10,150,60", "box outside the image"),
        ("30,20,30,60", "box without area"),
        ("30,20,80,20.9", "box without area"),
        ("70,50,20,15", r"inverted box.*may be x, y, width, height"),
        ("80,60,79,75", "inverted box"),
        ("nan,nan,nan,nan", "box corner that is not a number"),
        ("1,2,inf,4", "box corner that is not a number"),
        ("1,2,1e300,4", "box outside the image"),
    ],
)
def test_a_box_that_cannot_be_right(box: str, message: str, tmp_path: Path) -> None:
    folder = with_csv(tmp_path, [GOOD[0], f"mug/b.jpg,mug,{box}"])
    with pytest.raises(DatasetError, match=rf"^{message}") as error:
        load_dataset(folder, "test")
    assert "mug/b.jpg" in str(error.value)
    assert "test.csv:3: (" in str(error.value)
    found = [finding for finding in check_dataset(folder) if finding.severity == "error"]
    assert [finding.subject for finding in found] == ["mug/b.jpg"]


def test_the_first_of_many_errors_is_named_and_the_rest_counted(tmp_path: Path) -> None:
    folder = with_csv(tmp_path / "a set", [row.rsplit(",", 4)[0] + ",0.1,0.1,0.5,0.5" for row in GOOD])
    with pytest.raises(DatasetError) as error:
        load_dataset(folder, "test")
    assert f"(2 such errors, 'wsol-data check '{folder}'' lists them all)" in str(error.value)


@pytest.mark.parametrize(
    ("box", "cut"),
    [
        ("-2,3,50,60", [0, 3, 50, 60]),
        ("30,20,130,70", [30, 20, 119, 70]),
        ("30.7,-1.5,80,81", [30, 0, 80, 79]),
    ],
)
def test_a_box_over_the_border_is_cut_and_said(
    box: str, cut: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = load_dataset(with_csv(tmp_path, [GOOD[0], f"mug/b.jpg,mug,{box}"]), "test")
    assert dataset.ground_truth.boxes[1].tolist() == [cut]
    assert kinds(dataset) == [("box over the border of the image", "mug/b.jpg")]
    assert "test.csv:3" in capsys.readouterr().err


def test_a_good_dataset_is_opened_without_a_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # x1 = x0 + width may be the width itself, and fractions may round up to it
    rows = [*GOOD, "mug/b.jpg,mug,-0.4,0,120,80.0", "cup/a.jpg,cup,10,10,120.9,80.9"]
    dataset = load_dataset(with_csv(tmp_path, rows), "test")
    assert dataset.findings == ()
    assert capsys.readouterr().err == ""
    assert [boxes.tolist() for boxes in dataset.ground_truth.boxes] == [
        [[30, 20, 80, 60], [10, 10, 119, 79]],
        [[10, 10, 119, 79], [0, 0, 119, 79]],
    ]


def test_percent_is_suspected(tmp_path: Path) -> None:
    rows = [row.rsplit(",", 4)[0] + ",25,25,66.7,75" for row in GOOD]
    assert kinds(load_dataset(with_csv(tmp_path, rows, (400, 300)), "test")) == [
        ("boxes may be in percent", "cup/a.jpg")
    ]
    rows[0] = "cup/a.jpg,cup,25,25,166,75"
    assert kinds(load_dataset(with_csv(tmp_path, rows, (400, 300)), "test")) == []


@pytest.mark.parametrize("size", [(240, 160), (80, 120)])
def test_a_listed_size_that_is_not_the_files(size: tuple[int, int], tmp_path: Path) -> None:
    coco = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": size[0], "height": size[1]}],
        "categories": [{"id": 1, "name": "cup"}],
        "annotations": [{"id": 5, "image_id": 1, "category_id": 1, "bbox": [10, 10, 50, 30]}],
    }
    files = {"test/a.jpg": picture("a", 120, 80), "test.json": json.dumps(coco).encode()}
    with pytest.raises(DatasetError, match=rf"test\.json, image 1: lists {size[0]} x {size[1]}, the file has 120 x 80"):
        load_dataset(write_files(tmp_path / "coco", files))
    files = {"test/a.jpg": picture("a", 120, 80), "test_boxes/a.xml": voc_xml("cup", [(10, 10, 60, 40)], *size)}
    with pytest.raises(DatasetError, match=rf"a\.xml: lists {size[0]} x {size[1]}, the file has 120 x 80"):
        load_dataset(write_files(tmp_path / "voc", files))


def test_corners_in_coco_are_suspected(tmp_path: Path) -> None:
    coco = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "categories": [{"id": 1, "name": "cup"}],
        "annotations": [{"id": 5, "image_id": 1, "category_id": 1, "bbox": [60, 40, 110, 70]}],
    }
    write_files(tmp_path, {"test/a.jpg": picture("a", 120, 80), "test.json": json.dumps(coco).encode()})
    with pytest.raises(
        DatasetError, match=r"annotation 5: \(60, 40, 170, 110\).*its width and height may be x1 and y1"
    ):
        load_dataset(tmp_path)


def test_a_turned_photograph_is_upright_and_so_are_its_boxes(tmp_path: Path) -> None:
    dataset = load_dataset(with_csv(tmp_path, ["cup/a.jpg,cup,10,100,70,119"], photo=turned(120, 80)), "test")
    assert dataset.ground_truth.sizes.tolist() == [[80, 120]]
    assert dataset.image(0).size == (80, 120)
    assert dataset[0][0].shape == (3, 120, 80)
    assert kinds(dataset) == [("photograph turned upright", "cup/a.jpg")]


def test_boxes_of_the_stored_frame_are_refused(tmp_path: Path) -> None:
    folder = with_csv(tmp_path / "csv", ["cup/a.jpg,cup,70,10,119,60"], photo=turned(120, 80))
    with pytest.raises(DatasetError, match="it fits the image as stored, before the camera's orientation"):
        load_dataset(folder)
    files = {"test/a.jpg": turned(120, 80), "test_boxes/a.xml": voc_xml("cup", [(10, 10, 60, 40)], 120, 80)}
    with pytest.raises(DatasetError, match="were drawn on the image as stored"):
        load_dataset(write_files(tmp_path / "voc", files))
    # 2 to 4 keep width and height
    folder = with_csv(tmp_path / "flipped", ["cup/a.jpg,cup,70,10,119,60"], photo=turned(120, 80, 3))
    assert kinds(load_dataset(folder)) == [("photograph turned upright", "cup/a.jpg")]


def test_boxes_of_the_train_split_do_not_stop_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {f"train/{name}.jpg": picture(name, 120, 80) for name in ("cup/a", "mug/b")}
    write_files(tmp_path, files | {"train.csv": f"{HEADER}cup/a.jpg,cup,0.1,0.1,0.5,0.5\n{GOOD[1]}\n".encode()})
    dataset = load_dataset(tmp_path, "train")
    assert [len(boxes) for boxes in dataset.ground_truth.boxes] == [0, 1]
    assert "box in fractions of the image: cup/a.jpg" in capsys.readouterr().err


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    note = {"image_id": 1, "category_id": 1, "bbox": [30, 20, 50, 40]}
    coco = {
        "images": [{"id": i, "file_name": f"{name}.jpg"} for i, name in enumerate("abcd", start=1)],
        "categories": [{"id": 1, "name": "mug"}, {"id": 2, "name": "cup"}, {"id": 3, "name": "bowl"}],
        "annotations": [
            note | {"id": 1},
            note | {"id": 2, "iscrowd": 1},
            note | {"id": 3, "image_id": 2, "category_id": 2, "iscrowd": 1},
        ],
    }
    files = {f"test/{name}.jpg": picture(name, 120, 80) for name in "abc"}
    write_files(tmp_path, files | {"test.json": json.dumps(coco).encode()})
    dataset = load_dataset(tmp_path)
    truth = dataset.ground_truth
    assert truth.image_ids == ("a.jpg", "b.jpg")
    assert truth.class_names == ("bowl", "cup", "mug")  # those without annotations, too
    assert truth.labels.tolist() == [2, 1]
    assert [len(boxes) for boxes in truth.boxes] == [1, 0]
    assert kinds(dataset) == [
        ("image without class", "c.jpg"),
        ("image without class", "d.jpg"),
        ("crowd annotation", "a.jpg"),
        ("crowd annotation", "b.jpg"),
        ("image without box", "b.jpg"),
    ]


def test_difficult_objects_are_scored_and_said(tmp_path: Path) -> None:
    xml = voc_xml("cup", [(10, 10, 60, 40)], 120, 80).replace(b"<bndbox>", b"<difficult>1</difficult><bndbox>")
    write_files(tmp_path, {"test/a.jpg": picture("a", 120, 80), "test_boxes/a.xml": xml})
    dataset = load_dataset(tmp_path)
    assert len(dataset.ground_truth.boxes[0]) == 1
    assert kinds(dataset) == [("box marked difficult", "a.jpg")]


def test_a_missing_image_is_named_when_the_split_is_opened(tmp_path: Path) -> None:
    folder = with_csv(tmp_path, [*GOOD, "cup/c.jpg,cup,1,2,30,40"])
    (folder / "test/mug/b.jpg").write_bytes(b"no image")
    dataset = load_dataset(folder)
    assert kinds(dataset) == [("image unreadable", "mug/b.jpg"), ("image missing", "cup/c.jpg")]
    np.testing.assert_array_equal(dataset.ground_truth.sizes, [[120, 80], [0, 0], [0, 0]])


@pytest.mark.parametrize("header", ["xmin,ymin,xmax,ymax", "x,y,w,h", "left,top,width,height"])
def test_columns_of_boxes_under_other_names_are_not_passed_by(header: str, tmp_path: Path) -> None:
    write_files(
        tmp_path, {"test/a.jpg": picture("a", 9, 9), "test.csv": f"path,label,{header}\na.jpg,cup,1,2,3,4\n".encode()}
    )
    with pytest.raises(DatasetError, match=r"test\.csv:1: the columns .* are not read"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("kind", ["images", "categories"])
def test_two_entries_of_one_id(kind: str, tmp_path: Path) -> None:
    coco = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "categories": [{"id": 1, "name": "cup"}],
        "annotations": [],
    }
    coco[kind] = [*coco[kind], {"id": 1, "file_name": "b.jpg", "name": "mug"}]
    write_files(tmp_path, {"test/a.jpg": picture("a", 9, 9), "test.json": json.dumps(coco).encode()})
    with pytest.raises(DatasetError, match=r"two entries for (image|category) id 1"):
        load_dataset(tmp_path)

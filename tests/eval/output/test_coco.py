"""COCO files as pycocotools reads them."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from tiny_dataset import CLASSES, write_checkpoint, write_dataset
from tiny_source import ArraySource, judge, tiny_split

from eval.commands.evaluate import run as evaluate
from eval.output.coco import DETECTIONS, GROUND_TRUTH, write_coco
from tdam.errors import UserError
from wsol.sweep import box_iou

pycocotools = pytest.importorskip("pycocotools.coco")


def judged_with_boxes(tmp_path):
    truth, maps, logits = tiny_split(num_images=9)
    return truth, judge(tmp_path, ArraySource(maps, logits), truth, threshold=0.7)


def test_pycocotools_finds_the_images_boxes_and_the_same_overlaps(tmp_path):
    truth, judged = judged_with_boxes(tmp_path)
    write_coco(tmp_path, judged)
    coco = pycocotools.COCO(str(tmp_path / GROUND_TRUTH))
    assert len(coco.getImgIds()) == 9
    assert [coco.cats[i + 1]["name"] for i in range(7)] == list(truth.class_names)
    found = coco.loadRes(str(tmp_path / DETECTIONS))
    from pycocotools import mask

    (records,) = judged.records()
    for image in range(9):
        (detection,) = found.loadAnns(found.getAnnIds(imgIds=[image + 1]))
        assert detection["category_id"] == records["class_id"][image, 1] + 1
        assert detection["score"] == pytest.approx(float(records["confidence"][image, 1]), abs=1e-5)
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=[image + 1]))
        theirs = mask.iou([detection["bbox"]], [a["bbox"] for a in annotations], [0] * len(annotations))
        ours = box_iou(records["predicted_box"][image, 1][None], truth.boxes[image], closed_pixels=False)
        np.testing.assert_allclose(theirs, ours)
    boxes = records["predicted_box"][:, 1], records["box"][:, 1]
    assert (boxes[0] != boxes[1]).any(), "the fixture tells the label's box from the predicted one"


def test_every_entry_is_that_of_its_image(tmp_path):
    truth, maps, logits = tiny_split(num_images=9)
    truth = dataclasses.replace(truth, sizes=np.array([[48 + image, 36] for image in range(9)]))
    judged = judge(tmp_path, ArraySource(maps, logits, unreadable=[4]), truth)
    write_coco(tmp_path, judged)
    (records,) = judged.records()
    boxes = records["predicted_box"][:, 1]
    assert json.loads((tmp_path / DETECTIONS).read_text()) == [
        {
            "image_id": image + 1,
            "category_id": int(records["class_id"][image, 1]) + 1,
            "bbox": [int(x0), int(y0), int(x1 - x0), int(y1 - y0)],
            "score": round(float(records["confidence"][image, 1]), 6),
        }
        for image, (x0, y0, x1, y1) in enumerate(boxes)
        if image != 4
    ]
    listed = [(image, box) for image in range(9) for box in truth.boxes[image].tolist()]
    assert len(listed) == 12
    assert json.loads((tmp_path / GROUND_TRUTH).read_text()) == {
        "images": [{"id": i + 1, "file_name": f"{i}.png", "width": 48 + i, "height": 36} for i in range(9)],
        "categories": [{"id": label + 1, "name": f"class {label}"} for label in range(7)],
        "annotations": [
            {
                "id": number + 1,
                "image_id": image + 1,
                "category_id": int(truth.labels[image]) + 1,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": (x1 - x0) * (y1 - y0),
                "iscrowd": 0,
            }
            for number, (image, (x0, y0, x1, y1)) in enumerate(listed)
        ],
    }


def test_maps_alone_have_no_detections(tmp_path):
    truth, maps, _ = tiny_split(num_images=4)
    judged = judge(tmp_path, ArraySource(maps, None), truth)
    with pytest.raises(UserError, match=r"^COCO detections need predicted classes; score maps alone have none$"):
        write_coco(tmp_path, judged)
    assert not (tmp_path / DETECTIONS).exists()


def test_files_are_plain_json(tmp_path):
    _, judged = judged_with_boxes(tmp_path)
    write_coco(tmp_path, judged)
    assert len(json.loads((tmp_path / DETECTIONS).read_text())) == 9


def test_ids_of_the_users_coco_file_come_back(tmp_path):
    """Ground truth in COCO, with ids and categories in no order: the files written fit the file that was read."""
    dataset = write_dataset(tmp_path / "things", images=6)
    weights = write_checkpoint(tmp_path / "weights.safetensors")
    rows = [line.split(",") for line in (dataset / "test.csv").read_text().splitlines()[1:]]
    categories = {name: 90 - 7 * number for number, name in enumerate(reversed(CLASSES))}
    theirs = {
        "images": [{"id": 1000 - 3 * number, "file_name": row[0]} for number, row in enumerate(rows)],
        "categories": [{"id": number, "name": name} for name, number in categories.items()],
        "annotations": [
            {
                "id": number,
                "image_id": 1000 - 3 * number,
                "category_id": categories[row[1]],
                "bbox": [int(row[2]), int(row[3]), int(row[4]) - int(row[2]), int(row[5]) - int(row[3])],
            }
            for number, row in enumerate(rows)
        ],
    }
    (dataset / "test.csv").unlink()
    (dataset / "test.json").write_text(json.dumps(theirs))
    words = ["--model", "resnet_mini_tdam", "--checkpoint", weights, "--dataset", dataset, "--output", tmp_path / "out"]
    evaluate([*map(str, words), "--coco", "--bootstrap", "0", "--limit", "4"])

    ours = pycocotools.COCO(str(tmp_path / "out" / GROUND_TRUTH))
    (tmp_path / "theirs.json").write_text(json.dumps(theirs))
    original = pycocotools.COCO(str(tmp_path / "theirs.json"))
    assert len(ours.imgs) == 4
    assert {number: image["file_name"] for number, image in ours.imgs.items()}.items() <= {
        number: image["file_name"] for number, image in original.imgs.items()
    }.items()
    assert {number: one["name"] for number, one in ours.cats.items()} == {
        number: one["name"] for number, one in original.cats.items()
    }
    for annotation in ours.anns.values():
        (expected,) = original.loadAnns(original.getAnnIds(imgIds=[annotation["image_id"]]))
        assert (annotation["category_id"], annotation["bbox"]) == (expected["category_id"], expected["bbox"])

    predicted = pd.read_csv(tmp_path / "out" / "predictions.csv").query("step == 2").set_index("image")
    for detection in original.loadRes(str(tmp_path / "out" / DETECTIONS)).anns.values():
        row = predicted.loc[original.imgs[detection["image_id"]]["file_name"]]
        assert original.cats[detection["category_id"]]["name"] == row["class_name"]
        assert detection["bbox"][:2] == [row["predicted_x0"], row["predicted_y0"]]


def test_classes_that_the_coco_file_lacks_get_ids_of_their_own():
    from wsol.data.custom.reader import _coco_ids
    from wsol.data.formats.annotations import AnnotatedImage, Annotations

    images = [AnnotatedImage("a.png", "mug", [], "", coco_id=7)]
    found = _coco_ids(Annotations(images, ("mug",), category_ids={"mug": 5}), ("cup", "mug", "plate"))
    assert found is not None
    assert (found.images, found.categories) == ((7,), (6, 5, 7))

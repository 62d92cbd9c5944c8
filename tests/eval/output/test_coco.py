"""COCO files as pycocotools reads them."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from tiny_source import ArraySource, judge, tiny_split

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

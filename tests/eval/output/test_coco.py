"""COCO files as pycocotools reads them."""

from __future__ import annotations

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


def test_maps_alone_have_no_detections(tmp_path):
    truth, maps, _ = tiny_split(num_images=4)
    judged = judge(tmp_path, ArraySource(maps, None), truth)
    with pytest.raises(UserError, match="predicted classes"):
        write_coco(tmp_path, judged)
    assert not (tmp_path / DETECTIONS).exists()


def test_files_are_plain_json(tmp_path):
    _, judged = judged_with_boxes(tmp_path)
    write_coco(tmp_path, judged)
    assert len(json.loads((tmp_path / DETECTIONS).read_text())) == 9

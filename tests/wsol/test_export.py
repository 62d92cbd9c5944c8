"""Boxes in other tools' formats, each read back by its own convention."""

from __future__ import annotations

import csv
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from wsol import export
from wsol.boxes.regions import foreground_mask, outlines, regions_from_score_map
from wsol.localization import Localization, StepLocalization

SCORE_MAP = np.zeros((10, 20), np.float32)
SCORE_MAP[1:4, 2:6] = 1.0
SCORE_MAP[6:9, 12:18] = 0.5


@pytest.fixture
def found():
    regions = regions_from_score_map(SCORE_MAP, (200, 50), threshold=0.2, rule="all", probability=0.5)
    step = StepLocalization(1, 3, "red, cup", 0.5, regions[0].box, SCORE_MAP, threshold=0.2, regions=regions)
    return Localization(Path("photos/a.jpg"), Image.new("RGB", (200, 50)), (step,))


def test_regions_come_best_first_in_pixels_of_the_image(found):
    first, second = found.steps[0].regions
    assert first.box.tolist() == [20, 5, 60, 20]
    assert second.box.tolist() == [120, 30, 180, 45]
    assert (first.score, second.score) == (0.5, 0.25)


def test_a_box_that_overlaps_a_better_one_is_left_out():
    ring = np.zeros((20, 20), np.float32)
    ring[2:18, 2:18] = 1.0
    ring[6:14, 6:14] = 0.0
    # The border of the hole has a box too; their IoU is 0.39.
    assert len(regions_from_score_map(ring, (20, 20), rule="all", nms_iou=0.3)) == 1
    assert len(regions_from_score_map(ring, (20, 20), rule="all", nms_iou=0.5)) == 2
    assert regions_from_score_map(np.zeros((4, 4), np.float32), (8, 8)) == ()


def test_mask_and_outlines_enclose_the_foreground(found):
    mask = foreground_mask(SCORE_MAP, (20, 10), 0.2)
    assert np.array_equal(mask, SCORE_MAP > 0.2)
    assert [outline.tolist() for outline in outlines(mask)] == [
        [[12, 6], [12, 8], [17, 8], [17, 6]],
        [[2, 1], [2, 3], [5, 3], [5, 1]],
    ]
    assert found.steps[0].mask((200, 50)).shape == (50, 200)


def test_every_format_gives_the_boxes_back(found):
    boxes = [region.box.tolist() for region in found.steps[0].regions]
    document = export.coco([found, found])
    assert [image["id"] for image in document["images"]] == [1, 2]
    back = [[x, y, x + w, y + h] for x, y, w, h in (one["bbox"] for one in document["annotations"][:2])]
    assert back == boxes
    assert document["categories"] == [{"id": 3, "name": "red, cup"}]

    lines = [list(map(float, line.split())) for line in export.yolo(found).splitlines()]
    for (number, x, y, w, h), box in zip(lines, boxes, strict=True):
        assert number == 3
        corners = [(x - w / 2) * 200, (y - h / 2) * 50, (x + w / 2) * 200, (y + h / 2) * 50]
        np.testing.assert_allclose(corners, box, atol=1e-3)

    objects = ElementTree.fromstring(export.voc(found)).findall("object")
    values = [[int(one.find(f"bndbox/{key}").text) for key in ("xmin", "ymin", "xmax", "ymax")] for one in objects]
    assert [[x0 - 1, y0 - 1, x1, y1] for x0, y0, x1, y1 in values] == boxes

    rows = list(csv.DictReader(export.table([found]).splitlines()))
    assert [[int(row[key]) for key in ("x0", "y0", "x1", "y1")] for row in rows] == boxes
    assert {row["label"] for row in rows} == {"red, cup"}


def test_detections_of_supervision(found):
    pytest.importorskip("supervision")
    boxes = export.detections(found)
    assert boxes.xyxy.tolist() == [region.box.tolist() for region in found.steps[0].regions]


def test_an_image_without_boxes_has_none(found):
    step = StepLocalization(1, 3, "cup", 0.5, np.zeros(4, np.int64), np.zeros((4, 4), np.float32))
    empty = Localization(None, Image.new("RGB", (20, 10)), (step,))
    assert export.coco([empty])["annotations"] == []
    assert export.yolo(empty) == ""

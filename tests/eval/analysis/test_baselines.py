"""Baselines against wsolevaluation's own figures on the real lists and against brute force."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest
from shared import shared_path
from wsol_goldens import load_json, load_recipes

from eval.analysis.baselines import baselines, centre_boxes, centre_score_map, hits_of_box, hits_of_boxes
from eval.protocols import get_protocol
from wsol.data import GroundTruth
from wsol.metrics import MaxBoxAcc
from wsol.sweep import BoxConvention, best_iou_per_cut, cam_thresholds, cut_table


def small_ground_truth() -> GroundTruth:
    boxes = tuple(np.array([[20 * i, 10, 20 * i + 60, 90]]) for i in range(5))
    return GroundTruth(
        dataset="toy",
        split="test",
        image_ids=tuple("abcde"),
        labels=np.array([0, 0, 0, 1, 1]),
        sizes=np.tile([160, 100], (5, 1)),
        boxes=boxes,
        class_names=("x", "y"),
    )


def test_centre_map_is_the_recorded_one() -> None:
    assert load_recipes().u8_sha1(centre_score_map()) == load_json("center_baseline.json")["u8_sha1"]


@pytest.mark.parametrize("split", ["CUB/val", "CUB/test", "ILSVRC/val"])
def test_centre_map_on_the_real_lists_gives_the_recorded_counts(split: str) -> None:
    """All images have one map, so its boxes are found once and compared with every image's ground truth."""
    recorded = load_json("center_baseline.json")["splits"][split]
    protocol = get_protocol("wsolevaluation")
    lists = GroundTruth.from_lists(shared_path("metadata", *split.split("/")))
    truth = [protocol.map_boxes(b, size, (224, 224)) for b, size in zip(lists.boxes, lists.sizes, strict=True)]
    boxes = best_iou_per_cut(centre_score_map()[None], [[[0, 0, 1, 1]]]).largest_boxes[0, :255]
    cuts = cut_table(255, cam_thresholds())
    curves = np.stack([hits_of_boxes(boxes, truth, protocol, iou).sum(axis=0)[cuts] for iou in (0.3, 0.5, 0.7)])
    assert hashlib.sha1(curves.astype("<i8").tobytes()).hexdigest() == recorded["num_correct_sha1_int64"]
    metric = MaxBoxAcc()
    metric.update(np.repeat(centre_score_map()[None], 50, axis=0), truth[:50])
    expected = [hits_of_boxes(boxes, truth[:50], protocol, iou).sum(axis=0)[cuts] for iou in (0.3, 0.5, 0.7)]
    np.testing.assert_array_equal(metric.num_correct, expected)


@pytest.mark.parametrize(("dataset", "percent"), [("CUB", 59.665), ("ILSVRC", 54.062)])
def test_best_centre_box_of_the_real_lists(dataset: str, percent: float) -> None:
    lists = GroundTruth.from_lists(shared_path("metadata", dataset, "test"))
    figure = baselines(lists, get_protocol("wsolevaluation"))["centre_box"]
    assert figure.percent == pytest.approx(percent, abs=5e-4)


@pytest.mark.parametrize("name", ["wsolevaluation", "bas"])
def test_baselines_equal_maps_judged_one_by_one(name: str) -> None:
    protocol, lists = get_protocol(name), small_ground_truth()
    truth = [protocol.map_boxes(b, s, (224, 224)) for b, s in zip(lists.boxes, lists.sizes, strict=True)]
    figures = baselines(lists, protocol)
    percents = []
    for side in range(1, 225):
        score_map = np.zeros((224, 224))
        start = (224 - side) // 2
        score_map[start : start + side, start : start + side] = 1.0
        sweep = best_iou_per_cut(np.repeat(score_map[None], 5, axis=0), truth, protocol.convention)
        iou = sweep.iou_at([0.5])[:, 0]
        percents.append(float(protocol.average(iou > 0.5 if name == "bas" else iou >= 0.5, lists.labels)))
    assert figures["centre_box"].percent == max(percents)
    assert figures["full_image"].percent == percents[-1]


def test_centre_boxes_keep_the_shape_of_the_map() -> None:
    boxes = centre_boxes((300, 100), BoxConvention(clamp_end=False))
    assert boxes[-1].tolist() == [0, 0, 300, 100]
    assert boxes[49].tolist() == [75, 25, 225, 75]


def test_a_box_is_compared_with_every_box_of_every_image_that_has_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eval.analysis.baselines.CHUNK", 2)
    boxes = [np.array([[0, 0, 40, 20], [80, 0, 159, 99]]), np.zeros((0, 4), np.int64), np.array([[0, 0, 80, 50]])]
    lists = dataclasses.replace(
        small_ground_truth(),
        sizes=np.array([[160, 100], [160, 100], [160, 100], [0, 0], [320, 100]]),
        boxes=(*boxes, np.array([[0, 0, 9, 9]]), np.array([[0, 0, 80, 50]])),
    )
    protocol = get_protocol("wsolevaluation")
    # Half of the width and all of the height, in maps of 80 x 50: the right half, one half of the left, a quarter.
    found = hits_of_box((40, 0, 79, 49), lists, protocol, (80, 50))
    assert found.tolist() == [True, False, False, False, False]
    assert hits_of_box((0, 0, 40, 25), lists, protocol, (80, 50)).tolist() == [False, False, True, False, True]
    figures = baselines(lists, protocol, (80, 50), iou_threshold=0.3)
    assert figures["full_image"].box == (0, 0, 79, 49)
    assert figures["full_image"].percent == pytest.approx(100 / 3), "of three images with a box and a size"
    counted = [
        hits_of_box(tuple(box), lists, protocol, (80, 50)) for box in centre_boxes((80, 50), protocol.convention)
    ]
    assert baselines(lists, protocol, (80, 50))["centre_box"].percent == 100 * max(one.sum() for one in counted) / 3


def test_the_centre_box_is_the_smallest_of_the_best() -> None:
    lists = dataclasses.replace(small_ground_truth(), boxes=tuple(np.array([[0, 0, 159, 99]]) for _ in range(5)))
    figure = baselines(lists, get_protocol("wsolevaluation"), (80, 50))["centre_box"]
    x0, y0, x1, y1 = figure.box
    area = (x1 - x0 + 1) * (y1 - y0 + 1)
    assert figure.percent == 100.0
    assert area / (80 * 50) >= 0.5
    assert (x1 - x0) * (y1 - y0) / (80 * 50) < 0.5, "one pixel less on each side would miss"


def test_a_centre_map_follows_its_formula_where_it_is_not_square() -> None:
    score_map = centre_score_map((20, 30), spread=8)
    bump = [[1 / (1 + ((y - 9.5) ** 2 + (x - 14.5) ** 2) / 64) for x in range(30)] for y in range(20)]
    low, high = np.min(bump), np.max(bump)
    np.testing.assert_allclose(score_map, (np.array(bump) - low) / (high - low), atol=1e-12)
    assert centre_score_map((1, 1)).tolist() == [[0.0]]

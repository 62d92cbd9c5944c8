"""Baselines against wsolevaluation's own figures on the real lists and against brute force."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from shared import shared_path
from wsol_goldens import load_json, load_recipes

from eval.analysis.baselines import baselines, centre_boxes, centre_score_map, hits_of_boxes
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

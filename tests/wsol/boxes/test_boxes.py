"""Boxes against the reference evaluator's digests and a brute-force labelling."""

from __future__ import annotations

import gzip
import importlib.util
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from shared import golden_path

import wsol
from tdam.errors import UnknownNameError


def golden_recipes():
    spec = importlib.util.spec_from_file_location("regen", golden_path("wsol", "regen.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def golden_cases():
    with gzip.open(golden_path("wsol", "cases.json.gz")) as file:
        cases = json.load(file)
    # White noise and mazes have thousands of contours; the sweep's own tests cover them.
    return [case for case in cases[::5] if case["kind"] not in ("noise", "maze", "cv2up7", "cv2up14", "cv2up28")]


@pytest.mark.parametrize("rule", ["largest", "all"])
def test_boxes_are_wsolevaluations(rule):
    recipes = golden_recipes()
    thresholds = np.arange(0, 1, 0.01)
    for case in golden_cases():
        score_map = recipes.score_map(case["kind"], case["seed"], case["H"], case["W"], case["gt_resized"])
        assert recipes.u8_sha1(score_map) == case["u8_sha1"]
        boxes = [wsol.boxes_from_score_map(score_map, threshold, rule) for threshold in thresholds]
        golden = case["res"]["single_0.01" if rule == "largest" else "multi_0.01"]
        assert sum(map(len, boxes)) == golden["total_boxes"], case["case"]
        assert recipes.boxes_digest(boxes, sort=False) == golden["sha1"], case["case"]


@settings(max_examples=60, deadline=None)
@given(
    foreground=arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))).filter(lambda a: a.any()),
)
def test_outer_boxes_are_those_of_connected_regions(foreground):
    score_map = foreground.astype(np.float64)
    labels, _ = ndimage.label(foreground, structure=np.ones((3, 3)))
    height, width = foreground.shape
    regions = {
        (x.start, y.start, min(x.stop, width - 1), min(y.stop, height - 1)) for y, x in ndimage.find_objects(labels)
    }
    every = {tuple(box) for box in wsol.boxes_from_score_map(score_map, 0.5, "all").tolist()}
    largest = wsol.boxes_from_score_map(score_map, 0.5, "largest").tolist()
    assert regions <= every
    assert len(largest) == 1
    assert tuple(largest[0]) in regions


def test_a_map_without_foreground_gives_the_empty_box():
    for rule in ("largest", "all"):
        assert wsol.boxes_from_score_map(np.zeros((5, 5)), 0.2, rule).tolist() == [[0, 0, 0, 0]]


def test_the_threshold_is_relative_to_the_maps_maximum():
    score_map = np.zeros((9, 9))
    score_map[2:4, 2:4] = 0.5
    score_map[6, 6] = 0.1
    assert wsol.boxes_from_score_map(score_map, 0.5).tolist() == [[2, 2, 4, 4]]
    assert len(wsol.boxes_from_score_map(score_map, 0.19, "all")) == 2
    assert len(wsol.boxes_from_score_map(score_map, 0.21, "all")) == 1


@pytest.mark.parametrize(
    "score_map",
    [np.zeros((2, 2, 2)), np.zeros((0, 3)), np.full((2, 2), 1.1), np.full((2, 2), -0.1), np.full((2, 2), np.nan)],
)
def test_malformed_maps_are_refused(score_map):
    with pytest.raises(ValueError, match="score map"):
        wsol.boxes_from_score_map(score_map)


@pytest.mark.parametrize("threshold", [-0.1, 1.0, float("nan")])
def test_thresholds_outside_the_range_are_refused(threshold):
    with pytest.raises(ValueError, match="threshold"):
        wsol.boxes_from_score_map(np.eye(3), threshold)


def test_an_unknown_rule_lists_the_valid_ones():
    with pytest.raises(UnknownNameError, match="largest"):
        wsol.boxes_from_score_map(np.eye(3), rule="biggest")


def test_scaling_there_and_back_stays_within_a_pixel_of_the_coarser_frame():
    boxes = np.random.default_rng(0).integers(0, 224, (100, 4))
    boxes = np.sort(boxes.reshape(100, 2, 2), axis=1).reshape(100, 4)
    there = wsol.scale_boxes(boxes, (224, 224), (500, 375))
    back = wsol.scale_boxes(there, (500, 375), (224, 224))
    assert np.abs(back - boxes).max() <= 1
    assert there.min() >= 0
    assert (there <= [499, 374, 499, 374]).all()

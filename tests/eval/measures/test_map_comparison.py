"""Comparisons of maps against other libraries, brute force and cases worked by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import center_of_mass, label
from scipy.spatial.distance import jensenshannon
from scipy.stats import spearmanr

from eval.measures import map_comparison as maps
from wsol.boxes import boxes_from_score_map

seeds = st.integers(0, 2**32 - 1)


def random_map(seed: int, shape: tuple[int, int] = (11, 17), levels: int = 6) -> np.ndarray:
    """Few levels, so that ties and flat parts are common."""
    return np.random.default_rng(seed).integers(0, levels, shape).astype(np.float32) / (levels - 1)


@given(seeds)
@settings(max_examples=40, deadline=None)
def test_rank_correlation_and_js_distance_agree_with_scipy(seed: int) -> None:
    a, b = random_map(seed), random_map(seed + 1)
    assert maps.rank_correlation(a, b) == pytest.approx(spearmanr(a.ravel(), b.ravel()).statistic, abs=1e-9)
    assert maps.js_distance(a, b) == pytest.approx(jensenshannon(a.ravel(), b.ravel(), base=2), abs=1e-7)


def test_large_maps_are_averaged_to_the_grid_first() -> None:
    a, b = np.random.default_rng(1).random((2, 224, 224), dtype=np.float32)
    a_cells, b_cells = (one.reshape(28, 8, 28, 8).mean(axis=(1, 3)).ravel() for one in (a, b))
    assert maps.rank_correlation(a, b) == pytest.approx(spearmanr(a_cells, b_cells).statistic, abs=1e-4)
    assert maps.js_distance(a, b) == pytest.approx(jensenshannon(a_cells, b_cells, base=2), abs=1e-5)


def test_equal_opposite_and_disjoint_maps() -> None:
    ramp = np.linspace(0, 1, 25, dtype=np.float32).reshape(5, 5)
    left, right = np.zeros((6, 6), np.float32), np.zeros((6, 6), np.float32)
    left[:, :3], right[:, 3:] = 1, 1
    assert maps.rank_correlation(ramp, ramp) == pytest.approx(1)
    assert maps.rank_correlation(ramp, 1 - ramp) == pytest.approx(-1)
    assert maps.js_distance(ramp, ramp) == pytest.approx(0, abs=1e-7)
    assert maps.js_distance(left, right) == pytest.approx(1)


def test_figures_of_an_empty_map_are_undefined() -> None:
    zeros, ones = np.zeros((4, 4), np.float32), np.ones((4, 4), np.float32)
    assert np.isnan(maps.rank_correlation(zeros, random_map(0, (4, 4))))
    assert np.isnan(maps.js_distance(zeros, ones))
    assert np.isnan(maps.centroid_shift(zeros, ones, (10, 10)))
    assert np.isnan(maps.energy_inside(zeros, ones > 0))
    assert np.isnan(maps.region_iou(zeros > 0, zeros > 0))


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_centroid_agrees_with_scipy(seed: int) -> None:
    score_map = random_map(seed)
    y, x = center_of_mass(score_map.astype(np.float64))
    assert maps.centroid(score_map) == pytest.approx([(x + 0.5) / 17, (y + 0.5) / 11])


def test_centroid_shift_is_measured_in_the_original_image() -> None:
    a, b = np.zeros((10, 10), np.float32), np.zeros((10, 10), np.float32)
    a[2, 1], b[2, 6] = 1, 1  # half the width apart
    assert maps.centroid_shift(a, b, (300, 400)) == pytest.approx(150 / 500)
    assert maps.centroid_shift(a.T, b.T, (300, 400)) == pytest.approx(200 / 500)
    corner = np.zeros((10, 10), np.float32)
    corner[9, 9] = 1
    assert maps.centroid_shift(np.roll(corner, (1, 1), (0, 1)), corner, (640, 480)) == pytest.approx(0.9)


@given(seeds, st.floats(0, 0.99))
@settings(max_examples=40, deadline=None)
def test_region_and_its_iou_by_counting_pixels(seed: int, threshold: float) -> None:
    first, second = random_map(seed), random_map(seed + 1)
    pixels = [set(), set()]
    for number, score_map in enumerate((first, second)):
        cut = int(threshold * int(np.uint8(score_map.max() * 255)))
        pixels[number] = {
            (y, x) for y, x in product(range(11), range(17)) if int(np.float32(score_map[y, x]) * np.float32(255)) > cut
        }
    a, b = maps.region(first, threshold), maps.region(second, threshold)
    assert {tuple(place) for place in np.argwhere(a).tolist()} == pixels[0]
    assert maps.region_iou(a, b) == pytest.approx(len(pixels[0] & pixels[1]) / len(pixels[0] | pixels[1]))


@given(seeds, st.floats(0, 0.99))
@settings(max_examples=60, deadline=None)
def test_the_first_of_the_largest_boxes_is_that_of_the_box_rule(seed: int, threshold: float) -> None:
    score_map = random_map(seed)
    boxes = maps.largest_boxes(maps.region(score_map, threshold), 3)
    assert boxes[0].tolist() == boxes_from_score_map(score_map, threshold)[0].tolist()


def test_largest_boxes_come_by_size_and_no_more_than_there_are() -> None:
    foreground = np.zeros((20, 20), bool)
    foreground[1:4, 1:4] = foreground[10:19, 10:19] = foreground[0:6, 12:18] = True
    boxes = maps.largest_boxes(foreground, 5)
    assert boxes.tolist() == [[10, 10, 19, 19], [12, 0, 18, 6], [1, 1, 4, 4]]
    assert maps.largest_boxes(foreground, 2).tolist() == boxes[:2].tolist()
    assert label(foreground)[1] == len(boxes)
    assert maps.largest_boxes(foreground & False, 2).tolist() == [[0, 0, 0, 0]]


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_energy_inside_boxes_by_summing_pixels(seed: int) -> None:
    generator = np.random.default_rng(seed)
    score_map = random_map(seed)
    corners = np.sort(generator.integers(0, 11, (3, 2, 2)), axis=1)
    boxes = np.concatenate([corners[:, 0], corners[:, 1]], axis=1)
    inside = sum(
        float(score_map[y, x])
        for y, x in product(range(11), range(17))
        if any(x0 <= x <= x1 and y0 <= y <= y1 for x0, y0, x1, y1 in boxes)
    )
    area = maps.boxes_area(boxes, score_map.shape)
    assert maps.energy_inside(score_map, area) == pytest.approx(inside / score_map.sum(), abs=1e-6)


def test_objects_covered_counts_each_object_once() -> None:
    truth = np.array([[0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9]])
    boxes = np.array([[0, 0, 9, 9], [1, 0, 9, 9], [20, 0, 29, 4], [44, 0, 60, 20]])
    assert maps.objects_covered(boxes, truth) == 2, "twice the first, exactly half of the second, not the third"
    assert maps.objects_covered(boxes[:2], truth) == 1
    assert maps.objects_covered(boxes[2:3], truth) == 1
    assert maps.objects_covered(boxes[3:], truth) == 0

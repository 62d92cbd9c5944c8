"""Protocols against the sources they reproduce, and the TDAM authors' recorded boxes and filters."""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np
import pytest
from shared import golden_path
from skimage import measure
from wsol_goldens import golden_cases

from eval.measures.tdam_steps import filter_steps, heat_map_box, right_at_any_step, width_height_iou
from eval.protocols import PROTOCOLS, get_protocol
from tdam.errors import UnknownNameError
from wsol.sweep import best_iou_per_cut

IMAGE_SIZE = (500, 346)
BOXES = np.array([[155, 88, 453, 247], [0, 0, 499, 345], [3, 5, 30, 20]])


def test_wsolevaluation_scales_the_recorded_boxes() -> None:
    protocol = get_protocol("wsolevaluation")
    for case in golden_cases():
        if (case["H"], case["W"]) == (224, 224):
            mapped = protocol.map_boxes(np.array(case["gt"]), case["image_size"], (224, 224))
            np.testing.assert_array_equal(mapped, case["gt_resized"])


def test_ts_cam_and_sat_scale_as_their_loaders_do() -> None:
    width, height = IMAGE_SIZE
    for name, resize, shift in (("ts-cam", 224, 0), ("sat", 256, 16)):
        expected = [
            [
                int(max(x0 / width * resize - shift, 0)),
                int(max(y0 / height * resize - shift, 0)),
                int(min(x1 / width * resize - shift, 223)),
                int(min(y1 / height * resize - shift, 223)),
            ]
            for x0, y0, x1, y1 in BOXES[:2].tolist()
        ]
        mapped = get_protocol(name).map_boxes(BOXES[:2], IMAGE_SIZE, (224, 224))
        assert mapped.tolist() == expected


@pytest.mark.parametrize("name", ["psol", "bas"])
def test_psol_and_bas_crop_and_do_not_round(name: str) -> None:
    width, height = IMAGE_SIZE
    expected = []
    for x0, y0, x1, y1 in BOXES.tolist():
        x0, x1 = (v * (256 / width) for v in (x0, x1))
        y0, y1 = (v * (256 / height) for v in (y0, y1))
        corners = (max(16, x0) - 16, max(16, y0) - 16, min(240, x1) - 16, min(240, y1) - 16)
        expected.append([min(max(v / 224, 0), 1) * 224 for v in corners])
    mapped = get_protocol(name).map_boxes(BOXES, IMAGE_SIZE, (224, 224))
    np.testing.assert_allclose(mapped, expected, atol=1e-10)


def test_a_box_outside_the_crop_meets_nothing() -> None:
    score_map = np.ones((1, 224, 224))
    corner = np.array([[0, 0, 12, 12]])
    for name in ("psol", "bas", "sat"):
        protocol = get_protocol(name)
        truth = protocol.map_boxes(corner, (500, 500), (224, 224))
        assert best_iou_per_cut(score_map, [truth], protocol.convention).all.max() < 0.001, name


@pytest.mark.parametrize("name", PROTOCOLS)
def test_unmapped_boxes_return_to_the_image(name: str) -> None:
    protocol = get_protocol(name)
    inside = np.array([[155, 88, 400, 247]])
    there = protocol.map_boxes(inside, IMAGE_SIZE, (224, 224))
    back = protocol.unmap_boxes(there, IMAGE_SIZE, (224, 224))
    np.testing.assert_allclose(back, inside, atol=500 / 224 if protocol.truncate else 1e-9)


def test_geometry_is_what_the_transforms_take() -> None:
    assert get_protocol("wsolevaluation").geometry((224, 224)) == {"interpolation": "bilinear"}
    expected = {"interpolation": "bilinear", "resize": (256, 256), "crop": (224, 224)}
    assert get_protocol("bas").geometry((224, 224)) == expected


@pytest.mark.parametrize("name", ["bas", "sat"])
def test_box_of_most_pixels_is_that_of_scikit_image(name: str) -> None:
    """BAS and SAT label with scikit-image, keep the most frequent label and take its region's box."""
    random = np.random.default_rng(0)
    convention = get_protocol(name).convention
    for _ in range(30):
        score_map = cv2.GaussianBlur(random.random((40, 56)), (0, 0), 1.5)
        score_map = (score_map - score_map.min()) / np.ptp(score_map)
        sweep = best_iou_per_cut(score_map[None], [[[0, 0, 9, 9]]], convention)
        cut = int(random.integers(0, 255))
        labels = measure.label(np.floor(score_map * 255) > cut)
        largest = np.bincount(labels[labels > 0]).argmax()
        y0, x0, y1, x1 = measure.regionprops((labels == largest).astype(int))[0].bbox
        assert sweep.largest_boxes[0, cut].tolist() == [x0, y0, x1, y1]


def test_an_empty_map_gets_the_authors_box() -> None:
    expected = {"wsolevaluation": [0, 0, 0, 0], "ts-cam": [0, 0, 1, 1], "bas": [0, 0, 9, 7], "sat": [0, 0, 9, 7]}
    for name, box in expected.items():
        sweep = best_iou_per_cut(np.zeros((1, 7, 9)), [[[0, 0, 1, 1]]], get_protocol(name).convention)
        assert sweep.largest_boxes[0, 0].tolist() == box


def test_averages_over_images_and_over_classes() -> None:
    random = np.random.default_rng(2)
    hits, labels = random.random((50, 7)) < 0.4, random.choice([1, 4, 5], 50)
    micro = get_protocol("wsolevaluation").average(hits, labels)
    macro = get_protocol("bas").average(hits, labels)
    np.testing.assert_allclose(micro, 100 * hits.mean(axis=0))
    np.testing.assert_allclose(macro, 100 * np.mean([hits[labels == c].mean(axis=0) for c in (1, 4, 5)], axis=0))


def test_thresholds_by_dataset_and_unknown_names() -> None:
    assert get_protocol("ts-cam").threshold_for("imagenet") == 0.12
    assert get_protocol("ts-cam").threshold_for("cub") == 0.1
    with pytest.raises(UnknownNameError, match="unknown protocol 'tscam'; valid: ts-cam"):
        get_protocol("tscam")
    with pytest.raises(dataclasses.FrozenInstanceError):
        get_protocol("bas").macro = False  # type: ignore[misc]


# --- the TDAM authors' boxes and filter


def load(name: str) -> Any:
    return np.load(golden_path("tdam", name))


def test_heat_map_boxes_are_the_authors() -> None:
    arrays = load("boxes.npz")
    names = {name.split("/")[0] for name in arrays.files if name.startswith("cam")}
    assert len(names) == 16
    for name in names:
        np.testing.assert_array_equal(heat_map_box(arrays[f"{name}/cam"]), arrays[f"{name}/box"], err_msg=name)


def test_filter_reproduces_the_designed_steps_with_shared_guesses() -> None:
    arrays = load("filter_synth.npz")
    boxes = np.array([[heat_map_box(cam) for cam in step] for step in arrays["cams"]])
    np.testing.assert_array_equal(boxes, arrays["boxes"])
    filtered = filter_steps(boxes, arrays["prob"], arrays["logits"])
    np.testing.assert_array_equal(filtered, arrays["filtered"])
    assert (filtered != arrays["filtered_without_aliasing"]).any(axis=-1).sum() == 3
    assert 100 * right_at_any_step(filtered, arrays["target"], 1).mean() == pytest.approx(50)
    assert 100 * right_at_any_step(filtered, arrays["target"], 5).mean() == pytest.approx(79.16666412353516)


@pytest.mark.parametrize(("seed", "top1", "top5"), [(0, 37.5, 62.5), (1, 25, 62.5), (2, 12.5, 50), (3, 25, 50)])
def test_filter_reproduces_a_network_of_three_steps(seed: int, top1: float, top5: float) -> None:
    arrays = load("filter_r18_t3.npz")
    part = {name.split("/")[1]: arrays[name] for name in arrays.files if name.startswith(f"seed{seed}/")}
    boxes = np.array([[heat_map_box(cam) for cam in step] for step in part["cams"]])
    np.testing.assert_array_equal(boxes, part["boxes"])
    filtered = filter_steps(boxes, part["prob"], part["logits"])
    np.testing.assert_array_equal(filtered, part["filtered"])
    assert [100 * right_at_any_step(filtered, part["target"], k).mean() for k in (1, 5)] == [top1, top5]


def test_an_empty_box_overlaps_nothing_not_even_itself() -> None:
    empty = np.zeros(4)
    assert width_height_iou(empty, empty) == 0.0
    assert width_height_iou(np.array([0, 0, 2, 2]), np.array([0, 0, 2, 2])) == 1.0
    assert width_height_iou(np.array([0, 0, 2, 2]), np.array([2, 2, 5, 5])) == 0.0


def test_sweep_by_polygon_points_finds_the_authors_box() -> None:
    """The `tdam` protocol's sweep at its threshold meets the heat map's cut, up to the quantization."""
    arrays, protocol = load("boxes.npz"), get_protocol("tdam")
    cam = cv2.resize(arrays["cam03/cam"], (224, 224), interpolation=cv2.INTER_LINEAR).astype(np.float64)
    score_map = (cam - cam.min()) / np.ptp(cam)
    sweep = best_iou_per_cut(score_map[None], [[[0, 0, 9, 9]]], protocol.convention)
    x, y, width, height = arrays["cam03/box"]
    found = sweep.boxes_at(protocol.fixed_threshold)[0]
    np.testing.assert_allclose(found, [x, y, x + width, y + height], atol=2)


@pytest.mark.parametrize("name", ["bas", "sat", "ts-cam"])
def test_a_dataset_that_takes_the_threshold_of_another_is_told(name):
    protocol = get_protocol(name)
    assert protocol.threshold_source("cub") == f"the value of protocol {name} for cub"
    assert protocol.threshold_source("imagenet") == f"the value of protocol {name} for imagenet"
    told = protocol.threshold_source("mugs")
    assert "no value for mugs and takes that of cub" in told
    assert f"{protocol.threshold_for('imagenet'):g} for imagenet" in told
    assert "--threshold" in told
    assert get_protocol("wsolevaluation").threshold_source("mugs") == "as in protocol wsolevaluation"

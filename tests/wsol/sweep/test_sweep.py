"""The sweep against wsolevaluation's recorded boxes and against a plain sweep of cv2.findContours."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics import MetricCollection
from wsol_goldens import golden_cases, golden_map, golden_sweeps, load_arrays, load_recipes

import wsol.sweep.sweep as sweep_module
from wsol.errors import InputError
from wsol.metrics import MaxBoxAcc, MaxBoxAccV2
from wsol.sweep import BoxConvention, Sweep, best_iou_per_cut, box_iou, cam_thresholds, cut_table, packed_boxes
from wsol.sweep.contours import contour_boxes
from wsol.sweep.engine import compiled_kernel, run_opencv, run_sweep


@pytest.fixture(scope="module")
def regen() -> ModuleType:
    return load_recipes()


def plain_sweep(quantized: np.ndarray, truth: np.ndarray, convention: BoxConvention) -> Sweep:
    """All 256 cuts, each by its own findContours."""
    per_cut = [contour_boxes(quantized, cut, convention) for cut in range(256)]
    largest = np.array([box for _, box in per_cut])
    return Sweep(
        maximum=np.array([quantized.max()]),
        largest=box_iou(largest, truth, convention.closed_pixels).max(axis=1)[None],
        all=np.array([[box_iou(boxes, truth, convention.closed_pixels).max() for boxes, _ in per_cut]]),
        largest_boxes=largest[None],
        num_boxes=np.array([[len(boxes) for boxes, _ in per_cut]]),
    )


def assert_equal(result: Sweep, expected: Sweep) -> None:
    for field in ("maximum", "largest_boxes", "num_boxes", "largest", "all"):
        np.testing.assert_array_equal(getattr(result, field), getattr(expected, field), err_msg=field)


def test_every_golden_map_gives_the_recorded_boxes_and_hits(regen: ModuleType) -> None:
    sweeps = golden_sweeps()
    assert len(sweeps) == 398
    for case, sweep in sweeps:
        for step in (0.001, 0.01):
            thresholds = cam_thresholds(step)
            cuts = cut_table(sweep.maximum, thresholds)[0]
            single, multi = case["res"][f"single_{step}"], case["res"][f"multi_{step}"]
            assert regen.boxes_digest(sweep.largest_boxes[0][cuts], sort=False) == single["sha1"], case["case"]
            assert sweep.num_boxes[0][cuts].sum() == multi["total_boxes"], case["case"]
            for rule, recorded in (("largest", single), ("all", multi)):
                best_iou = sweep.iou_at(thresholds, rule)[0]
                for percent, ranges in recorded["hits"].items():
                    expected = np.zeros(len(thresholds), dtype=bool)
                    for start, end in ranges:
                        expected[start:end] = True
                    np.testing.assert_array_equal(best_iou >= int(percent) / 100, expected, err_msg=str(case["case"]))


@pytest.mark.parametrize("kind", ["gtblob", "relu7", "rings", "ties", "frame", "pixels"])
def test_boxes_of_all_contours_are_the_recorded_ones(regen: ModuleType, kind: str) -> None:
    stored = load_arrays("stored_u8.npz")
    for case in [case for case in golden_cases() if case["kind"] == kind][:6]:
        quantized = regen.u8(golden_map(regen, case, stored))
        cuts = cut_table(quantized.max(), cam_thresholds(0.01))
        boxes = [contour_boxes(quantized, int(cut), BoxConvention())[0] for cut in cuts]
        assert regen.boxes_digest(boxes, sort=True) == case["res"]["multi_0.01"]["sha1_sorted"]


# --- maps made to be difficult: few values (plateaus, ties), thin and nested shapes, tiny and odd sizes


@st.composite
def value_maps(draw: st.DrawFn) -> np.ndarray:
    """8-bit maps of few values, of every small size."""
    height, width = draw(st.integers(1, 14)), draw(st.integers(1, 14))
    values = draw(st.lists(st.sampled_from([0, 1, 2, 50, 100, 127, 200, 254, 255]), min_size=1, max_size=4))
    cells = draw(st.lists(st.sampled_from(values), min_size=height * width, max_size=height * width))
    return np.array(cells, dtype=np.uint8).reshape(height, width)


def spiral(side: int) -> np.ndarray:
    canvas = np.zeros((side, side), dtype=np.uint8)
    y, x, dy, dx = 0, 0, 0, 1
    for value in range(255, 255 - side * side // 2, -1):
        canvas[y, x] = max(value, 1)
        ahead = (y + 2 * dy, x + 2 * dx)
        blocked = not (0 <= y + dy < side and 0 <= x + dx < side)
        if blocked or (0 <= ahead[0] < side and 0 <= ahead[1] < side and canvas[ahead]):
            dy, dx = dx, -dy
            if not (0 <= y + dy < side and 0 <= x + dx < side) or canvas[y + dy, x + dx]:
                break
        y, x = y + dy, x + dx
    return canvas


def shapes(height: int, width: int, seed: int) -> np.ndarray:
    """Lines, rings and rectangles of few values drawn over each other."""
    random = np.random.default_rng(seed)
    canvas = np.zeros((height, width), dtype=np.uint8)
    for _ in range(random.integers(1, 12)):
        value = int(random.choice([0, 80, 160, 255]))
        a, b = ((int(random.integers(width)), int(random.integers(height))) for _ in range(2))
        draw = random.integers(4)
        if draw == 0:
            cv2.line(canvas, a, b, value, 1)
        elif draw == 1:
            cv2.rectangle(canvas, a, b, value, int(random.choice([1, -1])))
        elif draw == 2:
            cv2.circle(canvas, a, int(random.integers(1, 12)), value, int(random.choice([1, -1])))
        else:
            canvas[a[1] :: 2, a[0] :: 2] = value
    return canvas


def adversarial() -> list[np.ndarray]:
    grid = np.indices((24, 17))
    rings = np.maximum(abs(grid[0] - 12), abs(grid[1] - 8))
    noise = np.random.default_rng(0)
    return [
        (grid.sum(axis=0) % 2 * 255).astype(np.uint8),
        (grid.sum(axis=0) % 2 * (grid[0] * 10)).astype(np.uint8),
        (rings % 2 * 255).astype(np.uint8),
        (rings % 3 * 100).astype(np.uint8),
        (255 - rings % 2 * (20 * rings)).astype(np.uint8),
        np.full((5, 9), 255, dtype=np.uint8),
        np.zeros((3, 4), dtype=np.uint8),
        np.arange(256, dtype=np.uint8).reshape(16, 16),
        np.arange(256, dtype=np.uint8)[::-1].reshape(8, 32).copy(),
        spiral(19),
        255 - spiral(24),
        noise.integers(0, 256, (40, 23), dtype=np.uint8),
        noise.integers(0, 3, (40, 23), dtype=np.uint8) * 127,
        *(shapes(20 + seed, 50 - seed, seed) for seed in range(30)),
    ]


def score_map_of(quantized: np.ndarray) -> np.ndarray:
    """A float64 map that quantizes back to exactly these values."""
    return np.where(quantized == 255, 1.0, (quantized + 0.5) / 255.0)


def random_truth(shape: tuple[int, int], seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    corners = random.integers(0, (shape[1], shape[0]), (random.integers(1, 4), 2, 2))
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


CONVENTIONS = [
    BoxConvention(),
    BoxConvention(closed_pixels=False),
    BoxConvention(clamp_end=False, empty_box=(0, 0, 1, 1)),
    BoxConvention(empty_box="full", largest_by="pixel_count"),
    BoxConvention(closed_pixels=False, largest_by="polygon_points"),
]


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("index", range(len(adversarial())))
def test_kernel_equals_plain_sweep_on_adversarial_maps(index: int, convention: BoxConvention) -> None:
    quantized = adversarial()[index]
    truth = random_truth(quantized.shape, index)
    result = best_iou_per_cut(score_map_of(quantized)[None], [truth], convention)
    assert_equal(result, plain_sweep(quantized, truth, convention))


@settings(max_examples=150, deadline=None)
@given(value_maps(), st.integers(0, 1000), st.sampled_from(CONVENTIONS))
def test_kernel_equals_plain_sweep(quantized: np.ndarray, seed: int, convention: BoxConvention) -> None:
    truth = random_truth(quantized.shape, seed)
    result = best_iou_per_cut(score_map_of(quantized)[None], [truth], convention)
    assert_equal(result, plain_sweep(quantized, truth, convention))


@settings(max_examples=60, deadline=None)
@given(value_maps(), st.integers(0, 1000), st.sampled_from(CONVENTIONS))
def test_opencv_path_equals_plain_sweep(quantized: np.ndarray, seed: int, convention: BoxConvention) -> None:
    truth = random_truth(quantized.shape, seed)
    expected = plain_sweep(quantized, truth, convention)
    result = Sweep(**{field: np.empty_like(getattr(expected, field)) for field in expected.__dataclass_fields__})
    run_opencv(quantized[None], [truth.astype(float)], convention, result)
    assert_equal(result, expected)


def two_holes_that_one_pixel_opens() -> np.ndarray:
    """A frame around two holes, one with an island; one pixel parts them from each other and from the outside."""
    frame = np.full((9, 17), 200, dtype=np.uint8)
    frame[1:8, 1:8] = frame[1:8, 9:16] = 50
    frame[3:6, 3:6] = 200
    frame[0, 8], frame[1, 8] = 0, 100
    return frame


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_hole_keeps_its_island_where_one_pixel_opens_it_and_another(turns: int, mirrored: bool) -> None:
    frame = np.rot90(two_holes_that_one_pixel_opens(), turns)
    frame = frame[:, ::-1] if mirrored else frame
    truth = np.array([[0, 0, 10, 10]])
    # The second rectangle's area grows past the frame's, with and without the island.
    for height, width in itertools.product(range(8, 16), range(10, 18)):
        quantized = np.zeros((42, 40), dtype=np.uint8)
        quantized[2 : 2 + frame.shape[0], 2 : 2 + frame.shape[1]] = frame
        quantized[22 : 22 + height, 20 : 20 + width] = 200
        result = best_iou_per_cut(score_map_of(quantized)[None], [truth])
        assert_equal(result, plain_sweep(quantized, truth, BoxConvention()))


BOXES = st.tuples(*[st.integers(0, 2**15 - 1)] * 4).map(
    lambda box: (*np.minimum(box[:2], box[2:]), *np.maximum(box[:2], box[2:]))
)


@given(BOXES, BOXES, st.tuples(*[st.integers(0, 2**15 - 1)] * 2))
def test_packed_boxes_grow_as_boxes_do(one: Any, other: Any, pixel: tuple[int, int]) -> None:
    def packed(box: Any) -> np.uint64:
        first, last = ((int(y) << 16 | int(x)) for x, y in (box[:2], box[2:]))
        return packed_boxes.around.py_func(*map(box_of_pixel, (first, last)))

    def sides(box: np.uint64) -> list[int]:
        return [
            int(side.py_func(box))
            for side in (packed_boxes.left, packed_boxes.top, packed_boxes.right, packed_boxes.bottom)
        ]

    x, y = pixel
    assert sides(box_of_pixel(y << 16 | x)) == [x, y, x, y]
    assert sides(packed(one)) == list(one)
    expected = [*np.minimum(one[:2], other[:2]), *np.maximum(one[2:], other[2:])]
    assert sides(packed_boxes.around.py_func(packed(one), packed(other))) == expected


def box_of_pixel(place: int) -> np.uint64:
    return packed_boxes.box_of_pixel.py_func(np.uint64(place))


def test_kernel_is_in_use() -> None:
    assert compiled_kernel() is not None


@pytest.mark.parametrize("reason", ["asked for", "kernel fails"])
def test_opencv_takes_over(reason: str, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder) -> None:
    score_maps, truth = np.random.default_rng(0).random((1, 9, 9)), [[[1, 1, 5, 5]]]
    expected = best_iou_per_cut(score_maps, truth)
    if reason == "asked for":
        monkeypatch.setenv("WSOL_SWEEP", "opencv")
    else:
        monkeypatch.setitem(sys.modules, "wsol.sweep.kernel", None)
    compiled_kernel.cache_clear()
    try:
        assert compiled_kernel() is None
        assert_equal(best_iou_per_cut(score_maps, truth), expected)
    finally:
        compiled_kernel.cache_clear()
    assert [str(warning.message)[:35] for warning in recwarn] == (
        ["the compiled sweep is not available"] if reason == "kernel fails" else []
    )


def test_batch_order_threads_and_float32_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    maps = random.random((7, 20, 30)).astype(np.float32)
    truth = [random_truth((20, 30), seed) for seed in range(7)]
    whole = best_iou_per_cut(torch.from_numpy(maps), [torch.from_numpy(boxes) for boxes in truth])
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    threaded = best_iou_per_cut(maps.astype(np.float64), truth)
    assert_equal(threaded, whole)
    for i in range(7):
        one = best_iou_per_cut(maps[i : i + 1], truth[i : i + 1])
        np.testing.assert_array_equal(one.all[0], whole.all[i])


def test_cut_table_is_the_truncated_float64_product() -> None:
    thresholds = np.arange(0, 1, 0.001)
    expected = [[int(t * np.uint8(maximum)) for t in thresholds] for maximum in range(256)]
    np.testing.assert_array_equal(cut_table(np.arange(256), thresholds), expected)
    # 0.29 * 100 is below 29 in float64, and wsolevaluation truncates it
    assert cut_table(100, [0.29, 0.58]).tolist() == [28, 57]


def test_no_images_give_an_empty_sweep() -> None:
    assert len(best_iou_per_cut(np.zeros((0, 4, 4)), [])) == 0


@pytest.mark.parametrize(
    ("score_maps", "boxes", "message"),
    [
        (np.full((1, 2, 2), np.nan), [[[0, 0, 1, 1]]], "score map 0 of the batch holds NaN"),
        (np.array([[[0.0]], [[1.5]]]), [[[0, 0, 1, 1]]] * 2, r"score map 1 of the batch leaves \[0, 1\]"),
        (np.array([[[0.0]], [[np.inf]]]), [[[0, 0, 1, 1]]] * 2, r"score map 1 of the batch leaves \[0, 1\]"),
        (np.array([[[-1e-9]]]), [[[0, 0, 1, 1]]], r"score map 0 of the batch leaves \[0, 1\]"),
        (np.zeros((2, 2)), [[[0, 0, 1, 1]]], r"shape \(N, H, W\), got \(2, 2\)"),
        (np.zeros((1, 2, 2), dtype=np.uint8), [[[0, 0, 1, 1]]], "float32 or float64, got uint8"),
        (torch.zeros(1, 2, 2, dtype=torch.bfloat16), [[[0, 0, 1, 1]]], "float32 or float64, got bfloat16"),
        (np.zeros((2, 2, 2)), [[[0, 0, 1, 1]]], "2 score maps, but boxes of 1 images"),
        (np.zeros((1, 2, 2)), [[]], "boxes of image 0 must have the shape"),
        (np.zeros((1, 2, 2)), [[0, 0, 1, 1]], "boxes of image 0 must have the shape"),
        (np.zeros((1, 2, 2)), [[[1, 0, 0, 1]]], "boxes of image 0 must satisfy"),
        (np.zeros((1, 2, 2)), [[[0, 0, np.nan, 1]]], "boxes of image 0 must satisfy"),
    ],
)
def test_bad_input_is_named(score_maps: Any, boxes: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        best_iou_per_cut(score_maps, boxes)


# --- one sweep for every metric of the same maps


def test_metrics_of_one_collection_share_a_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    maps, truth = np.random.default_rng(4).random((3, 11, 17)), [random_truth((11, 17), seed) for seed in range(3)]
    sweeps = []
    monkeypatch.setattr(sweep_module, "run_sweep", lambda *given: (sweeps.append(given), run_sweep(*given)))
    collection = MetricCollection([MaxBoxAcc(), MaxBoxAccV2()], compute_groups=False)
    collection.update(torch.from_numpy(maps), truth)
    assert len(sweeps) == 1
    assert_equal(best_iou_per_cut(maps.copy(), [boxes.copy() for boxes in truth]), best_iou_per_cut(maps, truth))
    assert len(sweeps) == 1


@pytest.mark.parametrize("changed", ["maps", "boxes", "convention"])
def test_arrays_filled_anew_are_swept_anew(changed: str) -> None:
    maps, truth = np.random.default_rng(5).random((2, 9, 13)), [random_truth((9, 13), seed) for seed in range(2)]
    before = best_iou_per_cut(maps, truth)
    convention = BoxConvention(closed_pixels=changed != "convention")
    if changed == "maps":
        maps[:] = maps[:, ::-1].copy()
    if changed == "boxes":
        truth[1][:] = 0, 0, 12, 8
    after = best_iou_per_cut(maps, truth, convention)
    assert not np.array_equal(after.all, before.all)
    for i in range(2):
        expected = plain_sweep((maps[i] * 255).astype(np.uint8), truth[i], convention)
        np.testing.assert_array_equal(after.all[i], expected.all[0])


def test_kernel_runs_without_compiling(tmp_path: Path) -> None:
    """With numba switched off the same functions run as plain Python."""
    code = (
        "import numpy as np; from wsol.sweep import best_iou_per_cut;"
        "maps = np.random.default_rng(6).integers(0, 256, (2, 12, 9)) / 255;"
        "swept = best_iou_per_cut(maps, [[[1, 2, 6, 8]], [[0, 0, 8, 11], [2, 2, 3, 3]]]);"
        "np.savez('swept.npz', **vars(swept))"
    )
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-W", "error::UserWarning", "-c", code]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    maps = np.random.default_rng(6).integers(0, 256, (2, 12, 9)) / 255
    expected = best_iou_per_cut(maps, [[[1, 2, 6, 8]], [[0, 0, 8, 11], [2, 2, 3, 3]]])
    assert_equal(Sweep(**np.load(tmp_path / "swept.npz")), expected)

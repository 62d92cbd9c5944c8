"""Time of the sweep against a plain sweep of 1,000 thresholds, with the counts compared in the same run.

The plain sweep is wsolevaluation's documented algorithm: quantize, then for each of 1,000 thresholds (one
mask, one `cv2.findContours`, the boxes of the largest contour or of all) the best IoU with the ground
truth. It runs twice, for MaxBoxAcc and for MaxBoxAccV2, as wsolevaluation has to; the sweep gives both at
once. The limit is what any evaluator has to do: read the maps, quantize them and sort the pixels. Kinds of
maps: those of class activation maps, 7×7 or 14×14 or 28×28 noise enlarged by cubic interpolation, and noise
per pixel. Both sides alternate; the columns of one core are CPU time, so that other jobs disturb them little,
the column of all cores is wall time. Medians of the rounds.

    python scripts/benchmarks/sweep.py [--images N] [--noise-images N] [--step 0.001]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import cv2
import numba
import numpy as np
import torch
from machine import machine

from wsol.metrics import MaxBoxAcc, MaxBoxAccV2
from wsol.sweep import best_iou_per_cut, box_iou, cam_thresholds
from wsol.sweep.kernel import quantize_images
from wsol.sweep.pixels import add_margin, sort_pixels

SIDE = 224
ROUNDS = 7
IOU_THRESHOLDS = np.array([0.3, 0.5, 0.7])


def smooth_maps(cells: int, number: int, random: np.random.Generator) -> np.ndarray:
    grids = random.random((number, cells, cells))
    return normalized(np.stack([cv2.resize(grid, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for grid in grids]))


def normalized(maps: np.ndarray) -> np.ndarray:
    maps = maps - maps.min(axis=(1, 2), keepdims=True)
    return maps / maps.max(axis=(1, 2), keepdims=True)


def random_boxes(number: int, random: np.random.Generator) -> list[np.ndarray]:
    start = random.integers(0, SIDE // 2, (number, 1, 2))
    return list(np.concatenate([start, start + random.integers(20, SIDE // 2, (number, 1, 2))], axis=2))


def plain_sweep(score_map: np.ndarray, truth: np.ndarray, thresholds: np.ndarray, all_contours: bool) -> np.ndarray:
    """Hits ``(3, n)`` of one map, one `cv2.findContours` per threshold."""
    quantized = (score_map * 255).astype(np.uint8)
    last = (quantized.shape[1] - 1, quantized.shape[0] - 1)
    best = np.zeros(len(thresholds))
    for i, threshold in enumerate(thresholds):
        cut = int(threshold * quantized.max())
        _, foreground = cv2.threshold(quantized, cut, 255, cv2.THRESH_BINARY)
        contours, _ = cv2.findContours(foreground, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
        if not contours:
            boxes = np.zeros((1, 4), dtype=np.int64)
        else:
            kept = contours if all_contours else [max(contours, key=cv2.contourArea)]
            boxes = np.array([cv2.boundingRect(contour) for contour in kept], dtype=np.int64)
            boxes[:, 2:] = np.minimum(boxes[:, :2] + boxes[:, 2:], last)
        best[i] = box_iou(boxes, truth).max()
    return best >= IOU_THRESHOLDS[:, None]


def quantize_and_sort(maps: np.ndarray) -> None:
    quantized = np.empty(maps.shape, dtype=np.uint8)
    quantize_images(maps, quantized)
    with_margin = np.zeros((maps.shape[1] + 2, maps.shape[2] + 2), dtype=np.uint8)
    marks = np.zeros_like(with_margin)
    order, start = np.empty(maps[0].size, dtype=np.int64), np.empty(256, dtype=np.int64)
    for image in quantized:
        add_margin(image, with_margin)
        sort_pixels(with_margin, marks, order, start)


def seconds(function: Callable[[], Any], clock: Callable[[], float] = time.process_time) -> float:
    start = clock()
    function()
    return clock() - start


def compare(name: str, maps: np.ndarray, boxes: list[np.ndarray], step: float, cores: int, rounds: int) -> bool:
    """Print one kind of maps; False if any count differs."""
    thresholds = cam_thresholds(step)
    metrics = {"MaxBoxAcc": MaxBoxAcc(cam_threshold_interval=step), "MaxBoxAccV2": MaxBoxAccV2((0.3, 0.5, 0.7), step)}
    plain_counts: dict[str, Any] = {}
    repeats = max(1, 64 // len(maps))
    many, many_boxes = np.concatenate([maps] * repeats), boxes * repeats

    def run_plain(metric: str) -> None:
        hits = [
            plain_sweep(score_map, truth, thresholds, all_contours=metric == "MaxBoxAccV2")
            for score_map, truth in zip(maps, boxes, strict=True)
        ]
        plain_counts[metric] = np.sum(hits, axis=0, dtype=np.int64)

    turned, turned_boxes = many[::-1].copy(), many_boxes[::-1]

    def run_sweep() -> None:
        best_iou_per_cut(turned[:1], turned_boxes[:1])  # so that the last sweep of these maps is not remembered
        sweep = best_iou_per_cut(many, many_boxes)
        for metric in metrics.values():
            metric.reset()
            metric.update_from_sweep(sweep)

    times: dict[str, list[float]] = {column: [] for column in (*metrics, "one core", "limit", "all cores")}
    for _ in range(rounds):
        for metric in metrics:
            times[metric].append(seconds(lambda metric=metric: run_plain(metric)) / len(maps))
        torch.set_num_threads(1)
        times["one core"] += [seconds(run_sweep) / len(many) for _ in range(3)]
        times["limit"] += [seconds(lambda: quantize_and_sort(many)) / len(many) for _ in range(3)]
        torch.set_num_threads(cores)
        times["all cores"] += [seconds(run_sweep, time.perf_counter) / len(many) for _ in range(3)]
    equal = all(
        np.array_equal(metric.num_correct.numpy(), plain_counts[kind] * repeats) for kind, metric in metrics.items()
    )
    single, every, one_core, limit, all_cores = (1e3 * float(np.median(column)) for column in times.values())
    ratio = (single + every) / one_core
    counts = "identical" if equal else "DIFFERENT"
    row = f"{name:22s} {single:10.1f} {every:10.1f} {one_core:10.2f} {ratio:8.0f}x {limit:10.3f} {all_cores:10.2f}"
    print(f"{row}  {counts}", flush=True)
    return equal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=12, help="smooth maps of each kind")
    parser.add_argument("--noise-images", type=int, default=1, help="maps of noise, seconds each by the plain sweep")
    parser.add_argument("--step", type=float, default=0.001, help="step of the thresholds")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the smooth maps; noise is measured once")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    random = np.random.default_rng(0)
    print(f"{machine()}; numpy {np.__version__}, OpenCV {cv2.__version__}, numba {numba.__version__}")
    print(f"load before the first round: {os.getloadavg()[0]:.1f} (with other jobs, trust the ratio only)")
    torch.set_num_threads(1)
    first = seconds(lambda: best_iou_per_cut(np.zeros((1, 8, 8)), [[[0, 0, 1, 1]]]), time.perf_counter)
    quantize_and_sort(np.zeros((1, 8, 8)))
    print(f"first call in this process, compiling or loading the kernel: {first:.1f} s")
    print(
        f"{len(cam_thresholds(arguments.step))} thresholds, {SIDE}x{SIDE}, ms per image; the sweep gives both metrics"
    )
    heads = ("plain V1", "plain V2", "both", "ratio", "limit", "all cores")
    print(f"{'maps':22s}", *(f"{head:>{9 if head == 'ratio' else 10}s}" for head in heads), " counts")
    noise = random.random((2, arguments.noise_images, SIDE, SIDE))
    blurred = normalized(np.stack([cv2.blur(one, (11, 11)) for one in noise[1]]))
    kinds = {f"{cells}x{cells} enlarged": smooth_maps(cells, arguments.images, random) for cells in (7, 14, 28)}
    kinds |= {"noise, blurred 11x11": blurred, "noise": normalized(noise[0])}
    results = []
    for name, maps in kinds.items():
        rounds = 1 if name.startswith("noise") else arguments.rounds
        truth = random_boxes(len(maps), random)
        results.append(compare(name, maps, truth, arguments.step, os.cpu_count() or 1, rounds))
    if not all(results):
        sys.exit("error: the sweep and the plain sweep differ")


if __name__ == "__main__":
    main()

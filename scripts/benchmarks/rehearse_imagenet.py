"""A rehearsal at full size: 50,000 synthetic maps judged against ImageNet's real ground-truth lists.

Each image gets a bump near one of its boxes on a noisy 7×7 grid, enlarged to 224×224 by cubic interpolation as
class activation maps are, and random class scores that favour the label. Every metric is fed from one sweep.
Prints wall time, images per second and peak memory. Needs only the lists:

    python scripts/benchmarks/rehearse_imagenet.py [--metadata DIR] [--limit N]     (default: $WSOL_SHARED/metadata)
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from eval.protocols import get_protocol
from wsol.data import GroundTruth
from wsol.metrics import LocalizationAccuracy, MaxBoxAcc, MaxBoxAccV2
from wsol.sweep import best_iou_per_cut

SIDE, CELLS, BATCH, CLASSES = 224, 7, 250, 1000


def synthetic_map(box: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A map ``(224, 224)`` in [0, 1] that is high somewhere near a box."""
    grid = (np.arange(CELLS) + 0.5) * SIDE / CELLS
    centre = (box[:2] + box[2:]) / 2 + random.normal(0, 12, 2)
    extent = np.maximum(box[2:] - box[:2], 16) * random.uniform(0.3, 0.7, 2)
    squares = ((grid[:, None] - centre[1]) / extent[1]) ** 2 + ((grid[None, :] - centre[0]) / extent[0]) ** 2
    cam = 1 / (1 + squares) + 0.15 * random.random((CELLS, CELLS))
    score_map = cv2.resize(cam, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    score_map -= score_map.min()
    return score_map / score_map.max()


def peak_memory() -> float:
    """Peak resident memory in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = os.environ.get("WSOL_SHARED", str(Path(__file__).parents[2] / ".." / "shared"))
    parser.add_argument("--metadata", type=Path, default=Path(shared) / "metadata", help="folder of the lists")
    parser.add_argument("--limit", type=int, help="judge only the first N images")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    lists = GroundTruth.from_lists(arguments.metadata / "ILSVRC" / "test")
    number = min(arguments.limit or len(lists), len(lists))
    protocol = get_protocol("wsolevaluation")
    random = np.random.default_rng(0)
    single, every, accuracy = MaxBoxAcc(), MaxBoxAccV2(), LocalizationAccuracy()
    best_iou_per_cut(np.zeros((1, SIDE, SIDE)), [[[0, 0, 1, 1]]])  # compile before the clock starts
    before, start, judging, after_a_tenth = peak_memory(), time.perf_counter(), 0.0, 0.0
    for first in range(0, number, BATCH):
        part = range(first, min(first + BATCH, number))
        boxes = [protocol.map_boxes(lists.boxes[i], lists.sizes[i], (SIDE, SIDE)) for i in part]
        maps = np.stack([synthetic_map(image_boxes[0], random) for image_boxes in boxes])
        labels = lists.labels[first : first + len(part)]
        logits = random.normal(size=(len(part), CLASSES))
        logits[np.arange(len(part)), labels] += 3.5
        clock = time.perf_counter()
        sweep = best_iou_per_cut(maps, boxes)
        single.update_from_sweep(sweep)
        every.update_from_sweep(sweep)
        accuracy.update_from_sweep(sweep, logits, labels)
        judging += time.perf_counter() - clock
        if first <= number // 10:
            after_a_tenth = peak_memory()
    total = time.perf_counter() - start
    print(f"{number:,} images on {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}")
    print(f"judging     {judging:8.1f} s  {number / judging:8.0f} images/s  {1e3 * judging / number:.2f} ms per image")
    print(f"with maps   {total:8.1f} s  {number / total:8.0f} images/s")
    print(
        f"peak memory {before:8.0f} MB before, {after_a_tenth:.0f} MB after a tenth, {peak_memory():.0f} MB at the end"
    )
    result = accuracy.compute()
    figures = {"max_box_acc": single.compute()["max_box_acc"][0.5], "max_box_acc_v2": every.compute()["mean"]}
    figures |= {name: result[name] for name in ("top1_cls", "top5_cls", "gt_known_loc", "top1_loc", "top5_loc")}
    print("  ".join(f"{name} {percent:.2f}" for name, percent in figures.items()))


if __name__ == "__main__":
    main()

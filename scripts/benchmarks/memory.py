"""Memory, open files and shared memory of a long evaluation: score maps without end, judged as `wsol-eval` does.

    python scripts/benchmarks/memory.py [--images 100000] [--steps 1]

Maps are made from a seed, a thousand different ones over and over, with class scores; they are judged, recorded and
saved as any others, and counted at the end. Prints a line at every tenth of the images and leaves with an error if
anything grew after the first: resident memory by more than 2 %, open files, or files in /dev/shm.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from machine import machine

import wsol
from eval.analysis.curves import count_split
from eval.judging.split import judge_split
from eval.judging.thresholds import Thresholds
from eval.maps import MapBatch
from eval.protocols import get_protocol
from wsol.data import GroundTruth

SIDE, CELLS, CLASSES, DIFFERENT = 224, 7, 100, 1000
MOST_GROWTH = 1.02


class SyntheticMaps:
    """A source of maps of a made-up split."""

    has_logits = True
    map_size = (SIDE, SIDE)

    def __init__(self, steps: int, batch_size: int) -> None:
        self.steps, self.batch_size = steps, batch_size
        self.random = np.random.default_rng(0)
        self.grids = self.random.random((DIFFERENT, CELLS, CELLS))

    def batches(self, indices: Sequence[int]) -> Iterator[MapBatch]:
        """Batches of maps, the predicted class's the same as the label's."""
        for start in range(0, len(indices), self.batch_size):
            chunk = np.array(indices[start : start + self.batch_size], dtype=np.int64)
            shape = (self.steps, len(chunk))
            places = (chunk + 7 * np.arange(self.steps)[:, None]) % DIFFERENT
            maps = wsol.score_maps(self.grids[places], self.map_size)
            logits = self.random.normal(size=(*shape, CLASSES)).astype(np.float32)
            yield MapBatch(chunk, maps, maps, self.grids[places], logits, np.zeros(shape, np.bool_))


def made_up_split(images: int) -> GroundTruth:
    """Labels and boxes from a seed."""
    random = np.random.default_rng(1)
    corners = random.integers(0, 300, (images, 1, 2))
    boxes = np.concatenate([corners, corners + random.integers(50, 199, (images, 1, 2))], axis=2)
    return GroundTruth(
        dataset="made-up",
        split="test",
        image_ids=tuple(f"{number}.jpg" for number in range(images)),
        labels=random.integers(0, CLASSES, images),
        sizes=np.full((images, 2), 500),
        boxes=tuple(boxes.astype(np.int64)),
        class_names=tuple(f"class {number}" for number in range(CLASSES)),
    )


def in_use() -> tuple[float, int, int]:
    """Resident memory in MB, open files, and files in /dev/shm."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return (
        pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        len(os.listdir("/proc/self/fd")),
        len(os.listdir("/dev/shm")),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=32)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    print(machine())
    truth = made_up_split(arguments.images)
    tenth, measured, start = max(arguments.images // 10, 1), [], time.process_time()

    def note(done: int) -> None:
        if done // tenth > len(measured):
            measured.append(in_use())
            memory, files, shared = measured[-1]
            print(f"{done:8,} images: {memory:7.1f} MB, {files} open files, {shared} in /dev/shm", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        source = SyntheticMaps(arguments.steps, arguments.batch_size)
        judged = judge_split(
            source, truth, get_protocol("wsolevaluation"), Thresholds(0.2), Path(folder), progress=note
        )
        seconds = time.process_time() - start
        counts = count_split(judged)
        size = sum(file.stat().st_size for file in judged.record_files) / arguments.images
    memory, files, _ = in_use()
    print(f"counted: {memory:.1f} MB, {files} open files; {len(counts.curves)} rows, {size:,.0f} bytes a record")
    print(f"{1e3 * seconds / arguments.images:.2f} CPU ms per image, maps made and judged")
    first, last = measured[0], measured[-1]
    if last[0] > first[0] * MOST_GROWTH or last[1:] > first[1:]:
        sys.exit(f"error: it grew from {first} to {last}")


if __name__ == "__main__":
    main()

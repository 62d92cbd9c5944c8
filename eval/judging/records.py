"""What is known of every single image: a fixed-size record each, in a file, so that memory does not grow.

A record keeps, for every row (step or fusion) and every cut of the map, the IoU level that the box reaches.
Threshold curves of any subset of images, hence intervals and comparisons, follow from it by counting.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.judging.hits import LOC_FIGURES, POLICIES
from tdam.errors import UserError

NUM_CUTS = 256
Records = npt.NDArray[np.void]
RecordMap = np.memmap[Any, np.dtype[np.void]]


def record_type(num_rows: int) -> np.dtype[np.void]:
    """The record of one image with `num_rows` rows.

    Fields (one value per row unless said otherwise):
        index: Position of the image in the split, one per image; -1 marks a record not yet written.
        unreadable: The image could not be read and counts as a miss, one per image.
        boxed: The image has ground-truth boxes, one per image; without one nothing can be found.
        degenerate: The raw map was constant or held a NaN.
        maximum: Maximum of the 8-bit map.
        reached_largest, reached_all: Per cut, the IoU level (see `eval.judging.hits.iou_levels`) of the box of the
            largest contour, and of the best box of all contours; 0 for an image that is unreadable or has no box.
        hit: Whether the image is found, per threshold policy and figure (`eval.judging.hits`: POLICIES, LOC_FIGURES).
        class_id, confidence: Top class and its probability; -1 and NaN where only maps are known.
        in_top1, in_top5: Whether the label is among the first one and five classes.
        box: Box of the label's map at the headline threshold, ``x0 y0 x1 y1`` in pixels of the original image; -1
            where the image is unreadable or its size is not known.
        predicted_box: Box of the map of the row's own top class; zeros for fusions and where only maps are known.
        iou, candidates, outcome: IoU of that box, number of boxes of all contours, and kind of error. An unreadable
            image has IoU 0 and no candidates; an image without ground-truth boxes has IoU NaN.
        iou_fixed: IoU of the box at the fixed threshold.
    """
    rows = (num_rows,)
    return np.dtype(
        [
            ("index", np.int64),
            ("unreadable", np.bool_),
            ("boxed", np.bool_),
            ("degenerate", np.bool_, rows),
            ("maximum", np.uint8, rows),
            ("reached_largest", np.uint8, (num_rows, NUM_CUTS)),
            ("reached_all", np.uint8, (num_rows, NUM_CUTS)),
            ("hit", np.bool_, (num_rows, len(POLICIES), len(LOC_FIGURES))),
            ("class_id", np.int32, rows),
            ("confidence", np.float32, rows),
            ("in_top1", np.bool_, rows),
            ("in_top5", np.bool_, rows),
            ("box", np.int32, (num_rows, 4)),
            ("predicted_box", np.int32, (num_rows, 4)),
            ("iou", np.float32, rows),
            ("iou_fixed", np.float32, rows),
            ("candidates", np.int32, rows),
            ("outcome", np.uint8, rows),
        ]
    )


class RecordFile:
    """The records of one process's images, each at its place, read in chunks.

    Args:
        path: The file, in NumPy's .npy format.
        num_images: How many images this process judges.
        num_rows: Rows per image.
        resume: Keep what the file holds.

    Raises:
        UserError: If a file to be resumed holds something else.
    """

    def __init__(self, path: Path, num_images: int, num_rows: int, resume: bool = False) -> None:
        self.path = path
        expected = record_type(num_rows)
        if resume:
            self._records: RecordMap = self._open(path, num_images, expected)
            return
        self._records = np.lib.format.open_memmap(path, mode="w+", dtype=expected, shape=(num_images,))
        self._records["index"] = -1

    @staticmethod
    def _open(path: Path, num_images: int, expected: np.dtype[np.void]) -> RecordMap:
        try:
            records = np.lib.format.open_memmap(path, mode="r+")
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be resumed ({error}): run again without --resume") from error
        if records.shape != (num_images,) or records.dtype != expected:
            raise UserError(f"{path} belongs to another run: run again without --resume")
        return records

    def __len__(self) -> int:
        return len(self._records)

    def write(self, places: npt.NDArray[np.int64], records: Records) -> None:
        """Write records at their places among this process's images."""
        self._records[places] = records

    def flush(self) -> None:
        """Hand everything written to the disk."""
        self._records.flush()


def read_records(paths: list[Path], batch_size: int = 1, chunk: int = 4096) -> Iterator[Records]:
    """Records of all processes in the order of the split, with one chunk of each in memory at a time.

    Args:
        paths: The record file of every process, in order of rank; process r of n holds batches r, r + n, ….
        batch_size: Images per batch.
        chunk: About how many records of each file to hold at a time.

    Raises:
        UserError: If a file of another process is not visible here.
    """
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path} is not visible here: with several machines --output must be a shared folder")
    files = [np.lib.format.open_memmap(path, mode="r") for path in paths]
    # Whole batches, so that the chunks of all files are neighbours in the split.
    chunk = max(chunk // batch_size, 1) * batch_size
    for start in range(0, len(files[0]), chunk):
        records = np.concatenate([file[start : start + chunk] for file in files])
        yield records[np.argsort(records["index"], kind="stable")]

"""What is known of every single image: a fixed-size record each, in a file, so that memory does not grow.

A record keeps, for every row (step or fusion) and every cut of the map, the IoU level that the box reaches.
Threshold curves of any subset of images, hence intervals and comparisons, follow from it by counting.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from eval.judging.hits import LOC_FIGURES, POLICIES
from tdam.errors import UserError
from tdam.files import write_error

NUM_CUTS = 256
BLOCK = 1 << 24  # bytes that are checked at a time
RESTART = "--restart instead of --resume judges all images anew"
Records = npt.NDArray[np.void]


def record_type(num_rows: int, num_rules: int = 0, with_selection: bool = False) -> np.dtype[np.void]:
    """The record of one image with `num_rows` rows.

    Args:
        num_rows: Steps and fusions.
        num_rules: Rules by which every map finds its own threshold.
        with_selection: Whether the boxes are also compared with selection boxes.

    Fields (one value per row unless said otherwise):
        index: Position of the image in the split, one per image.
        unreadable: The image could not be read and counts as a miss, one per image.
        boxed: The image has ground-truth boxes, one per image; without one nothing can be found.
        degenerate: The raw map was constant or held a NaN.
        maximum: Maximum of the 8-bit map.
        reached_largest, reached_all: Per cut, the IoU level (see `eval.judging.hits.iou_levels`) of the box of the
            largest contour, and of the best box of all contours; 0 for an image that is unreadable or has no box.
        reached_selection: As `reached_largest`, against the selection boxes; only `with_selection`.
        hit: Whether the image is found, per threshold policy and figure (`eval.judging.hits`: POLICIES, then the rules;
            LOC_FIGURES).
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
    selection = [("reached_selection", np.uint8, (num_rows, NUM_CUTS))] if with_selection else []
    return np.dtype(
        [
            *selection,
            ("index", np.int64),
            ("unreadable", np.bool_),
            ("boxed", np.bool_),
            ("degenerate", np.bool_, rows),
            ("maximum", np.uint8, rows),
            ("reached_largest", np.uint8, (num_rows, NUM_CUTS)),
            ("reached_all", np.uint8, (num_rows, NUM_CUTS)),
            ("hit", np.bool_, (num_rows, len(POLICIES) + num_rules, len(LOC_FIGURES))),
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
    """The records of one process's images, in their order, written one batch after another.

    They are written, not mapped into memory: a full disk is then an error that can be told, not the end of the process.

    Args:
        path: The file; what it holds is kept only as far as `keep` says.
        record: What a record is, see `record_type`.
        keep: How many records to keep of a file that a killed run left.
        sha256: Digest of those records.

    Raises:
        UserError: If the records to keep are damaged.
        WriteError: If the file cannot be written.
    """

    def __init__(self, path: Path, record: np.dtype[np.void], keep: int = 0, sha256: str | None = None) -> None:
        self.path = path
        self._type = record
        self._digest = hashlib.sha256()
        if keep:
            self._check(keep, sha256)
        try:
            self._file: BinaryIO = path.open("rb+" if keep else "wb")
            if keep:
                # What was written after the state was saved is judged again.
                self._file.truncate(keep * self._type.itemsize)
                self._file.seek(0, os.SEEK_END)
        except OSError as error:
            raise write_error(path, error) from error

    def _check(self, keep: int, sha256: str | None) -> None:
        remaining = keep * self._type.itemsize
        try:
            with self.path.open("rb") as file:
                while block := file.read(min(remaining, BLOCK)):
                    self._digest.update(block)
                    remaining -= len(block)
        except OSError as error:
            raise UserError(f"{self.path} cannot be read ({error.strerror or error}); {RESTART}") from error
        if remaining or self.sha256 != sha256:
            raise UserError(f"{self.path} is damaged: it does not hold the records that were saved; {RESTART}")

    @property
    def sha256(self) -> str:
        """Digest of all records so far, in hexadecimal."""
        return self._digest.hexdigest()

    def append(self, records: Records) -> None:
        """Write the records of a batch, in the order of the split.

        Raises:
            WriteError: If the disk is full or fails.
        """
        content = records[np.argsort(records["index"])].astype(self._type, copy=False).tobytes()
        try:
            self._file.write(content)
        except OSError as error:
            raise write_error(self.path, error) from error
        self._digest.update(content)

    def flush(self) -> None:
        """Bring everything written to the disk.

        Raises:
            WriteError: If the disk is full or fails.
        """
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise write_error(self.path, error) from error

    def close(self) -> None:
        """Close the file; what a failing disk did not take is given up."""
        with suppress(OSError):
            self._file.close()


def read_records(
    paths: list[Path], record: np.dtype[np.void], batch_size: int = 1, chunk: int = 4096
) -> Iterator[Records]:
    """Records of all processes in the order of the split, with one chunk of each in memory at a time.

    Args:
        paths: The record file of every process, in order of rank; process r of n holds batches r, r + n, ….
        record: What a record is, see `record_type`.
        batch_size: Images per batch.
        chunk: About how many records of each file to hold at a time.
    """
    # Whole batches, so that the chunks of all files are neighbours in the split.
    chunk = max(chunk // batch_size, 1) * batch_size
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("rb")) for path in paths]
        while len(records := np.concatenate([np.fromfile(file, record, chunk) for file in files])):
            yield records[np.argsort(records["index"])]

"""Class scores in a file: what one network says of the class, to go with the maps of another.

Two-stage rows of the literature (PSOL, GenPromp, C2AM) take the class from one network and the box from another:
``wsol-eval --model A … --save-logits a.npz``, then ``wsol-eval --model B … --logits a.npz``.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from eval.judging.process import Process
from eval.maps.folder import UNREADABLE
from eval.maps.source import MapBatch, MapSource
from tdam.errors import UserError
from tdam.files import replacing
from wsol.data import GroundTruth

FORMAT = "an .npz file with image_ids (N,) and logits (N, C)"


def read_logits(path: Path, ground_truth: GroundTruth) -> npt.NDArray[np.float32]:
    """Class scores ``(N, C)`` of a split's images, in its order.

    Args:
        path: An .npz file with ``image_ids (N,)`` and ``logits (N, C)``, in any order; it may hold more images.
        ground_truth: Lists of the split.

    Raises:
        UserError: If the file cannot be read, lacks an image, or does not fit the classes.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise ValueError("it is one array alone")
        with loaded as file:
            ids, logits = file["image_ids"].astype(str).tolist(), file["logits"]
    except (KeyError, OSError, zipfile.BadZipFile, zlib.error, *UNREADABLE) as error:
        raise UserError(f"--logits {path} is not {FORMAT}: {error}") from error
    if logits.ndim != 2 or len(logits) != len(ids) or not np.issubdtype(logits.dtype, np.floating):
        raise UserError(f"--logits {path} is not {FORMAT}: {len(ids)} ids, logits {logits.shape} of {logits.dtype}")
    if logits.shape[1] != ground_truth.num_classes:
        raise UserError(
            f"--logits {path} has scores of {logits.shape[1]} classes, "
            f"{ground_truth.dataset} has {ground_truth.num_classes}"
        )
    position = {image_id: place for place, image_id in enumerate(ids)}
    missing = [image_id for image_id in ground_truth.image_ids if image_id not in position]
    if missing:
        raise UserError(f"--logits {path} lacks {len(missing)} of {len(ground_truth)} images, first {missing[0]}")
    found = logits[[position[image_id] for image_id in ground_truth.image_ids]].astype(np.float32)
    if not np.isfinite(found).all():
        place = int((~np.isfinite(found)).any(axis=1).argmax())
        raise UserError(f"--logits {path}: a score of {ground_truth.image_ids[place]} is not finite")
    return found


class GivenLogits:
    """A source's maps with class scores from elsewhere, the same at every step.

    Maps of the predicted class are left out: the source knows its own prediction alone.

    Args:
        source: Where the maps come from.
        logits: ``(N, C)`` of all images of the split.
    """

    has_logits = True

    def __init__(self, source: MapSource, logits: npt.NDArray[np.float32]) -> None:
        self.source = source
        self.logits = logits
        self.batch_size, self.steps, self.map_size = source.batch_size, source.steps, source.map_size

    def batches(self, indices: Sequence[int]) -> Iterator[MapBatch]:
        """Score maps of the images at `indices`."""
        for batch in self.source.batches(indices):
            scores = np.stack([self.logits[batch.indices]] * self.steps)
            yield replace(batch, logits=scores, predicted_maps=None, predicted_cams=None)


class LogitsWriter:
    """Gathers the last step's class scores of a split and writes them for `read_logits`.

    Args:
        path: The file.
        ground_truth: Lists of the split.
    """

    def __init__(self, path: Path, ground_truth: GroundTruth) -> None:
        self.path = path
        self.ground_truth = ground_truth
        self._found: dict[int, npt.NDArray[np.float32]] = {}

    def add(self, batch: MapBatch) -> None:
        """Keep the scores of a batch; unreadable images have none."""
        if batch.logits is None:
            raise UserError(f"--save-logits {self.path}: only maps are known, and no class scores")
        for place, index in enumerate(batch.indices.tolist()):
            if index not in batch.unreadable:
                self._found[index] = np.array(batch.logits[-1, place], np.float32)

    def write(self, process: Process) -> None:
        """Write what all processes kept; the first one does it.

        Raises:
            WriteError: If the file cannot be written.
        """
        found: dict[int, npt.NDArray[np.float32]] = {}
        for of_process in process.gather(self._found):
            found |= of_process
        if not process.is_first:
            return
        order = sorted(found)
        ids = np.array([self.ground_truth.image_ids[index] for index in order], dtype=np.str_)
        with replacing(self.path) as temporary, temporary.open("wb") as file:
            np.savez(file, image_ids=ids, logits=np.stack([found[index] for index in order]))

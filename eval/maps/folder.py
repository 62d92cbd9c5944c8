"""Score maps as files in wsolevaluation's layout, single or in tars: read from any program, written for any program."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.maps.source import MapBatch, OnError
from tdam.errors import UserError
from tdam.files import replacing
from wsol.data import GroundTruth, ImageError
from wsol.data.files.stores import Folder, ImageStore
from wsol.data.files.stores_tar import TarImages, TarShards
from wsol.runtime.pipeline import prefetch

# What NumPy raises for damaged files; their headers are parsed as Python text.
UNREADABLE = (ValueError, EOFError, SyntaxError, TokenError, MemoryError, OverflowError)
ARCHIVE = b"PK"  # begins a .npz file


def score_map_file(folder: Path, image_id: str) -> Path:
    """The file of an image's map in wsolevaluation's layout: ``<folder>/<image_id>.npy``, extension kept.

    >>> score_map_file(Path("maps"), "val2/0/0.jpeg").as_posix()
    'maps/val2/0/0.jpeg.npy'
    """
    return folder / _member(image_id)


def _member(image_id: str) -> str:
    return f"{image_id}.npy"


def open_maps(path: Path) -> ImageStore:
    """The store of score map files: a folder of them, a tar of them, or a folder of tars that hold them.

    Raises:
        UserError: If there is nothing of that name, or a tar is damaged or compressed.
    """
    if path.is_file():
        return TarImages(path)
    if not path.is_dir():
        raise UserError(f"{path} is missing: give a folder of .npy score maps, a tar of them, or a folder of such tars")
    shards = sorted(path.glob("*.tar"))
    return TarShards(shards) if shards else Folder(path)


@dataclass(frozen=True)
class FolderMaps:
    """Score maps that another program wrote, one ``.npy`` per image (wsolevaluation's layout), single or in tars.

    A map is ``(H, W)``, or ``(T, H, W)`` for T steps, float in [0, 1]; all maps have one shape. They are taken as
    they are, in the precision they were written in; only a map with a NaN counts as zeros, as wsolevaluation's
    normalisation makes it.

    Attributes:
        folder: Folder of the maps, a tar of them, or a folder of tars.
        ground_truth: Lists of the split.
        batch_size: Maps per batch.
        on_error: "stop" raises at a missing or malformed file, "count" reports it and gives zeros for it.

    Raises:
        UserError: If no image of the split has a readable map.
    """

    folder: Path
    ground_truth: GroundTruth
    batch_size: int = 32
    on_error: OnError = "stop"

    @cached_property
    def _store(self) -> ImageStore:
        return open_maps(self.folder)

    @cached_property
    def _shape(self) -> tuple[int, ...]:
        """Shape ``(T, H, W)`` of the first readable map; "stop" demands that it is the first of all."""
        faults = []
        for image_id in self.ground_truth.image_ids:
            try:
                maps, _ = read_score_map(self._store, image_id)
            except UserError as error:
                if self.on_error == "stop":
                    raise
                faults.append(str(error))
                continue
            return maps.shape
        raise UserError(f"{self.folder} holds no readable map of any of the {len(faults)} images, e.g. {faults[0]}")

    @property
    def steps(self) -> int:
        """Number of computation steps T."""
        return self._shape[0]

    @property
    def map_size(self) -> tuple[int, int]:
        """Height and width of the score maps."""
        return self._shape[1], self._shape[2]

    @property
    def has_logits(self) -> bool:
        """Whether the classes' scores are known."""
        return False

    def batches(self, indices: Sequence[int]) -> Iterator[MapBatch]:
        """Score maps of the images at `indices`, in this order but for unreadable ones, which end their batch.

        Raises:
            UserError: If a file is missing or malformed and `on_error` is "stop".
        """
        self._shape  # noqa: B018 - found once, before threads ask for it
        starts = range(0, len(indices), self.batch_size)
        yield from prefetch(lambda start: self._batch(indices[start : start + self.batch_size]), starts)

    def _batch(self, indices: Sequence[int]) -> MapBatch:
        maps, flags, read = [], [], []
        unreadable: dict[int, str] = {}
        for index in indices:
            image_id = self.ground_truth.image_ids[index]
            try:
                one, degenerate = read_score_map(self._store, image_id)
                self._check_size(index)
                if one.shape != self._shape:
                    where = self._store.where(_member(image_id))
                    raise UserError(f"{where} has steps and size {one.shape}, other maps {self._shape}: all must agree")
            except UserError as error:
                if self.on_error == "stop":
                    raise
                unreadable[index] = str(error)
                continue
            maps.append(one)
            flags.append(degenerate)
            read.append(index)
        zeros = [np.zeros(self._shape)] * len(unreadable)
        healthy = [np.zeros(self.steps, np.bool_)] * len(unreadable)
        return MapBatch(
            indices=np.array([*read, *unreadable], dtype=np.int64),
            score_maps=np.stack([*maps, *zeros], axis=1),
            predicted_maps=None,
            predicted_cams=None,
            logits=None,
            degenerate=np.stack([*flags, *healthy], axis=1),
            unreadable=unreadable,
        )

    def _check_size(self, index: int) -> None:
        """Raise where the image's boxes cannot be brought to its map: its size is neither listed nor to be read."""
        truth = self.ground_truth
        if len(truth.boxes[index]) and not truth.sizes[index].all():
            raise UserError(f"{truth.image_ids[index]}: its boxes need the image's size, but the image cannot be read")


def read_score_map(store: ImageStore, image_id: str) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.bool_]]:
    """Read the maps of one image.

    Args:
        store: Where the maps lie, see `open_maps`.
        image_id: The image, whose ``.npy`` file holds ``(H, W)`` or ``(T, H, W)`` floats.

    Returns:
        The maps ``(T, H, W)`` in [0, 1], and which of its steps ``(T,)`` are constant or held a NaN; the latter are
        zeros now.

    Raises:
        UserError: If the file is missing, unreadable, of a wrong shape or type, or leaves [0, 1].
    """
    path = store.where(_member(image_id))
    try:
        content = store.read(_member(image_id))
    except ImageError as error:
        if store.exists(_member(image_id)):
            raise
        raise UserError(f"{path} is missing: one .npy per image is needed, named <image id>.npy") from error
    try:
        stored = _read_array(content)
    except UNREADABLE as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} is not a readable .npy array ({reason}): write it again") from error
    if stored.ndim not in (2, 3) or stored.size == 0 or stored.dtype not in (np.float16, np.float32, np.float64):
        raise UserError(f"{path} has shape {stored.shape} and type {stored.dtype}; wanted float (H, W) or (T, H, W)")
    stored = stored.reshape(-1, *stored.shape[-2:]).astype(np.result_type(stored.dtype, np.float32))
    flat = stored.reshape(len(stored), -1)
    broken = np.isnan(flat).any(-1)
    degenerate = broken | (flat.min(-1) == flat.max(-1))
    stored = np.where(broken[:, None, None], 0, stored)
    if stored.min() < 0 or stored.max() > 1:
        raise UserError(f"{path} has values in [{stored.min():.3g}, {stored.max():.3g}]; normalise maps to [0, 1]")
    return stored, degenerate


def _read_array(content: bytes) -> npt.NDArray[Any]:
    """The array that a ``.npy`` file holds.

    Raises:
        ValueError: If it is no such file; a header that declares more than the file holds is refused before any memory
            is taken.
    """
    file = io.BytesIO(content)
    if content.startswith(ARCHIVE):
        raise ValueError("it is an archive of arrays")
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, in_columns, kind = read_header(file)
    if any(length < 0 for length in shape):
        raise ValueError(f"its header declares the shape {shape}")
    values = np.frombuffer(content, kind, prod(shape), file.tell())
    return values.reshape(shape, order="F" if in_columns else "C")


class MapWriter:
    """Writes score maps in wsolevaluation's layout, so that any evaluator can read them.

    Args:
        folder: Folder to write into.
        ground_truth: Lists of the split.
        dtype: Type of the saved values; float64 is what wsolevaluation demands.
    """

    def __init__(self, folder: Path, ground_truth: GroundTruth, dtype: npt.DTypeLike = np.float32) -> None:
        self.folder = folder
        self.ground_truth = ground_truth
        self.dtype = np.dtype(dtype)

    def write(self, batch: MapBatch) -> None:
        """Write one batch: ``(H, W)`` where there is one step, else ``(T, H, W)``; unreadable images are left out."""
        for position, index in enumerate(batch.indices.tolist()):
            if index in batch.unreadable:
                continue
            path = score_map_file(self.folder, self.ground_truth.image_ids[index])
            maps = batch.score_maps[:, position].astype(self.dtype, copy=False)
            with replacing(path, sync=False) as temporary:
                np.save(temporary, maps[0] if len(maps) == 1 else maps)

"""Where the score maps to be judged come from: a network, or files that any other program wrote.

Both give a stream of `MapBatch`, so that everything after them is the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from tdam.errors import UserError, check_name
from wsol.cam import class_activation_maps
from wsol.data import GroundTruth, ImageError
from wsol.scoremap import score_maps
from wsol.weights import TrainedNetwork

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
OnError = Literal["stop", "count"]


@dataclass(frozen=True)
class MapBatch:
    """Score maps of some images at every computation step.

    Attributes:
        indices: Positions of the images in the ground truth, ``(B,)`` int64.
        score_maps: Float ``(T, B, H, W)`` in [0, 1], of the ground-truth class.
        logits: Float32 ``(T, B, C)``, or None where only maps are known.
        degenerate: ``(T, B)`` bool: the raw map was constant or held a NaN and became zeros.
        unreadable: For images that could not be read: position -> what is wrong. Their maps are zeros.
    """

    indices: npt.NDArray[np.int64]
    score_maps: npt.NDArray[np.floating]
    logits: npt.NDArray[np.float32] | None
    degenerate: npt.NDArray[np.bool_]
    unreadable: dict[int, str] = field(default_factory=dict)


class _CountErrors(Dataset[tuple[torch.Tensor | None, int, int, str]]):
    """A dataset that hands on what is wrong with an image instead of raising, where the user asked to count."""

    def __init__(self, dataset: Dataset[Any], indices: Sequence[int], on_error: OnError) -> None:
        self.dataset = dataset
        self.indices = indices
        self.on_error = on_error

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> tuple[torch.Tensor | None, int, int, str]:
        index = self.indices[position]
        try:
            image, label, _ = self.dataset[index]
        except ImageError as error:
            if self.on_error == "stop":
                raise
            return None, -1, index, str(error)
        return image, label, index, ""


def _collate(
    samples: list[tuple[torch.Tensor | None, int, int, str]],
) -> tuple[torch.Tensor | None, torch.Tensor, list[int], dict[int, str]]:
    readable = [(image, label) for image, label, _, _ in samples if image is not None]
    indices = [index for image, _, index, _ in samples if image is not None]
    unreadable = {index: message for image, _, index, message in samples if image is None}
    if not readable:
        return None, torch.empty(0, dtype=torch.long), indices, unreadable
    images, labels = default_collate(readable)
    return images, labels, indices, unreadable


def network_maps(
    network: TrainedNetwork,
    dataset: Dataset[Any],
    indices: Sequence[int],
    *,
    batch_size: int = 32,
    workers: int = 0,
    device: str | torch.device = "cpu",
    precision: str = "fp32",
    method: str = "cam",
    scope: str = "last",
    on_error: OnError = "stop",
) -> Iterator[MapBatch]:
    """Score maps of the ground-truth class of every step, from a network.

    Args:
        network: Network with trained weights.
        dataset: Gives ``(image tensor (3, H, W), label, index)``; a `wsol.data.LocalizationDataset`.
        indices: Images to run over, in this order.
        batch_size: Images per forward pass.
        workers: Processes that read images; 0 reads in this one.
        device: Torch device.
        precision: "fp32", "bf16" or "fp16": type of autocast for the forward pass.
        method: Map method, see `wsol.cam_methods.CAM_METHODS`.
        scope: Which stages take a step's count, see `wsol.class_activation_maps`.
        on_error: "stop" raises at an unreadable image, "count" reports it and gives zeros for it.

    Raises:
        ImageError: If an image cannot be read and `on_error` is "stop".
        UnknownNameError: If `precision` is unknown.
    """
    check_name("precision", precision, PRECISIONS)
    device = torch.device(device)
    model = network.model.to(device)
    loader = DataLoader(
        _CountErrors(dataset, indices, on_error),
        batch_size=batch_size,
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=device.type == "cuda",
    )
    dtype = PRECISIONS[precision]
    for images, labels, read, unreadable in loader:
        maps = logits = None
        if images is not None:
            images, labels = images.to(device, non_blocking=True), labels.to(device)
            with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
                cams = class_activation_maps(model, images, labels, method=method, scope=scope)
            maps, logits = cams.maps.cpu().numpy(), cams.logits.float().cpu().numpy()
        yield _map_batch(maps, logits, read, unreadable, network)


def _map_batch(
    maps: npt.NDArray[np.float32] | None,
    logits: npt.NDArray[np.float32] | None,
    read: list[int],
    unreadable: dict[int, str],
    network: TrainedNetwork,
) -> MapBatch:
    """Join what was read with zeros for what was not; the unreadable images come last."""
    from tdam import num_steps

    steps, classes = num_steps(network.model), network.model.num_classes
    missing = len(unreadable)
    height, width = network.input_size
    if maps is None or logits is None:
        maps = np.zeros((steps, 0, 1, 1), np.float32)
        logits = np.zeros((steps, 0, classes), np.float32)
    flat = maps.reshape(*maps.shape[:2], -1)
    degenerate = ~np.isfinite(flat).all(-1) | (flat.min(-1) == flat.max(-1))
    large = score_maps(maps, size=(height, width))
    return MapBatch(
        indices=np.array([*read, *unreadable], dtype=np.int64),
        score_maps=np.concatenate([large, np.zeros((steps, missing, height, width), np.float32)], axis=1),
        logits=np.concatenate([logits, np.zeros((steps, missing, classes), np.float32)], axis=1),
        degenerate=np.concatenate([degenerate, np.zeros((steps, missing), np.bool_)], axis=1),
        unreadable=unreadable,
    )


def score_map_file(folder: Path, image_id: str) -> Path:
    """The file of an image's map in wsolevaluation's layout: ``<folder>/<image_id>.npy``, extension kept.

    >>> score_map_file(Path("maps"), "val2/0/0.jpeg").as_posix()
    'maps/val2/0/0.jpeg.npy'
    """
    return folder / f"{image_id}.npy"


def folder_maps(
    folder: Path, ground_truth: GroundTruth, indices: Sequence[int], *, batch_size: int = 32, on_error: OnError = "stop"
) -> Iterator[MapBatch]:
    """Score maps that were written by another program, one ``.npy`` per image (wsolevaluation's layout).

    A map is ``(H, W)``, or ``(T, H, W)`` for T steps, float in [0, 1]; all maps have one shape. They are taken as
    they are, in the precision they were written in; only a map with a NaN counts as zeros, as wsolevaluation's
    normalisation makes it.

    Args:
        folder: Folder of the maps.
        ground_truth: Lists of the split.
        indices: Images to run over, in this order.
        batch_size: Maps per batch.
        on_error: "stop" raises at a missing or malformed file, "count" reports it and gives zeros for it.

    Raises:
        UserError: If a file is missing or malformed (`on_error` "stop"), or maps differ in shape.
    """
    shape: tuple[int, ...] | None = None
    pending: list[int] = []
    for start in range(0, len(indices), batch_size):
        maps: list[npt.NDArray[np.floating]] = []
        read: list[int] = []
        unreadable: dict[int, str] = {}
        degenerate: list[npt.NDArray[np.bool_]] = []
        for index in [*pending, *indices[start : start + batch_size]]:
            path = score_map_file(folder, ground_truth.image_ids[index])
            try:
                one, flags = _read_score_map(path)
                if shape is not None and one.shape != shape:
                    raise UserError(f"{path} has shape {one.shape}, the maps before it {shape}: all must be one size")
            except UserError as error:
                if on_error == "stop":
                    raise
                unreadable[index] = str(error)
                continue
            shape = one.shape
            maps.append(one)
            degenerate.append(flags)
            read.append(index)
        pending = []
        if shape is None:
            # Nothing readable yet, so the size of a map is still unknown: these wait for the first that is.
            pending = list(unreadable)
            continue
        zeros = [np.zeros(shape)] * len(unreadable)
        healthy = [np.zeros(shape[0], np.bool_)] * len(unreadable)
        yield MapBatch(
            indices=np.array([*read, *unreadable], dtype=np.int64),
            score_maps=np.stack([*maps, *zeros], axis=1),
            logits=None,
            degenerate=np.stack([*degenerate, *healthy], axis=1),
            unreadable=unreadable,
        )
    if pending:
        raise UserError(f"{folder} holds no readable map of any image asked for, e.g. {unreadable[pending[0]]}")


def _read_score_map(path: Path) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.bool_]]:
    """One file as ``(T, H, W)`` in [0, 1], and which of its steps are constant or held a NaN."""
    try:
        stored = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: one .npy per image is needed, named <image id>.npy") from error
    except (ValueError, EOFError, OSError) as error:
        raise UserError(f"{path} is not a readable .npy array ({error}): write it again") from error
    if stored.ndim not in (2, 3) or stored.size == 0 or not np.issubdtype(stored.dtype, np.floating):
        raise UserError(f"{path} has shape {stored.shape} and type {stored.dtype}; wanted float (H, W) or (T, H, W)")
    stored = stored.reshape(-1, *stored.shape[-2:])
    flat = stored.reshape(len(stored), -1)
    broken = np.isnan(flat).any(-1)
    degenerate = broken | (flat.min(-1) == flat.max(-1))
    stored = np.where(broken[:, None, None], 0, stored)
    if stored.min() < 0 or stored.max() > 1:
        raise UserError(f"{path} has values in [{stored.min():.3g}, {stored.max():.3g}]; normalise maps to [0, 1]")
    return stored, degenerate

"""Where the score maps to be judged come from: a network, or files that any other program wrote.

Both give a stream of `MapBatch`, so that everything after them is the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, default_collate

import tdam
from eval.inference import Forward
from tdam.errors import UserError, check_name
from wsol.cam import ClassActivationMaps, class_activation_maps, makes_own_maps, maps_of_classes
from wsol.data import GroundTruth, ImageError, LocalizationDataset
from wsol.data.loading import WaitingClock
from wsol.scoremap import has_contrast, score_maps
from wsol.weights import TrainedNetwork

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
OnError = Literal["stop", "count"]


@dataclass(frozen=True)
class MapBatch:
    """Score maps of some images at every computation step.

    Attributes:
        indices: Positions of the images in the ground truth, ``(B,)`` int64.
        score_maps: Float ``(T, B, H, W)`` in [0, 1], of the ground-truth class.
        predicted_maps: The same of each step's own top class, or None where only the maps above are known.
        predicted_cams: Those maps raw, ``(T, B, h, w)``, or None.
        logits: Float32 ``(T, B, C)``, or None where only maps are known.
        degenerate: ``(T, B)`` bool: the raw map was constant or held a NaN and became zeros.
        unreadable: For images that could not be read: position -> what is wrong. Their maps are zeros.
    """

    indices: npt.NDArray[np.int64]
    score_maps: npt.NDArray[np.floating]
    predicted_maps: npt.NDArray[np.floating] | None
    predicted_cams: npt.NDArray[np.floating] | None
    logits: npt.NDArray[np.float32] | None
    degenerate: npt.NDArray[np.bool_]
    unreadable: dict[int, str] = field(default_factory=dict)


class _Guarded(Dataset[tuple[torch.Tensor | None, int, int, str]]):
    """A dataset that hands on what is wrong with an image, so that the message outlives a worker process."""

    def __init__(self, dataset: LocalizationDataset, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> tuple[torch.Tensor | None, int, int, str]:
        index = self.indices[position]
        try:
            image, label, _ = self.dataset[index]
        except ImageError as error:
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


class MapSource(Protocol):
    """What the evaluation asks of a source of score maps."""

    @property
    def batch_size(self) -> int:
        """Images per batch."""

    @property
    def steps(self) -> int:
        """Number of computation steps T."""

    @property
    def map_size(self) -> tuple[int, int]:
        """Height and width of the score maps."""

    @property
    def has_logits(self) -> bool:
        """Whether the classes' scores are known."""

    def batches(self, indices: Sequence[int]) -> Iterator[MapBatch]:
        """Score maps of the images at `indices`."""


@dataclass
class NetworkMaps:
    """Score maps of the ground-truth class of every step, from a network.

    Attributes:
        network: Network with trained weights.
        dataset: Gives ``(image tensor (3, H, W), label, index)``; a `wsol.data.LocalizationDataset`.
        batch_size: Images per forward pass.
        workers: Processes that read images; 0 reads in this one.
        device: Torch device.
        precision: "fp32", "bf16" or "fp16": type of autocast for the forward pass.
        method: Map method, see `wsol.cam_methods.CAM_METHODS`.
        scope: Which stages take a step's count, see `wsol.class_activation_maps`.
        forward: What computes all steps of a batch, see `eval.inference.compiled_steps`; None: `tdam.forward_steps`.
        on_error: "stop" raises at an unreadable image, "count" reports it and gives zeros for it.
        clock: Time spent waiting for images in the last call of `batches`; None before it.

    Raises:
        UnknownNameError: If `precision` is unknown.
    """

    network: TrainedNetwork
    dataset: LocalizationDataset
    batch_size: int = 32
    workers: int = 0
    device: torch.device = torch.device("cpu")  # noqa: RUF009 - a device is immutable
    precision: str = "fp32"
    method: str = "cam"
    scope: str = "last"
    forward: Forward | None = None
    on_error: OnError = "stop"
    clock: WaitingClock[Any] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        check_name("precision", self.precision, PRECISIONS)

    @property
    def steps(self) -> int:
        """Number of computation steps T."""
        return tdam.num_steps(self.network.model)

    @property
    def map_size(self) -> tuple[int, int]:
        """Height and width of the score maps: the network's input."""
        return self.network.input_size

    @property
    def has_logits(self) -> bool:
        """Whether the classes' scores are known."""
        return True

    def batches(self, indices: Sequence[int]) -> Iterator[MapBatch]:
        """Score maps of the images at `indices`, in this order but for unreadable ones, which end their batch.

        Raises:
            ImageError: If an image cannot be read and `on_error` is "stop".
        """
        model = self.network.model.to(self.device)
        loader = DataLoader(
            _Guarded(self.dataset, indices),
            batch_size=self.batch_size,
            num_workers=self.workers,
            collate_fn=_collate,
            pin_memory=self.device.type == "cuda",
        )
        dtype = PRECISIONS[self.precision]
        self.clock = WaitingClock(loader)
        for images, labels, read, unreadable in self.clock:
            if unreadable and self.on_error == "stop":
                raise ImageError(f"{next(iter(unreadable.values()))}; --on-error count counts such images as misses")
            if images is None:
                yield self._batch(None, None, read, unreadable)
                continue
            images, labels = images.to(self.device, non_blocking=True), labels.to(self.device)
            with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
                of_labels, of_predictions = self._cams(model, images, labels)
            yield self._batch(of_labels, of_predictions, read, unreadable)

    def _cams(
        self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor
    ) -> tuple[ClassActivationMaps, ClassActivationMaps]:
        """Maps of the labels and of the predictions; CAM needs one forward pass for both."""
        if self.method != "cam" or makes_own_maps(model):
            of_predictions = class_activation_maps(model, images, None, self.method, self.scope)
            return class_activation_maps(model, images, labels, self.method, self.scope), of_predictions
        with torch.inference_mode():
            outputs = self.forward(images) if self.forward else tdam.forward_steps(model, images, scope=self.scope)
            return maps_of_classes(outputs, labels), maps_of_classes(outputs)

    def _batch(
        self,
        of_labels: ClassActivationMaps | None,
        of_predictions: ClassActivationMaps | None,
        read: list[int],
        unreadable: dict[int, str],
    ) -> MapBatch:
        """Join what was read with zeros for what was not; the unreadable images come last."""
        steps, missing, classes = self.steps, len(unreadable), self.network.num_classes
        zero_maps = np.zeros((steps, missing, *self.map_size), np.float32)
        zero_logits, no_flags = np.zeros((steps, missing, classes), np.float32), np.zeros((steps, missing), np.bool_)
        indices = np.array([*read, *unreadable], dtype=np.int64)
        if of_labels is None or of_predictions is None:
            zero_cams = np.zeros((steps, missing, 1, 1), np.float32)
            return MapBatch(indices, zero_maps, zero_maps, zero_cams, zero_logits, no_flags, unreadable)
        raw, raw_predicted = of_labels.maps.cpu().numpy(), of_predictions.maps.cpu().numpy()
        maps = score_maps(raw, size=self.map_size)
        predicted = maps.copy()
        wrong = (of_labels.class_ids != of_predictions.class_ids).cpu().numpy()
        predicted[wrong] = score_maps(raw_predicted[wrong], size=self.map_size)
        degenerate = np.array([[not has_contrast(one) for one in of_step] for of_step in raw])
        return MapBatch(
            indices=indices,
            score_maps=np.concatenate([maps, zero_maps], axis=1),
            predicted_maps=np.concatenate([predicted, zero_maps], axis=1),
            predicted_cams=np.pad(raw_predicted, ((0, 0), (0, missing), (0, 0), (0, 0))),
            logits=np.concatenate([of_labels.logits.float().cpu().numpy(), zero_logits], axis=1),
            degenerate=np.concatenate([degenerate, no_flags], axis=1),
            unreadable=unreadable,
        )


def score_map_file(folder: Path, image_id: str) -> Path:
    """The file of an image's map in wsolevaluation's layout: ``<folder>/<image_id>.npy``, extension kept.

    >>> score_map_file(Path("maps"), "val2/0/0.jpeg").as_posix()
    'maps/val2/0/0.jpeg.npy'
    """
    return folder / f"{image_id}.npy"


@dataclass(frozen=True)
class FolderMaps:
    """Score maps that another program wrote, one ``.npy`` per image (wsolevaluation's layout).

    A map is ``(H, W)``, or ``(T, H, W)`` for T steps, float in [0, 1]; all maps have one shape. They are taken as
    they are, in the precision they were written in; only a map with a NaN counts as zeros, as wsolevaluation's
    normalisation makes it.

    Attributes:
        folder: Folder of the maps.
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
    def _shape(self) -> tuple[int, ...]:
        """Shape ``(T, H, W)`` of the first readable map; "stop" demands that it is the first of all."""
        faults = []
        for image_id in self.ground_truth.image_ids:
            try:
                maps, _ = read_score_map(score_map_file(self.folder, image_id))
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
        for start in range(0, len(indices), self.batch_size):
            yield self._batch(indices[start : start + self.batch_size])

    def _batch(self, indices: Sequence[int]) -> MapBatch:
        maps, flags, read = [], [], []
        unreadable: dict[int, str] = {}
        for index in indices:
            path = score_map_file(self.folder, self.ground_truth.image_ids[index])
            try:
                one, degenerate = read_score_map(path)
                if one.shape != self._shape:
                    raise UserError(f"{path} has steps and size {one.shape}, other maps {self._shape}: all must agree")
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


def read_score_map(path: Path) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.bool_]]:
    """Read the maps of one image.

    Args:
        path: A ``.npy`` file with ``(H, W)`` or ``(T, H, W)`` floats.

    Returns:
        The maps ``(T, H, W)`` in [0, 1], and which of its steps ``(T,)`` are constant or held a NaN; the latter are
        zeros now.

    Raises:
        UserError: If the file is missing, unreadable, of a wrong shape or type, or leaves [0, 1].
    """
    try:
        stored = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: one .npy per image is needed, named <image id>.npy") from error
    except (ValueError, EOFError, OSError) as error:
        raise UserError(f"{path} is not a readable .npy array ({error}): write it again") from error
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


class MapWriter:
    """Writes score maps in wsolevaluation's layout, so that any evaluator can read them.

    Args:
        folder: Folder to write into.
        ground_truth: Lists of the split.
    """

    def __init__(self, folder: Path, ground_truth: GroundTruth) -> None:
        self.folder = folder
        self.ground_truth = ground_truth

    def write(self, batch: MapBatch) -> None:
        """Write one batch: ``(H, W)`` where there is one step, else ``(T, H, W)``; unreadable images are left out."""
        for position, index in enumerate(batch.indices.tolist()):
            if index in batch.unreadable:
                continue
            path = score_map_file(self.folder, self.ground_truth.image_ids[index])
            path.parent.mkdir(parents=True, exist_ok=True)
            maps = batch.score_maps[:, position]
            np.save(path, maps[0] if len(maps) == 1 else maps)

"""Score maps of every computation step from a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, default_collate

import tdam
from eval.maps.inference import Forward
from eval.maps.source import MapBatch, OnError
from tdam.errors import check_name
from wsol.cam import BatchMaps, ClassActivationMaps
from wsol.data import ImageError, LocalizationDataset
from wsol.data.waiting import WaitingClock
from wsol.data.workers import from_workers
from wsol.networks.wrappers import unwrap
from wsol.opening import TrainedNetwork
from wsol.scoremap import has_contrast, score_maps

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


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
        method: Map method, see `wsol.map_methods`.
        scope: Which stages take a step's count, see `wsol.class_activation_maps`.
        forward: Computes all steps of a batch (`eval.maps.inference.compiled_steps`); None: `tdam.forward_steps`.
        on_error: "stop" raises at an unreadable image, "count" reports it and gives zeros for it.
        map_interpolation: How maps are enlarged, see `wsol.score_maps`.
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
    map_interpolation: str = "bicubic"
    clock: WaitingClock[Any] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        check_name("precision", self.precision, PRECISIONS)

    @property
    def steps(self) -> int:
        """Number of computation steps T."""
        return tdam.num_steps(unwrap(self.network.model))

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
        for (batch,) in self.batches_of((self.method,), indices):
            yield batch

    def batches_of(self, methods: Sequence[str], indices: Sequence[int]) -> Iterator[tuple[MapBatch, ...]]:
        """The same of several map methods, which share images and, where they can, the forward pass.

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
        self.clock = WaitingClock(from_workers(loader))
        for images, labels, read, unreadable in self.clock:
            if unreadable and self.on_error == "stop":
                raise ImageError(f"{next(iter(unreadable.values()))}; --on-error count counts such images as misses")
            if images is None:
                yield (self._batch(None, None, read, unreadable),) * len(methods)
                continue
            images, labels = images.to(self.device, non_blocking=True), labels.to(self.device)
            with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
                maps = self._maps(model, images, methods)
                cams = [(maps.of(method, labels), maps.of(method)) for method in methods]
            yield tuple(self._batch(*of_method, read, unreadable) for of_method in cams)

    def _maps(self, model: nn.Module, images: torch.Tensor, methods: Sequence[str]) -> BatchMaps:
        """One reading of a batch for maps of the labels and of the predictions."""
        outputs = None
        if self.forward is not None:
            with torch.no_grad():
                outputs = self.forward(images)
        return BatchMaps(
            model,
            images,
            methods,
            self.scope,
            feature_layer=self.network.feature_layer,
            classifier=self.network.classifier,
            outputs=outputs,
        )

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
        maps = score_maps(raw, self.map_size, self.map_interpolation)
        predicted = maps.copy()
        wrong = (of_labels.class_ids != of_predictions.class_ids).cpu().numpy()
        predicted[wrong] = score_maps(raw_predicted[wrong], self.map_size, self.map_interpolation)
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

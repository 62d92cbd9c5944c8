"""Score maps of every computation step from a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

import tdam
from eval.maps.images import ImageBatch, image_batches
from eval.maps.inference import Forward
from eval.maps.source import MapBatch, MapSource, OnError, UnfinishedBatches
from tdam.errors import check_name
from wsol.cam import BatchMaps, ClassActivationMaps
from wsol.data import ImageError, LocalizationDataset
from wsol.data.waiting import WaitingClock
from wsol.networks import as_input
from wsol.networks.wrappers import unwrap
from wsol.opening import TrainedNetwork
from wsol.scoremap import has_contrast, score_maps

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class RawBatch:
    """What a network says of a batch, copied from its device while that goes on with the next batch.

    Args:
        images: The images it is of.
        of_labels: Maps of the labels; None if no image could be read.
        of_predictions: Maps of each step's own top class; likewise.
    """

    def __init__(
        self, images: ImageBatch, of_labels: ClassActivationMaps | None, of_predictions: ClassActivationMaps | None
    ) -> None:
        self.read, self.unreadable = images.read, images.unreadable
        self._tensors: list[Tensor] = []
        self._arrived: torch.cuda.Event | None = None
        if of_labels is None or of_predictions is None:
            return
        wrong = of_labels.class_ids != of_predictions.class_ids
        tensors = (of_labels.maps, of_predictions.maps, of_labels.logits.float(), wrong)
        is_cuda = of_labels.maps.is_cuda
        self._tensors = [tensor.detach().to("cpu", non_blocking=is_cuda) for tensor in tensors]
        if is_cuda:
            self._arrived = torch.cuda.Event()
            self._arrived.record()

    def arrays(self) -> list[npt.NDArray[Any]]:
        """Raw maps of labels and of predictions, logits, and where the classes differ; waits for the device.

        Empty if no image could be read.
        """
        if self._arrived is not None:
            self._arrived.synchronize()
        return [tensor.numpy() for tensor in self._tensors]


@dataclass
class NetworkMaps:
    """Score maps of the ground-truth class of every step, from a network.

    Attributes:
        network: Network with trained weights.
        dataset: Gives ``(image tensor (3, H, W), label, index)``; a `wsol.data.LocalizationDataset`.
        batch_size: Images per forward pass.
        workers: Processes that read images; 0 reads in threads of this one.
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
        for finish in self.unfinished((self.method,), indices):
            (batch,) = finish()
            yield batch

    def unfinished(self, methods: Sequence[str], indices: Sequence[int]) -> UnfinishedBatches:
        """The same of several map methods, which share images and, where they can, the forward pass.

        Yields:
            Functions that make the score maps of a batch, one `MapBatch` per method. The network is done with the
            batch by then, so that another thread may call them.

        Raises:
            ImageError: If an image cannot be read and `on_error` is "stop".
        """
        model = self.network.model.to(self.device)
        pinned = self.device.type == "cuda"
        self.clock = WaitingClock(image_batches(self.dataset, indices, self.batch_size, self.workers, pinned))
        for images in self.clock:
            if images.unreadable and self.on_error == "stop":
                fault = next(iter(images.unreadable.values()))
                raise ImageError(f"{fault}; --on-error count counts such images as misses")
            yield partial(self._finish, self._raw_batches(model, images, methods))

    def _finish(self, raw: Sequence[RawBatch]) -> tuple[MapBatch, ...]:
        return tuple(self._batch(of_method) for of_method in raw)

    def _raw_batches(self, model: nn.Module, images: ImageBatch, methods: Sequence[str]) -> list[RawBatch]:
        """One reading of a batch for the maps of all methods; what it took is freed on return."""
        if images.images is None:
            return [RawBatch(images, None, None) for _ in methods]
        dtype = PRECISIONS[self.precision]
        on_device = as_input(model, images.images)
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
            maps = self._maps(model, on_device, methods)
            return [RawBatch(images, maps.of(method, images.labels), maps.of(method)) for method in methods]

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

    def _batch(self, raw: RawBatch) -> MapBatch:
        """Join what was read with zeros for what was not; the unreadable images come last."""
        steps, missing, classes = self.steps, len(raw.unreadable), self.network.num_classes
        zero_maps = np.zeros((steps, missing, *self.map_size), np.float32)
        zero_logits, no_flags = np.zeros((steps, missing, classes), np.float32), np.zeros((steps, missing), np.bool_)
        indices = np.array([*raw.read, *raw.unreadable], dtype=np.int64)
        if not raw.read:
            zero_cams = np.zeros((steps, missing, 1, 1), np.float32)
            return MapBatch(indices, zero_maps, zero_maps, zero_cams, zero_logits, no_flags, raw.unreadable)
        cams, predicted_cams, logits, wrong = raw.arrays()
        maps = score_maps(cams, self.map_size, self.map_interpolation)
        predicted = maps.copy()
        predicted[wrong] = score_maps(predicted_cams[wrong], self.map_size, self.map_interpolation)
        degenerate = np.array([[not has_contrast(one) for one in of_step] for of_step in cams])
        return MapBatch(
            indices=indices,
            score_maps=_joined(maps, zero_maps),
            predicted_maps=_joined(predicted, zero_maps),
            predicted_cams=np.pad(predicted_cams, ((0, 0), (0, missing), (0, 0), (0, 0))),
            logits=_joined(logits, zero_logits),
            degenerate=_joined(degenerate, no_flags),
            unreadable=raw.unreadable,
        )


def _joined(read: npt.NDArray[Any], zeros: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """What was read, followed by zeros for the images that were not; without such images no copy."""
    return np.concatenate([read, zeros], axis=1) if zeros.shape[1] else read


def batches_of(source: MapSource, indices: Sequence[int], methods: Sequence[str] = ()) -> UnfinishedBatches:
    """Batches of a source's maps at `indices`, of several map methods where it is a network.

    Args:
        source: Where the maps come from.
        indices: Positions in the split.
        methods: Map methods of a network; default: its own.
    """
    if isinstance(source, NetworkMaps):
        yield from source.unfinished(methods or (source.method,), indices)
        return
    for batch in source.batches(indices):
        yield partial(tuple, (batch,))

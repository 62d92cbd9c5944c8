"""The one entry object: photographs in, boxes of every step out.

localizer = wsol.Localizer("resnet_mini_tdam")
for found in localizer(["a.jpg", "b.jpg"]):
    print(found.path, [(step.label, step.box) for step in found.steps])
wsol.Localizer(torchvision.models.resnet50(weights="DEFAULT"))("a.jpg", top_k=3)       # any classifier
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from numbers import Integral, Real
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from tdam.devices import open_device
from tdam.errors import UsageError, UserError, check_name
from wsol.boxes import BOX_RULES, BoxRule, boxes_from_score_map, scale_boxes
from wsol.boxes.regions import NMS_IOU, regions_from_score_map
from wsol.cam import ClassActivationMaps, maps_of_methods
from wsol.class_names import number_of_class
from wsol.data.errors import ImageError
from wsol.data.view import WHOLE, View, view_of
from wsol.localization import ClassScore, Localization, StepLocalization
from wsol.maps import find_method
from wsol.networks.wrappers import makes_own_maps, unwrap
from wsol.opening import ModelSource, TrainedNetwork, open_network
from wsol.photographs.sources import ImageSource, as_image
from wsol.photographs.videos import video_frames
from wsol.scoremap import score_maps

TOP_CLASSES = 5

__all__ = ["ClassScore", "ImageSource", "Localization", "Localizer", "StepLocalization"]


class Localizer:
    """Localizes what it sees in images, at every computation step.

    Args:
        model: A registered name, a checkpoint file, a name on a hub, "package.module:function", any module that
            classifies, or an opened `TrainedNetwork`; see `wsol.open_network`.
        checkpoint: Weights to load; None finds trained ones for a registered name.
        threshold: Share of a map's maximum above which a pixel belongs to the object.
        method: Map method, a name of `wsol.map_methods()`; or several, which share one forward pass wherever they can.
        device: Torch device.
        batch_size: Images per forward pass.
        transform: From a PIL image to the tensor that the network sees; the boxes follow a crop that it makes.
        class_names: Readable names of all classes.
        input_size: Side or (height, width) of the network's input in pixels.
        feature_layer: Module whose output is pooled, instead of the one found.
        classifier: The linear layer that classifies, instead of the one found.
        layers: Modules to make the maps in, for methods of gradients.
        rule: "largest": one box around the largest contour; "all": every contour, with scores, in `regions`.
        nms_iou: Of several boxes, one that overlaps a better one by more is left out.
        model_args: Arguments of "package.module:function".

    Raises:
        UserError: If the network or the method is unknown, or no trained weights are found.
    """

    def __init__(
        self,
        model: ModelSource,
        checkpoint: str | os.PathLike[str] | None = None,
        threshold: float = 0.2,
        method: str | Sequence[str] = "cam",
        device: str | torch.device = "cpu",
        batch_size: int = 16,
        *,
        transform: Callable[..., Any] | None = None,
        class_names: Sequence[str] | None = None,
        input_size: int | Sequence[int] | None = None,
        feature_layer: str | None = None,
        classifier: str | None = None,
        layers: Sequence[str] = (),
        rule: BoxRule = "largest",
        nms_iou: float = NMS_IOU,
        model_args: Mapping[str, Any] | None = None,
    ) -> None:
        methods = (method,) if isinstance(method, str) else tuple(dict.fromkeys(method))
        if not methods:
            raise UserError("no map method is named: name one, such as cam")
        for name in methods:
            find_method(name)
        check_name("box rule", rule, BOX_RULES)
        _check_numbers(threshold, nms_iou, batch_size)
        self.device = open_device(device)
        self.network: TrainedNetwork = open_network(
            model,
            checkpoint,
            model_args=model_args,
            transform=transform,
            class_names=class_names,
            input_size=input_size,
            feature_layer=feature_layer,
            classifier=classifier,
        )
        self.network.model.to(self.device)
        self.threshold = threshold
        self.methods = methods
        self.batch_size = batch_size
        self.layers = (layers,) if isinstance(layers, str) else tuple(layers)
        self.rule: BoxRule = rule
        self.nms_iou = nms_iou
        self._transform = self.network.image_transform()
        self._views: dict[tuple[int, int], View] = {}

    def __call__(
        self,
        images: Iterable[ImageSource] | ImageSource,
        class_id: int | str | None = None,
        top_k: int | None = None,
    ) -> list[Localization]:
        """Localize images: paths, PIL images, arrays ``(H, W, 3)`` or tensors ``(3, H, W)``.

        Args:
            images: One image or several.
            class_id: The class to look for in all of them, by number or name; None takes each step's own top class.
            top_k: Also give maps and boxes of each image's k most probable classes, in `Localization.by_class`.

        Raises:
            ImageError: If a file is not a readable image; the message names it.
            UserError: If there is no such class.
        """
        several = [images] if _is_one(images) else images
        if not isinstance(several, Iterable):
            raise ImageError(f"images must be paths, PIL images, arrays or tensors, not {type(images).__name__}")
        return list(self.stream(cast(Iterable[ImageSource], several), class_id, top_k))

    def stream(
        self, images: Iterable[ImageSource], class_id: int | str | None = None, top_k: int | None = None
    ) -> Iterator[Localization]:
        """Localize one batch after another, so that any number of images needs the memory of one batch."""
        wanted = None if class_id is None else self.class_number(class_id)
        if top_k is not None and not (isinstance(top_k, Integral) and 1 <= top_k <= self.network.num_classes):
            raise UserError(f"top_k must be a whole number in [1, {self.network.num_classes}], got {top_k}")
        remaining = iter(images)
        while sources := tuple(islice(remaining, self.batch_size)):
            yield from self._localize_batch(sources, wanted, top_k)

    def video(
        self, path: str | os.PathLike[str], class_id: int | str | None = None, top_k: int | None = None, every: int = 1
    ) -> Iterator[Localization]:
        """Localize a video frame by frame; any length needs the memory of one batch.

        Args:
            path: A video in any format that OpenCV reads.
            class_id: See `__call__`, as `top_k`.
            top_k: As above.
            every: Take each so many-th frame, the first one first.

        Yields:
            One result per frame in order, with `frame` and `seconds`.

        Raises:
            ImageError: If the file is missing or no video.
            UserError: If there is no such class.
        """
        remaining = video_frames(path, every)
        while batch := tuple(islice(remaining, self.batch_size)):
            found = self([frame.image for frame in batch], class_id, top_k)
            for frame, one in zip(batch, found, strict=True):
                yield replace(one, path=Path(path), frame=frame.number, seconds=frame.seconds)

    def class_number(self, name: int | str) -> int:
        """The number of a class, given by number or by name.

        Raises:
            UserError: If there is none.
        """
        return number_of_class(name, self.network.class_names, self.network.num_classes, self.network.name)

    def _localize_batch(
        self, sources: Sequence[ImageSource], class_id: int | None, top_k: int | None
    ) -> Iterator[Localization]:
        pictures = [as_image(source) for source in sources]
        inputs = torch.stack([self._transform(picture) for picture in pictures]).to(self.device)
        wanted = None if class_id is None else torch.full((len(pictures),), class_id)
        cams = self._cams(inputs, wanted, self.methods)
        per_class = []
        if top_k is not None:
            ranked = cams[0].logits[-1].topk(top_k, dim=-1).indices
            per_class = [self._cams(inputs, ranked[:, rank], self.methods[:1])[0] for rank in range(top_k)]
        of_methods, of_classes = (
            [self._steps(one, inputs.shape[-2:], pictures) for one in several] for several in (cams, per_class)
        )
        for index, (source, picture) in enumerate(zip(sources, pictures, strict=True)):
            steps = {name: found[index] for name, found in zip(self.methods, of_methods, strict=True)}
            path = Path(source) if isinstance(source, str | os.PathLike) else None
            yield Localization(
                path,
                picture,
                steps[self.methods[0]],
                self.network.name,
                tuple(found[index] for found in of_classes),
                steps if len(steps) > 1 else {},
            )

    def _cams(
        self, inputs: torch.Tensor, class_ids: torch.Tensor | None, methods: Sequence[str]
    ) -> list[ClassActivationMaps]:
        return maps_of_methods(
            self.network.model,
            inputs,
            class_ids,
            methods,
            layers=self.layers,
            feature_layer=self.network.feature_layer,
            classifier=self.network.classifier,
        )

    def _steps(
        self, cams: ClassActivationMaps, size: Sequence[int], pictures: Sequence[Image.Image]
    ) -> list[tuple[StepLocalization, ...]]:
        """What every step says of every image."""
        maps = score_maps(cams.maps, size=(size[0], size[1]))
        probabilities = self._probabilities(cams.logits.float()).cpu()
        class_ids = cams.class_ids.tolist()
        return [
            tuple(
                self._step(step, class_ids[step][index], probabilities[step, index], maps[step, index], picture.size)
                for step in range(len(maps))
            )
            for index, picture in enumerate(pictures)
        ]

    def _probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Of logits ``(…, C)``: by the sigmoid where classes do not exclude each other, or there is one alone."""
        own_maps = makes_own_maps(unwrap(self.network.model))
        independent = not own_maps and self.network.structure().activation == "sigmoid"
        return logits.sigmoid() if independent or logits.shape[-1] == 1 else logits.softmax(dim=-1)

    def _view(self, image_size: tuple[int, int]) -> View:
        """The part of images of a size that the network sees."""
        if self.network.transform is None:
            return WHOLE
        if image_size not in self._views:
            self._views[image_size] = view_of(self._transform, image_size)
        return self._views[image_size]

    def _step(
        self,
        step: int,
        class_id: int,
        probabilities: torch.Tensor,
        seen_map: npt.NDArray[np.float32],
        image_size: tuple[int, int],
    ) -> StepLocalization:
        score_map = self._view(image_size).in_frame(seen_map)
        (box,) = boxes_from_score_map(score_map, self.threshold)
        height, width = score_map.shape
        top = probabilities.topk(min(TOP_CLASSES, len(probabilities)))
        probability = float(probabilities[class_id])
        return StepLocalization(
            step=step + 1,
            class_id=class_id,
            label=self._label(class_id),
            score=probability,
            box=scale_boxes(box, (width, height), image_size),
            score_map=score_map,
            top=tuple(
                ClassScore(number, self._label(number), score)
                for number, score in zip(top.indices.tolist(), top.values.tolist(), strict=True)
            ),
            threshold=self.threshold,
            regions=regions_from_score_map(score_map, image_size, self.threshold, self.rule, probability, self.nms_iou),
        )

    def _label(self, class_id: int) -> str:
        names = self.network.class_names
        return names[class_id] if names else f"class {class_id}"


def _check_numbers(threshold: object, nms_iou: object, batch_size: object) -> None:
    if not (isinstance(threshold, Real) and 0 <= float(threshold) < 1):
        raise UsageError(f"threshold must be a number in [0, 1), got {threshold!r}")
    if not (isinstance(nms_iou, Real) and 0 <= float(nms_iou) <= 1):
        raise UsageError(f"nms_iou must be a number in [0, 1], got {nms_iou!r}")
    if not (isinstance(batch_size, Integral) and int(batch_size) >= 1):
        raise UsageError(f"batch_size must be a whole number of at least 1, got {batch_size!r}")


def _is_one(images: object) -> bool:
    if isinstance(images, np.ndarray | torch.Tensor):
        return images.ndim <= 3
    return isinstance(images, str | bytes | os.PathLike | Image.Image)

"""The one entry object: photographs in, boxes of every step out.

localizer = wsol.Localizer("resnet_mini_tdam")
for found in localizer(["a.jpg", "b.jpg"]):
    print(found.path, [(step.label, step.box) for step in found.steps])
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from tdam.devices import open_device
from wsol.boxes import boxes_from_score_map, scale_boxes
from wsol.cam import class_activation_maps
from wsol.data.transforms import evaluation_transform
from wsol.localization import ClassScore, Localization, StepLocalization
from wsol.networks import TrainedNetwork, open_trained
from wsol.photographs import open_image
from wsol.scoremap import score_maps

TOP_CLASSES = 5

ImageSource = str | os.PathLike[str] | Image.Image


__all__ = ["ClassScore", "ImageSource", "Localization", "Localizer", "StepLocalization"]


class Localizer:
    """Localizes what it sees in image files, at every computation step.

    Args:
        model: Registered name of a network, or an opened `TrainedNetwork`.
        checkpoint: Weights to load; None finds trained ones (see `wsol.networks.trained`).
        threshold: Share of a map's maximum above which a pixel belongs to the object.
        method: Map method, see `wsol.map_methods`.
        device: Torch device.
        batch_size: Images per forward pass.

    Raises:
        UserError: If the network or the method is unknown, or no trained weights are found.
    """

    def __init__(
        self,
        model: str | TrainedNetwork,
        checkpoint: str | os.PathLike[str] | None = None,
        threshold: float = 0.2,
        method: str = "cam",
        device: str | torch.device = "cpu",
        batch_size: int = 16,
    ) -> None:
        self.device = open_device(device)
        self.network = open_trained(model, checkpoint=checkpoint) if isinstance(model, str) else model
        self.network.model.to(self.device)
        self.threshold = threshold
        self.method = method
        self.batch_size = batch_size
        self._transform = evaluation_transform(
            self.network.input_size,
            mean=self.network.preprocessing["mean"],
            std=self.network.preprocessing["std"],
        )

    def __call__(self, images: Sequence[ImageSource] | ImageSource, class_id: int | None = None) -> list[Localization]:
        """Localize images given by path or as PIL images.

        Args:
            images: One image or several.
            class_id: The class to look for in all of them; None takes each step's own top class.

        Raises:
            ImageError: If a file is not a readable image; the message names it.
            ValueError: If the network has no such class.
        """
        if isinstance(images, str | os.PathLike | Image.Image):
            images = [images]
        return list(self.stream(images, class_id))

    def stream(self, images: Iterable[ImageSource], class_id: int | None = None) -> Iterator[Localization]:
        """Localize one batch after another, so that any number of images needs the memory of one batch."""
        remaining = iter(images)
        while sources := tuple(islice(remaining, self.batch_size)):
            yield from self._localize_batch(sources, class_id)

    def _localize_batch(self, sources: Sequence[ImageSource], class_id: int | None) -> Iterator[Localization]:
        pictures = [open_image(source) for source in sources]
        inputs = torch.stack([self._transform(picture) for picture in pictures]).to(self.device)
        wanted = None if class_id is None else torch.full((len(pictures),), class_id)
        cams = class_activation_maps(self.network.model, inputs, wanted, method=self.method)
        maps = score_maps(cams.maps, size=self.network.input_size)
        probabilities = cams.logits.float().softmax(dim=-1).cpu()
        class_ids = cams.class_ids.tolist()
        for index, (source, picture) in enumerate(zip(sources, pictures, strict=True)):
            steps = tuple(
                self._step(step, class_ids[step][index], probabilities[step, index], maps[step, index], picture.size)
                for step in range(len(maps))
            )
            path = None if isinstance(source, Image.Image) else Path(source)
            yield Localization(path, picture, steps, self.network.name)

    def _step(
        self,
        step: int,
        class_id: int,
        probabilities: torch.Tensor,
        score_map: npt.NDArray[np.float32],
        image_size: tuple[int, int],
    ) -> StepLocalization:
        (box,) = boxes_from_score_map(score_map, self.threshold)
        height, width = score_map.shape
        top = probabilities.topk(min(TOP_CLASSES, len(probabilities)))
        return StepLocalization(
            step=step + 1,
            class_id=class_id,
            label=self._label(class_id),
            score=float(probabilities[class_id]),
            box=scale_boxes(box, (width, height), image_size),
            score_map=score_map,
            top=tuple(
                ClassScore(number, self._label(number), score)
                for number, score in zip(top.indices.tolist(), top.values.tolist(), strict=True)
            ),
            threshold=self.threshold,
        )

    def _label(self, class_id: int) -> str:
        names = self.network.class_names
        return names[class_id] if names else f"class {class_id}"

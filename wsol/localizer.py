"""The one entry object: photographs in, boxes of every step out.

localizer = wsol.Localizer("resnet_mini_tdam")
for found in localizer(["a.jpg", "b.jpg"]):
    print(found.path, [(step.label, step.box) for step in found.steps])
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from wsol.boxes import boxes_from_score_map, scale_boxes
from wsol.cam import class_activation_maps
from wsol.data.transforms import evaluation_transform
from wsol.photographs import open_image
from wsol.scoremap import score_maps
from wsol.weights import TrainedNetwork, open_trained

ImageSource = str | os.PathLike[str] | Image.Image


@dataclass(frozen=True)
class StepLocalization:
    """What one computation step says.

    Attributes:
        step: Number of the step, from 1.
        class_id: The step's own top class.
        label: Readable name of that class.
        score: Softmax probability of that class.
        box: ``(4,)`` int64 ``x0 y0 x1 y1`` in pixels of the original image.
        score_map: Float32 ``(H, W)`` in [0, 1] at the network's input size; it covers the whole image.
    """

    step: int
    class_id: int
    label: str
    score: float
    box: npt.NDArray[np.int64]
    score_map: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Localization:
    """What a network says of one image, step by step.

    Attributes:
        path: File of the image, None for an image given as an object.
        image: The image in RGB, in its original frame.
        steps: One result per computation step; the last one is the network's answer.
    """

    path: Path | None
    image: Image.Image
    steps: tuple[StepLocalization, ...]

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height of the original image in pixels."""
        return self.image.size

    def _repr_png_(self) -> bytes:
        """The steps as a picture, which notebooks show."""
        from wsol.draw import png_bytes, step_figure

        return png_bytes(step_figure(self))


class Localizer:
    """Localizes what it sees in image files, at every computation step.

    Args:
        model: Registered name of a network, or an opened `TrainedNetwork`.
        checkpoint: Weights to load; None finds trained ones (see `wsol.weights`).
        threshold: Share of a map's maximum above which a pixel belongs to the object.
        method: Map method, see `wsol.cam_methods.CAM_METHODS`.
        device: Torch device.
        batch_size: Images per forward pass.

    Raises:
        UserError: If the network, its weights or the method are not to be had.
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
        self.network = open_trained(model, checkpoint=checkpoint) if isinstance(model, str) else model
        self.network.model.to(device)
        self.threshold = threshold
        self.method = method
        self.device = torch.device(device)
        self.batch_size = batch_size
        self._transform = evaluation_transform(
            self.network.input_size,
            mean=self.network.preprocessing["mean"],
            std=self.network.preprocessing["std"],
        )

    def __call__(self, images: Sequence[ImageSource] | ImageSource) -> list[Localization]:
        """Localize images given by path or as PIL images.

        Raises:
            ImageError: If a file is not a readable image; the message names it.
        """
        if isinstance(images, str | os.PathLike | Image.Image):
            images = [images]
        return list(self.stream(images))

    def stream(self, images: Iterable[ImageSource]) -> Iterator[Localization]:
        """Localize one batch after another, so that any number of images needs the memory of one batch."""
        remaining = iter(images)
        while sources := tuple(islice(remaining, self.batch_size)):
            yield from self._localize_batch(sources)

    def _localize_batch(self, sources: Sequence[ImageSource]) -> Iterator[Localization]:
        pictures = [
            source.convert("RGB") if isinstance(source, Image.Image) else open_image(source) for source in sources
        ]
        inputs = torch.stack([self._transform(picture) for picture in pictures]).to(self.device)
        cams = class_activation_maps(self.network.model, inputs, method=self.method)
        maps = score_maps(cams.maps, size=self.network.input_size)
        probabilities = cams.logits.float().softmax(dim=-1).max(dim=-1).values.cpu().numpy()
        class_ids = cams.class_ids.cpu().numpy()
        for index, (source, picture) in enumerate(zip(sources, pictures, strict=True)):
            steps = tuple(
                self._step(step, class_ids[step, index], probabilities[step, index], maps[step, index], picture.size)
                for step in range(len(maps))
            )
            path = None if isinstance(source, Image.Image) else Path(source)
            yield Localization(path, picture, steps)

    def _step(
        self,
        step: int,
        class_id: int,
        score: float,
        score_map: npt.NDArray[np.float32],
        image_size: tuple[int, int],
    ) -> StepLocalization:
        (box,) = boxes_from_score_map(score_map, self.threshold)
        height, width = score_map.shape
        names = self.network.class_names
        return StepLocalization(
            step=step + 1,
            class_id=int(class_id),
            label=names[class_id] if names else f"class {class_id}",
            score=float(score),
            box=scale_boxes(box, (width, height), image_size),
            score_map=score_map,
        )

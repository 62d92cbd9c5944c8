"""What a network says of one image: plain results, step by step, without a network or a dataset behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from wsol.boxes.regions import Region, foreground_mask


@dataclass(frozen=True)
class ClassScore:
    """A class and how sure a step is of it.

    Attributes:
        class_id: Number of the class.
        label: Readable name of the class.
        score: Softmax probability.
    """

    class_id: int
    label: str
    score: float


@dataclass(frozen=True)
class StepLocalization:
    """What one computation step says.

    Attributes:
        step: Number of the step, from 1.
        class_id: Class of the map: the step's own top class, unless another was asked for.
        label: Readable name of that class.
        score: Softmax probability of that class.
        box: ``(4,)`` int64 ``x0 y0 x1 y1`` in pixels of the original image.
        score_map: Float32 ``(H, W)`` in [0, 1] at the network's input size; it covers the whole image.
        top: The step's most probable classes, the first one first; empty where only one is known.
        threshold: Share of the map's maximum above which a pixel belongs to the object, which gave the box; None
            where it is not known.
        regions: All boxes asked for, with scores, best first; with the rule "largest" the one box.
    """

    step: int
    class_id: int
    label: str
    score: float
    box: npt.NDArray[np.int64]
    score_map: npt.NDArray[np.float32]
    top: tuple[ClassScore, ...] = ()
    threshold: float | None = None
    regions: tuple[Region, ...] = ()

    def mask(self, image_size: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """Pixels of an image of this width and height that belong to the object, ``(height, width)``."""
        return foreground_mask(self.score_map, image_size, 0.2 if self.threshold is None else self.threshold)


@dataclass(frozen=True)
class Localization:
    """What a network says of one image, step by step.

    Attributes:
        path: File of the image, None for an image given as an object.
        image: The image in RGB, in its original frame.
        steps: One result per computation step; the last one is the network's answer.
        network: Name of the network, empty where it is not known.
        by_class: Where the top k classes were asked for: the steps once more for each of the last step's k most
            probable classes, most probable first; else empty.
        by_method: Where several map methods were asked for: the steps by each of them, in the order asked; else empty.
            `steps` are the first method's.
        frame: Number of the frame, from 0, of an image that is one of a video.
        seconds: Its time in the video.
    """

    path: Path | None
    image: Image.Image
    steps: tuple[StepLocalization, ...]
    network: str = ""
    by_class: tuple[tuple[StepLocalization, ...], ...] = ()
    by_method: Mapping[str, tuple[StepLocalization, ...]] = field(default_factory=dict)
    frame: int | None = None
    seconds: float | None = None

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height of the original image in pixels."""
        return self.image.size

    def methods(self) -> dict[str, Localization]:
        """The image as each of several map methods sees it; empty where one was asked for."""
        return {name: replace(self, steps=steps, by_method={}) for name, steps in self.by_method.items()}

    def _repr_png_(self) -> bytes:
        """The steps as a picture, which notebooks show."""
        from wsol.draw import method_figure, png_bytes, step_figure

        return png_bytes(method_figure(self.methods()) if self.by_method else step_figure(self))

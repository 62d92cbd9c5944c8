"""What the figures need to know of a result. `wsol.Localization` has it; so may the results of another program."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image


class DrawableStep(Protocol):
    """One computation step of one image, see `wsol.StepLocalization`."""

    @property
    def step(self) -> int:
        """Number of the step, from 1."""

    @property
    def label(self) -> str:
        """Name of the class of the map."""

    @property
    def score(self) -> float:
        """Probability of that class, NaN where it is not known."""

    @property
    def box(self) -> npt.NDArray[np.int64]:
        """``(4,)`` x0 y0 x1 y1 in pixels of the image."""

    @property
    def score_map(self) -> npt.NDArray[np.float32]:
        """``(H, W)`` scores in [0, 1] that span the whole image."""

    @property
    def threshold(self) -> float | None:
        """Share of the map's maximum that gave the box, if known."""


class Drawable(Protocol):
    """One image with its steps, see `wsol.Localization`."""

    @property
    def path(self) -> Path | None:
        """File of the image, if it has one."""

    @property
    def image(self) -> Image.Image:
        """The image."""

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height of the image in pixels."""

    @property
    def steps(self) -> Sequence[DrawableStep]:
        """The steps in order."""

    @property
    def network(self) -> str:
        """Name of the network, or an empty text."""

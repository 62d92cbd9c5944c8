"""Which part of an image a transform shows, so that boxes of a cropped image find their place in the whole one."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from tdam.errors import UserError

WHOLE_WITHIN = 0.02  # share of a side that interpolation may blur


class View(NamedTuple):
    """The part of an image that a transform shows, in shares of the image's width and height."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole image."""
        return max(abs(self.x0), abs(self.y0), abs(1 - self.x1), abs(1 - self.y1)) < WHOLE_WITHIN

    def in_frame(self, score_map: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """A map of this part as a map of the whole image, zeros outside; of the whole, as it is."""
        if self.is_whole:
            return score_map
        height, width = score_map.shape
        rows, columns = round(height / (self.y1 - self.y0)), round(width / (self.x1 - self.x0))
        top, left = round(self.y0 * rows), round(self.x0 * columns)
        frame = np.zeros((max(rows, top + height), max(columns, left + width)), np.float32)
        frame[top : top + height, left : left + width] = score_map
        return frame


WHOLE = View(0.0, 0.0, 1.0, 1.0)


def view_of(transform: Callable[[Image.Image], Tensor], size: tuple[int, int]) -> View:
    """The part of images of a size that a transform shows, found by transforming ramps.

    Args:
        transform: From a PIL image to ``(3, H, W)``, such as a resize, a centre crop and a normalization.
        size: Width and height of the image.

    Raises:
        UserError: If the transform flips the image, or shows nothing of its place.
    """
    width, height = size
    across = np.broadcast_to(np.linspace(0, 255, width), (height, width))
    down = np.broadcast_to(np.linspace(0, 255, height)[:, None], (height, width))
    black, white = (transform(Image.new("RGB", size, (level,) * 3)).float() for level in (0, 255))
    if not bool((white > black).all()):
        raise UserError("transform= hides the brightness of the image, so its part of the image is not known")
    shares = []
    for ramp, axis in ((across, 2), (down, 1)):
        picture = Image.fromarray(np.repeat(ramp.round().astype(np.uint8)[..., None], 3, axis=2))
        shown = ((transform(picture).float() - black) / (white - black)).mean(0)
        along = shown.mean(axis % 2)
        shares.append(_ends(along))
    (x0, x1), (y0, y1) = shares
    if x1 <= x0 or y1 <= y0:
        raise UserError("transform= flips the image: its boxes would be on the wrong side")
    return View(x0, y0, x1, y1)


def _ends(along: Tensor) -> tuple[float, float]:
    """Where a side begins and ends, from the ramp at the centres of its pixels."""
    count = len(along)
    if count < 4:
        return 0.0, 1.0
    # The middle half is free of what interpolation does at borders.
    inner = torch.arange(count // 4, count - count // 4)
    places = (inner + 0.5) / count
    values = along[inner]
    slope = ((places - places.mean()) * (values - values.mean())).sum() / (places - places.mean()).square().sum()
    start = float(values.mean() - slope * places.mean())
    return start, start + float(slope)

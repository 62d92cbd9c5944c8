"""Painting polygons with exact edges.

They are painted on a raster 4 times finer than the picture, whose pixels hold the number of the part on top; colours
come from a palette, and averaging 4 x 4 pixels gives smooth edges and each part's exact share of a pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np

FINE = 4  # fine pixels per picture pixel and axis
WHOLE = 15 * FINE * FINE  # a painted fine pixel; a mean of FINE x FINE of them is exact in 8 bits
SUBPIXEL_BITS = 4  # fixed-point bits of OpenCV's polygon coordinates

Points = np.ndarray  # (K, 2) float64, x to the right, y down


@dataclass
class Layer:
    """Polygons painted over one another on the fine raster.

    Attributes:
        size: Side of the picture in pixels.
        top: (FINE size, FINE size) uint8, number of the part on top, 0 where nothing is.
        palette: Colour of each part; entry 0 is unused.
    """

    size: int
    top: np.ndarray = field(init=False)
    palette: list[np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        self.top = np.zeros((self.size * FINE, self.size * FINE), dtype=np.uint8)
        self.palette = [np.zeros(3)]

    def paint(self, points: Points, colour: np.ndarray, within: int | None = None) -> int:
        """Paint a polygon, only over the part `within` if given, and return its part number."""
        part = len(self.palette)
        self.palette.append(np.clip(colour, 0, 255))
        fixed = np.round(points * (FINE << SUBPIXEL_BITS)).astype(np.int32)
        if within is None:
            cv2.fillPoly(self.top, [fixed], part, shift=SUBPIXEL_BITS)
            return part
        low = np.clip((fixed.min(0) >> SUBPIXEL_BITS) - 1, 0, self.size * FINE)
        high = np.clip((fixed.max(0) >> SUBPIXEL_BITS) + 2, 0, self.size * FINE)
        window = self.top[low[1] : high[1], low[0] : high[0]]
        inside = np.zeros_like(window)
        if inside.size:
            cv2.fillPoly(inside, [fixed - (low << SUBPIXEL_BITS)], 1, shift=SUBPIXEL_BITS)
            window[(inside == 1) & (window == within)] = part
        return part

    def coverage(self) -> np.ndarray:
        """(size, size) float32, share of each pixel that is painted."""
        if len(self.palette) == 1:
            return np.zeros((self.size, self.size), dtype=np.float32)
        painted = (self.top > 0).view(np.uint8) * np.uint8(WHOLE)
        return cv2.resize(painted, (self.size, self.size), interpolation=cv2.INTER_AREA) / np.float32(WHOLE)

    def over(self, image: np.ndarray, shade: np.ndarray | None = None) -> np.ndarray:
        """The layer laid over `image` (size, size, 3) float32; `shade` (size, size, 1) dims its colours."""
        if len(self.palette) == 1:
            return image
        table = np.zeros((256, 1, 3), dtype=np.uint8)
        table[: len(self.palette), 0] = np.round(self.palette)
        colours = cv2.LUT(cv2.merge([self.top] * 3), table)
        colours = cv2.resize(colours, (self.size, self.size), interpolation=cv2.INTER_AREA).astype(np.float32)
        if shade is not None:
            colours *= shade
        return image * (1 - self.coverage()[..., None]) + colours


def ellipse(centre: Points, a: float, b: float, turn: float = 0.0, n: int = 28) -> Points:
    """An ellipse of `n` corners with half axes `a` and `b`, turned by `turn` radians."""
    angle = np.arange(n) * (2 * math.pi / n)
    return np.stack([a * np.cos(angle), b * np.sin(angle)], axis=1) @ rotation(turn).T + centre


def rotation(turn: float) -> np.ndarray:
    """(2, 2) matrix that turns by `turn` radians, clockwise on the picture."""
    cos, sin = math.cos(turn), math.sin(turn)
    return np.array([[cos, -sin], [sin, cos]])


def stroke(start: Points, end: Points, width: float, end_width: float | None = None) -> Points:
    """A straight stroke of `width`, tapering to `end_width`."""
    along = end - start
    across = np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-9) / 2
    last = width if end_width is None else end_width
    return np.array([start + across * width, end + across * last, end - across * last, start - across * width])

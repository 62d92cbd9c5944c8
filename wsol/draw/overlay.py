"""Score maps laid over photographs, as arrays: the picture inside every panel, frame and gallery."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from PIL import Image

from wsol.draw.style import DIFFERENCE_COLOURS, SCORE_COLOURS, rgb

OPACITY: Final = 0.62
"""Opacity of the map. Constant, so that a colour of the colour bar means the same score everywhere."""

_LUMA: Final = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601


def display_image(image: Image.Image, longest: int = 960) -> np.ndarray:
    """An image as float RGB, shrunk for display if it is large.

    Args:
        image: Any PIL image.
        longest: Longest side in pixels.

    Returns:
        `(h, w, 3)` float32 in [0, 1]; the aspect is that of `image`.
    """
    image = image.convert("RGB")
    scale = longest / max(image.size)
    if scale < 1:
        width, height = (max(1, round(side * scale)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(image, dtype=np.float32) / 255


def fit_map(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bring a map to a picture's size without leaving its own range of values.

    Args:
        values: `(H, W)` map.
        height: Height wanted, in pixels.
        width: Width wanted, in pixels.

    Returns:
        `(height, width)` float32. Shrinking averages, enlarging interpolates linearly.
    """
    shrinks = height < values.shape[0] and width < values.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(np.asarray(values, dtype=np.float32), (width, height), interpolation=method)


def pale_grey(image: np.ndarray) -> np.ndarray:
    """The grey picture under a map: hue and saturation then belong to the map alone.

    Args:
        image: `(h, w, 3)` float RGB in [0, 1].

    Returns:
        `(h, w, 3)` float32 grey in [0.15, 1]. Black is lifted so that dark photographs do not
        swallow the low end of the colour map.
    """
    grey = 0.15 + 0.85 * (image @ _LUMA)
    return np.repeat(grey[..., None], 3, axis=-1).astype(np.float32)


def overlay(image: Image.Image | np.ndarray, score_map: np.ndarray) -> np.ndarray:
    """Lay a score map over its image.

    Args:
        image: PIL image, or `(h, w, 3)` float RGB in [0, 1].
        score_map: `(H, W)` scores in [0, 1] that span the whole image, of any size.

    Returns:
        `(h, w, 3)` float32 RGB in [0, 1]: the image in grey under colours of `SCORE_COLOURS`.
    """
    picture = display_image(image) if isinstance(image, Image.Image) else image
    scores = np.clip(fit_map(score_map, *picture.shape[:2]), 0, 1)
    return (1 - OPACITY) * pale_grey(picture) + OPACITY * rgb(SCORE_COLOURS, scores)


def difference_overlay(image: Image.Image | np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Lay the change between two score maps over their image.

    Args:
        image: PIL image, or `(h, w, 3)` float RGB in [0, 1].
        before: `(H, W)` scores in [0, 1] of the earlier step.
        after: `(H, W)` scores in [0, 1] of the later step.

    Returns:
        `(h, w, 3)` float32 RGB in [0, 1]: blue where the score fell, orange where it rose; the
        grey image shows through where nothing changed, as opacity grows with the change.
    """
    picture = display_image(image) if isinstance(image, Image.Image) else image
    change = np.clip(fit_map(after - before, *picture.shape[:2]), -1, 1)
    opacity = (0.9 * np.sqrt(np.abs(change)))[..., None]
    return (1 - opacity) * pale_grey(picture) + opacity * rgb(DIFFERENCE_COLOURS, (change + 1) / 2)

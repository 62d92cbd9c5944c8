"""Score maps laid over photographs, as arrays: the picture inside every panel, frame and gallery."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from matplotlib.colors import ListedColormap, to_rgb
from PIL import Image

from wsol.draw.style import GAINED, LOST, SCORE_COLOURS

OPACITY: Final = 0.8
"""Opacity of the map where the score is 1; it falls with the score, so that the photograph shows where that is low."""

FULL_CHANGE: Final = 0.5
"""Change of score drawn at full strength; greater changes look the same."""

_MID_GREY: Final = 0.5
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


def faded(image: np.ndarray) -> np.ndarray:
    """The picture under a map, with half of its colour taken away: strong colours belong to the map.

    Args:
        image: `(h, w, 3)` float RGB in [0, 1].

    Returns:
        `(h, w, 3)` float32 RGB in [0, 1].
    """
    grey = (image @ _LUMA)[..., None]
    return np.clip(0.5 * image + 0.5 * grey, 0, 1).astype(np.float32)


def overlay(image: Image.Image | np.ndarray, score_map: np.ndarray) -> np.ndarray:
    """Lay a score map over its image.

    Args:
        image: PIL image, or `(h, w, 3)` float RGB in [0, 1].
        score_map: `(H, W)` scores in [0, 1] that span the whole image, of any size.

    Returns:
        `(h, w, 3)` float32 RGB in [0, 1]: the faded image under colours of `SCORE_COLOURS`,
        whose opacity grows with the score.
    """
    picture = display_image(image) if isinstance(image, Image.Image) else image
    return _lay_scores(faded(picture), np.clip(fit_map(score_map, *picture.shape[:2]), 0, 1))


def difference_overlay(image: Image.Image | np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Lay the change between two score maps over their image.

    Args:
        image: PIL image, or `(h, w, 3)` float RGB in [0, 1].
        before: `(H, W)` scores in [0, 1] of the earlier step.
        after: `(H, W)` scores in [0, 1] of the later step.

    Returns:
        `(h, w, 3)` float32 RGB in [0, 1]: `GAINED` where the score rose, `LOST` where it fell; opacity grows
        with the change, so the faded image alone is seen where nothing changed.
    """
    picture = display_image(image) if isinstance(image, Image.Image) else image
    return _lay_change(faded(picture), fit_map(after - before, *picture.shape[:2]))


def score_bar() -> ListedColormap:
    """Colours of scores 0 … 1 as `overlay` shows them on mid-grey, for a colour bar."""
    scores = np.linspace(0, 1, 256, dtype=np.float32)
    return ListedColormap(_lay_scores(np.full((256, 3), _MID_GREY, np.float32), scores))


def change_bar() -> ListedColormap:
    """Colours of changes `-FULL_CHANGE` … `FULL_CHANGE` as `difference_overlay` shows them on mid-grey."""
    change = np.linspace(-FULL_CHANGE, FULL_CHANGE, 255, dtype=np.float32)
    return ListedColormap(_lay_change(np.full((255, 3), _MID_GREY, np.float32), change))


def _lay_scores(picture: np.ndarray, scores: np.ndarray) -> np.ndarray:
    opacity = OPACITY * scores[..., None]
    return (1 - opacity) * picture + opacity * SCORE_COLOURS(scores)[..., :3].astype(np.float32)


def _lay_change(picture: np.ndarray, change: np.ndarray) -> np.ndarray:
    opacity = 0.85 * np.minimum(np.abs(change) / FULL_CHANGE, 1)[..., None]
    colour = np.where(change[..., None] > 0, to_rgb(GAINED), to_rgb(LOST)).astype(np.float32)
    return (1 - opacity) * picture + opacity * colour

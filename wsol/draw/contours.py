"""The outline of the thresholded map, whose bounding box is the predicted box."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wsol.boxes import largest_contour
from wsol.draw.drawable import DrawableStep

TOLERANCE = 1.5


def outline(step: DrawableStep, image_size: tuple[int, int]) -> npt.NDArray[np.float64] | None:
    """The threshold's contour in pixels of the image.

    Args:
        step: A step that knows the threshold of its box.
        image_size: Width and height of the image.

    Returns:
        ``(N, 2)`` corners x y of the closed outline through the centres of the map's pixels; None where the threshold
        is not known, the map has no foreground, or the box is not this contour's bounding box because another rule
        found it.
    """
    if step.threshold is None:
        return None
    contour = largest_contour(np.clip(step.score_map, 0, 1), step.threshold)
    if not len(contour):
        return None
    height, width = step.score_map.shape
    scale = np.array(image_size) / (width, height)
    bounds = np.concatenate([contour.min(axis=0), contour.max(axis=0) + 1]) * np.tile(scale, 2)
    if (np.abs(bounds - step.box) > TOLERANCE * np.tile(np.maximum(scale, 1), 2)).any():
        return None
    return (contour + 0.5) * scale

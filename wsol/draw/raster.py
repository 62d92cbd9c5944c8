"""A step as a plain picture of pixels, for animations and interactive pages: map and box over the image."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor, ImageDraw

from wsol.draw.overlay import display_image, overlay
from wsol.draw.panels import PREDICTED

_SUPERSAMPLING: Final = 2  # lines of a moving box flicker unless drawn finer than shown


def step_picture(
    picture: Image.Image, score_map: npt.NDArray[np.floating], box: npt.ArrayLike, image_size: tuple[int, int]
) -> Image.Image:
    """Lay a score map and a box over a picture.

    Args:
        picture: The image at the size to show it.
        score_map: `(H, W)` scores in [0, 1] that span the whole image.
        box: `(4,)` x0 y0 x1 y1 in pixels of the original image; fractions are welcome, for a box on its way.
        image_size: Width and height of the original image.

    Returns:
        RGB picture of the size of `picture`.
    """
    laid = overlay(display_image(picture, longest=max(picture.size)), score_map)
    frame = Image.fromarray((laid * 255).round().astype(np.uint8))
    return _with_box(frame, np.asarray(box, dtype=np.float64), image_size)


def _with_box(frame: Image.Image, box: npt.NDArray[np.float64], image_size: tuple[int, int]) -> Image.Image:
    fine = frame.resize((frame.width * _SUPERSAMPLING, frame.height * _SUPERSAMPLING), Image.Resampling.NEAREST)
    scale = np.array([fine.width / image_size[0], fine.height / image_size[1]] * 2)
    x0, y0, x1, y1 = (box + np.array([0, 0, 1, 1])) * scale  # both ends belong to the box
    draw = ImageDraw.Draw(fine)
    rim, line = 4 * _SUPERSAMPLING, 2 * _SUPERSAMPLING
    corners = (
        float(np.clip(x0, 0, fine.width - rim)),
        float(np.clip(y0, 0, fine.height - rim)),
        float(np.clip(x1 - 1, rim, fine.width - 1)),
        float(np.clip(y1 - 1, rim, fine.height - 1)),
    )
    if corners[2] <= corners[0] or corners[3] <= corners[1]:
        return frame
    draw.rectangle(corners, outline=(0, 0, 0), width=rim)
    inner = (corners[0] + rim / 4, corners[1] + rim / 4, corners[2] - rim / 4, corners[3] - rim / 4)
    if inner[2] > inner[0] and inner[3] > inner[1]:
        draw.rectangle(inner, outline=ImageColor.getrgb(PREDICTED), width=line)
    return fine.resize(frame.size, Image.Resampling.BOX)

"""A step as a plain picture of pixels, for animations and interactive pages: map, outline and box over the image."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor, ImageDraw

from wsol.draw.overlay import display_image, overlay
from wsol.draw.style import PREDICTED

_SUPERSAMPLING: Final = 2  # lines of a moving box flicker unless drawn finer than shown


def step_picture(
    picture: Image.Image,
    image_size: tuple[int, int],
    score_map: npt.NDArray[np.floating] | None = None,
    box: npt.ArrayLike | None = None,
    contour: npt.NDArray[np.float64] | None = None,
) -> Image.Image:
    """Lay a score map, the threshold's outline and a box over a picture, whichever are given.

    Args:
        picture: The image at the size to show it.
        image_size: Width and height of the original image.
        score_map: `(H, W)` scores in [0, 1] that span the whole image.
        box: `(4,)` x0 y0 x1 y1 in pixels of the original image; fractions are welcome, for a box on its way.
        contour: `(N, 2)` corners x y of a closed outline in pixels of the original image.

    Returns:
        RGB picture of the size of `picture`.
    """
    frame = picture.convert("RGB")
    if score_map is not None:
        laid = overlay(display_image(picture, longest=max(picture.size)), score_map)
        frame = Image.fromarray((laid * 255).round().astype(np.uint8))
    if box is None and contour is None:
        return frame
    fine = frame.resize((frame.width * _SUPERSAMPLING, frame.height * _SUPERSAMPLING), Image.Resampling.NEAREST)
    scale = np.array([fine.width / image_size[0], fine.height / image_size[1]])
    draw = ImageDraw.Draw(fine)
    if contour is not None and len(contour) > 1:
        _draw_outline(draw, contour * scale)
    if box is not None:
        closed = np.asarray(box, dtype=np.float64) + np.array([0, 0, 1, 1])  # both ends belong to the box
        _draw_box(draw, closed * np.tile(scale, 2), fine.size)
    return fine.resize(frame.size, Image.Resampling.BOX)


def _draw_outline(draw: ImageDraw.ImageDraw, contour: npt.NDArray[np.float64]) -> None:
    corners = [(float(x), float(y)) for x, y in [*contour, contour[0]]]
    draw.line(corners, fill=(0, 0, 0), width=2 * _SUPERSAMPLING, joint="curve")
    draw.line(corners, fill=ImageColor.getrgb(PREDICTED), width=_SUPERSAMPLING, joint="curve")


def _draw_box(draw: ImageDraw.ImageDraw, box: npt.NDArray[np.float64], size: tuple[int, int]) -> None:
    x0, y0, x1, y1 = box
    width, height = size
    rim, line = 4 * _SUPERSAMPLING, 2 * _SUPERSAMPLING
    corners = (
        float(np.clip(x0, 0, width - rim)),
        float(np.clip(y0, 0, height - rim)),
        float(np.clip(x1 - 1, rim, width - 1)),
        float(np.clip(y1 - 1, rim, height - 1)),
    )
    if corners[2] <= corners[0] or corners[3] <= corners[1]:
        return
    draw.rectangle(corners, outline=(0, 0, 0), width=rim)
    inner = (corners[0] + rim / 4, corners[1] + rim / 4, corners[2] - rim / 4, corners[3] - rim / 4)
    if inner[2] > inner[0] and inner[3] > inner[1]:
        draw.rectangle(inner, outline=ImageColor.getrgb(PREDICTED), width=line)

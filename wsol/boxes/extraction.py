"""Boxes from score maps, in the convention of wsolevaluation.

A box is ``x0 y0 x1 y1`` in pixels of the map, ``x1``/``y1`` one past the last pixel but never outside the map.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from tdam.errors import check_name

Boxes = npt.NDArray[np.int64]
BoxRule = Literal["largest", "all"]
BOX_RULES = ("largest", "all")


def quantize_score_map(score_map: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Truncate a score map in [0, 1] to 8 bits, as every box rule of wsolevaluation does first.

    Args:
        score_map: Map ``(H, W)``.

    Returns:
        ``(score_map * 255)`` truncated, uint8 ``(H, W)``.

    Raises:
        ValueError: If the map is not 2-D, is empty, or has values outside [0, 1] or NaN.
    """
    score_map = np.asarray(score_map)
    if score_map.ndim != 2 or score_map.size == 0:
        raise ValueError(f"a score map must be a non-empty (H, W) array, got shape {score_map.shape}")
    # Written so that NaN fails it too.
    if not bool(((score_map >= 0) & (score_map <= 1)).all()):
        raise ValueError("a score map must lie in [0, 1] without NaN; normalise it with wsol.score_maps first")
    return (score_map * 255).astype(np.uint8)


def boxes_from_score_map(
    score_map: npt.NDArray[np.floating], threshold: float = 0.2, rule: BoxRule = "largest"
) -> Boxes:
    """Boxes around the contours of the thresholded map.

    The map is truncated to 8 bits; the cut is ``int(threshold * maximum)``, so the threshold is relative to
    the map's own maximum; the foreground lies strictly above it. Contours are OpenCV's full contour tree: outer
    borders of 8-connected regions and borders of their holes (wsolevaluation, `compute_bboxes_from_scoremaps`).

    Args:
        score_map: Map ``(H, W)`` in [0, 1].
        threshold: Share of the map's maximum in [0, 1).
        rule: "largest": the contour of largest area, the first of equals (MaxBoxAcc); "all": every contour
            in OpenCV's order (MaxBoxAccV2).

    Returns:
        Int64 ``(K, 4)`` ``x0 y0 x1 y1`` in pixels of the map. A map without foreground gives the one box
        ``0 0 0 0``, as in wsolevaluation.

    Raises:
        ValueError: If the map is malformed (see `quantize_score_map`) or the threshold outside [0, 1).
        UnknownNameError: If `rule` is unknown.

    >>> score_map = np.zeros((5, 6)); score_map[1:3, 2:5] = 1.0
    >>> boxes_from_score_map(score_map).tolist()
    [[2, 1, 5, 3]]
    """
    check_name("box rule", rule, BOX_RULES)
    return boxes_of_cut(*_cut(score_map, threshold), rule)


def boxes_of_cut(quantized: npt.NDArray[np.uint8], cut: int, rule: BoxRule = "largest") -> Boxes:
    """The boxes of `boxes_from_score_map` at a cut of the 8-bit map ``(H, W)``; the object lies strictly above it."""
    contours = _contours(quantized, cut)
    if not contours:
        return np.zeros((1, 4), dtype=np.int64)
    if rule == "largest":
        contours = [max(contours, key=cv2.contourArea)]
    height, width = quantized.shape
    corners = [cv2.boundingRect(contour) for contour in contours]
    return np.array([[x, y, min(x + w, width - 1), min(y + h, height - 1)] for x, y, w, h in corners], dtype=np.int64)


def largest_contour(score_map: npt.NDArray[np.floating], threshold: float = 0.2) -> npt.NDArray[np.int64]:
    """The contour whose bounding box `boxes_from_score_map` gives by the rule "largest".

    Args:
        score_map: Map ``(H, W)`` in [0, 1].
        threshold: Share of the map's maximum in [0, 1).

    Returns:
        Int64 ``(N, 2)`` corners ``x y`` of the closed outline, each a foreground pixel of the map; ``(0, 2)`` for a
        map without foreground.

    Raises:
        ValueError: If the map is malformed (see `quantize_score_map`) or the threshold outside [0, 1).

    >>> score_map = np.zeros((5, 6)); score_map[1:3, 2:5] = 1.0
    >>> sorted(largest_contour(score_map).tolist())
    [[2, 1], [2, 2], [4, 1], [4, 2]]
    """
    contours = _contours(*_cut(score_map, threshold))
    if not contours:
        return np.zeros((0, 2), dtype=np.int64)
    return np.asarray(max(contours, key=cv2.contourArea), dtype=np.int64).reshape(-1, 2)


def _cut(score_map: npt.NDArray[np.floating], threshold: float) -> tuple[npt.NDArray[np.uint8], int]:
    """The 8-bit map, and the cut of it that a threshold relative to its maximum means."""
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold must lie in [0, 1), got {threshold}")
    quantized = quantize_score_map(score_map)
    return quantized, int(threshold * int(quantized.max()))


def _contours(quantized: npt.NDArray[np.uint8], cut: int) -> Sequence[Any]:
    foreground = (quantized > cut).astype(np.uint8)
    return cv2.findContours(foreground, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]


def to_map_pixels(
    boxes: npt.ArrayLike, image_size: npt.ArrayLike, map_size: npt.ArrayLike, divide_first: bool = False
) -> npt.NDArray[np.float64]:
    """Ground-truth boxes in pixels of a score map that shows the whole image, unrounded.

    wsolevaluation truncates what this gives to whole pixels, where the last bit matters: so the order of the two
    operations is the caller's to say.

    Args:
        boxes: ``(..., 4)`` ``x0 y0 x1 y1`` in pixels of the image.
        image_size: Width and height of the image.
        map_size: Width and height of the score map.
        divide_first: Compute ``v / size * side`` instead of ``v * side / size``.

    Returns:
        ``(..., 4)`` float64.

    >>> to_map_pixels([60, 27, 385, 331], (500, 335), (224, 224)).astype(int).tolist()
    [26, 18, 172, 221]
    """
    values = np.asarray(boxes, dtype=np.float64)
    size = np.tile(np.asarray(image_size, dtype=np.float64), 2)
    side = np.tile(np.asarray(map_size, dtype=np.float64), 2)
    return values / size * side if divide_first else values * side / size


def scale_boxes(boxes: npt.ArrayLike, from_size: tuple[int, int], to_size: tuple[int, int]) -> Boxes:
    """Carry boxes from one image frame to another that shows the whole same image.

    Args:
        boxes: ``(..., 4)`` ``x0 y0 x1 y1`` in pixels of the frame `from_size`.
        from_size: Width and height of the frame the boxes are in.
        to_size: Width and height of the frame wanted.

    Returns:
        Int64 boxes ``(..., 4)`` rounded to the nearest pixel, inside ``[0, width - 1] x [0, height - 1]``.

    >>> scale_boxes([0, 0, 223, 112], from_size=(224, 224), to_size=(448, 100)).tolist()
    [0, 0, 446, 50]
    """
    (from_width, from_height), (to_width, to_height) = from_size, to_size
    scale = np.array([to_width / from_width, to_height / from_height] * 2)
    limit = np.array([to_width - 1, to_height - 1] * 2)
    scaled = np.floor(np.asarray(boxes, dtype=np.float64) * scale + 0.5).astype(np.int64)
    return np.clip(scaled, 0, limit)

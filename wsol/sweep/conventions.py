"""How a box is found, written down, and how two boxes overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class BoxConvention:
    """The choices in which evaluation codes differ between a thresholded map and an IoU.

    The defaults are those of wsolevaluation (clovaai/wsolevaluation@96f4b88).

    Attributes:
        closed_pixels: Box ends belong to the box, so that every width and height gets +1 in areas
            and intersections. False: continuous coordinates, width is ``x1 - x0``.
        clamp_end: A contour's box ends one past its last pixel (``x + w``); True limits that end to
            the map's last pixel (``W - 1``, ``H - 1``).
        empty_box: Box ``(x0, y0, x1, y1)`` of a map without foreground; ``"full"``: ``(0, 0, W, H)``.
        largest_by: Which of several contours is "the largest". ``"contour_area"``: the largest
            `cv2.contourArea`, holes filled. ``"pixel_count"``: the 8-connected component with the most
            pixels. ``"polygon_points"``: the contour, holes included, with the most points if it has
            more than 15, else none (the TDAM authors' rule).
    """

    closed_pixels: bool = True
    clamp_end: bool = True
    empty_box: Box | Literal["full"] = (0, 0, 0, 0)
    largest_by: Literal["contour_area", "pixel_count", "polygon_points"] = "contour_area"

    def empty_box_of(self, width: int, height: int) -> Box:
        """The box of a map of this size without foreground."""
        return (0, 0, width, height) if self.empty_box == "full" else self.empty_box


def box_iou(boxes: NDArray[np.generic], others: NDArray[np.generic], closed_pixels: bool = True) -> NDArray[np.float64]:
    """Intersection over union of every box with every other box.

    Args:
        boxes: ``(M, 4)`` boxes ``x0 y0 x1 y1`` in pixels.
        others: ``(K, 4)`` boxes in the same frame.
        closed_pixels: Add one pixel to every width and height, see `BoxConvention`.

    Returns:
        ``(M, K)`` float64. 0 where the union has no area.

    >>> box_iou(np.array([[0, 0, 9, 9]]), np.array([[0, 0, 9, 4]]))
    array([[0.5]])
    """
    plus = 1.0 if closed_pixels else 0.0
    a = np.asarray(boxes, dtype=np.float64)[:, None, :]
    b = np.asarray(others, dtype=np.float64)[None, :, :]
    width = np.maximum(np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0]) + plus, 0.0)
    height = np.maximum(np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1]) + plus, 0.0)
    intersection = width * height
    area_a = (a[..., 2] - a[..., 0] + plus) * (a[..., 3] - a[..., 1] + plus)
    area_b = (b[..., 2] - b[..., 0] + plus) * (b[..., 3] - b[..., 1] + plus)
    union = area_a + area_b - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)

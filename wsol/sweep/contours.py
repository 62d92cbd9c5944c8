"""The sweep by OpenCV alone: one `cv2.findContours` per distinct foreground.

Slower than the compiled kernel and equal to it; used where numba cannot compile, and for the box rule
that the kernel does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from wsol.sweep.conventions import BoxConvention, box_iou

MIN_POLYGON_POINTS = 16


def contour_boxes(
    quantized: NDArray[np.uint8], cut: int, convention: BoxConvention
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Boxes of all contours of the foreground ``quantized > cut``, holes included, and the largest's.

    Args:
        quantized: ``(H, W)`` uint8 map.
        cut: 0 to 255.
        convention: How a box is written down, and which contour is the largest.

    Returns:
        The ``(M, 4)`` boxes in OpenCV's contour order (without foreground the convention's empty box)
        and the ``(4,)`` box of the largest contour, the first one of several.
    """
    height, width = quantized.shape
    empty_box = np.array(convention.empty_box_of(width, height), dtype=np.int64)
    foreground = (quantized > cut).astype(np.uint8)
    contours, _ = cv2.findContours(foreground, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return empty_box[None], empty_box
    boxes = np.array([cv2.boundingRect(contour) for contour in contours], dtype=np.int64)
    boxes[:, 2:] += boxes[:, :2]
    if convention.clamp_end:
        np.minimum(boxes[:, 2:], (width - 1, height - 1), out=boxes[:, 2:])
    if convention.largest_by == "contour_area":
        return boxes, boxes[np.argmax([cv2.contourArea(contour) for contour in contours])]
    if convention.largest_by == "pixel_count":
        return boxes, boxes[_outer_contour_of_most_pixels(foreground, contours)]
    index = most_pointed_contour(contours)
    return boxes, empty_box if index is None else boxes[index]


def most_pointed_contour(contours: Sequence[Any]) -> int | None:
    """Index of the contour with the most polygon points, the first of several; None if all are too simple."""
    points = [len(contour) for contour in contours]
    if not points or max(points) < MIN_POLYGON_POINTS:
        return None
    return points.index(max(points))


def _outer_contour_of_most_pixels(foreground: NDArray[np.uint8], contours: Sequence[Any]) -> int:
    """Index of the outer contour of the 8-connected component with the most pixels.

    Of equal components the one whose first pixel in raster order comes first wins. A contour is of that
    component if its points are; of the contours of one component the outer one has the largest box.
    """
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(foreground, connectivity=8)
    sizes = statistics[1:, cv2.CC_STAT_AREA]
    tied = np.flatnonzero(sizes == sizes.max()) + 1
    first = labels.ravel()[np.isin(labels.ravel(), tied).argmax()]
    own = [labels[contour[0, 0, 1], contour[0, 0, 0]] == first for contour in contours]
    extents = [np.prod(cv2.boundingRect(contour)[2:]) * mine for contour, mine in zip(contours, own, strict=True)]
    return int(np.argmax(extents))


def sweep_by_contours(
    quantized: NDArray[np.uint8],
    truth: NDArray[np.float64],
    convention: BoxConvention,
    largest: NDArray[np.float64],
    all_contours: NDArray[np.float64],
    largest_boxes: NDArray[np.int32],
    num_boxes: NDArray[np.int32],
) -> None:
    """Fill one image's row of a `Sweep`.

    Args:
        quantized: ``(H, W)`` uint8 map.
        truth: ``(K, 4)`` ground-truth boxes in map pixels.
        convention: How boxes are found, written down and overlap.
        largest: ``(256,)`` output.
        all_contours: ``(256,)`` output.
        largest_boxes: ``(256, 4)`` output.
        num_boxes: ``(256,)`` output.
    """
    levels = np.unique(quantized)
    starts = [0, *levels[levels > 0].tolist()]
    for start, end in zip(starts, [*starts[1:], 256], strict=True):
        boxes, largest_box = contour_boxes(quantized, start, convention)
        cuts = slice(start, end)
        largest[cuts] = box_iou(largest_box[None], truth, convention.closed_pixels).max()
        all_contours[cuts] = box_iou(boxes, truth, convention.closed_pixels).max()
        largest_boxes[cuts] = largest_box
        num_boxes[cuts] = len(boxes)

"""The sweep by OpenCV alone: one `cv2.findContours` per distinct foreground.

Slower than the compiled kernel and equal to it; used where numba cannot compile.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from eval.sweep.conventions import BoxConvention, box_iou


def contour_boxes(quantized: NDArray[np.uint8], cut: int, convention: BoxConvention) -> tuple[NDArray[np.int64], int]:
    """Boxes of all contours of the foreground ``quantized > cut``, holes included.

    Args:
        quantized: ``(H, W)`` uint8 map.
        cut: 0 to 255.
        convention: How a box is written down.

    Returns:
        The ``(M, 4)`` boxes in OpenCV's contour order and the index of the contour with the largest
        area (the first one of several). Without foreground: the convention's empty box.
    """
    foreground = (quantized > cut).astype(np.uint8)
    contours, _ = cv2.findContours(foreground, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return np.array([convention.empty_box], dtype=np.int64), 0
    boxes = np.array([cv2.boundingRect(contour) for contour in contours], dtype=np.int64)
    boxes[:, 2:] += boxes[:, :2]
    if convention.clamp_end:
        height, width = quantized.shape
        np.minimum(boxes[:, 2:], (width - 1, height - 1), out=boxes[:, 2:])
    return boxes, int(np.argmax([cv2.contourArea(contour) for contour in contours]))


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
        convention: How boxes are written down and overlap.
        largest: ``(256,)`` output.
        all_contours: ``(256,)`` output.
        largest_boxes: ``(256, 4)`` output.
        num_boxes: ``(256,)`` output.
    """
    levels = np.unique(quantized)
    starts = [0, *levels[levels > 0].tolist()]
    for start, end in zip(starts, [*starts[1:], 256], strict=True):
        boxes, index = contour_boxes(quantized, start, convention)
        iou = box_iou(boxes, truth, convention.closed_pixels).max(axis=1)
        cuts = slice(start, end)
        largest[cuts] = iou[index]
        all_contours[cuts] = iou.max()
        largest_boxes[cuts] = boxes[index]
        num_boxes[cuts] = len(boxes)

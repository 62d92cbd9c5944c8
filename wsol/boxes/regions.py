"""Regions of a score map: boxes with scores, outlines and masks, overlapping ones suppressed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torchvision.ops import nms

from wsol.boxes.extraction import Boxes, BoxRule, boxes_from_score_map, quantize_score_map, scale_boxes

NMS_IOU = 0.5


@dataclass(frozen=True)
class Region:
    """One connected part of the foreground, in pixels of the image.

    Attributes:
        box: ``(4,)`` int64 ``x0 y0 x1 y1``.
        score: Mean of the score map inside the box, times the class's probability, in [0, 1].
    """

    box: npt.NDArray[np.int64]
    score: float


def regions_from_score_map(
    score_map: npt.NDArray[np.float32],
    image_size: tuple[int, int],
    threshold: float = 0.2,
    rule: BoxRule = "all",
    probability: float = 1.0,
    nms_iou: float = NMS_IOU,
) -> tuple[Region, ...]:
    """Boxes of a map with scores, best first, without those that overlap a better one.

    Args:
        score_map: ``(H, W)`` in [0, 1]; it covers the whole image.
        image_size: Width and height of the image.
        threshold: Share of the map's maximum above which a pixel belongs to the object.
        rule: "all" contours, or the "largest" alone.
        probability: Of the class, a factor of every score.
        nms_iou: A box that overlaps a better one by more than this IoU is left out.

    Returns:
        Regions; none where the map has no foreground.
    """
    if score_map.max() <= 0:
        return ()
    boxes = boxes_from_score_map(score_map, threshold, rule)
    # A contour of a single row or column has a box of no area.
    boxes = np.unique(boxes, axis=0)
    scores = np.array([_mean_inside(score_map, box) for box in boxes], dtype=np.float64) * probability
    kept = nms(torch.from_numpy(boxes).double(), torch.from_numpy(scores), nms_iou).tolist()
    height, width = score_map.shape
    return tuple(Region(scale_boxes(boxes[i], (width, height), image_size), float(scores[i])) for i in kept)


def foreground_mask(
    score_map: npt.NDArray[np.float32], image_size: tuple[int, int], threshold: float = 0.2
) -> npt.NDArray[np.bool_]:
    """Pixels of the image that belong to the object, ``(height, width)`` of the image.

    The map is enlarged bilinearly, and cut as `wsol.boxes_from_score_map` cuts it: strictly above the threshold's share
    of the maximum, in 8 bits.
    """
    large = cv2.resize(np.ascontiguousarray(score_map, np.float32), image_size, interpolation=cv2.INTER_LINEAR)
    quantized = quantize_score_map(np.clip(large, 0, 1))
    return quantized > int(threshold * int(quantize_score_map(score_map).max()))


def outlines(mask: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.int64]]:
    """Outer borders of a mask's 8-connected parts, each ``(N, 2)`` x y in pixels, largest area first."""
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    ordered = sorted(found, key=cv2.contourArea, reverse=True)
    return [contour.reshape(-1, 2).astype(np.int64) for contour in ordered]


def _mean_inside(score_map: npt.NDArray[np.float32], box: Boxes) -> float:
    x0, y0, x1, y1 = box
    return float(score_map[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)].mean())

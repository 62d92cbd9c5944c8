"""Comparing two score maps, and a map with the objects in its image: pure functions on arrays.

All formulas stand in `docs/attention-shift.md`. Boxes are in score-map pixels with the convention of wsolevaluation.
Beside the batches of a network, `scipy.stats` and `scipy.spatial` would take 60 MB; what is needed of them is short.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from scipy import special

from wsol.boxes import quantize_score_map
from wsol.sweep import box_iou

GRID: Final = 28
"""Maps are averaged to at most this many cells a side before they are ranked or compared as distributions: score
maps are enlarged from 7 to 14 cells a side, so that finer pixels would only repeat each other."""

IOU_HIT: Final = 0.5

Map = npt.NDArray[np.floating]
Boxes = npt.NDArray[np.int64]


def rank_correlation(a: Map, b: Map) -> float:
    """Spearman's rank correlation of two maps' cells, ties at their mean rank.

    Args:
        a: `(H, W)` map.
        b: `(H, W)` map.

    Returns:
        Correlation in [-1, 1]; NaN if a map is constant.
    """
    x, y = (_coarse(one).ravel() for one in (a, b))
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(_ranks(x), _ranks(y))[0, 1])


def _ranks(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Ranks `(N,)` of values `(N,)` from 1; equal ones share their mean rank."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: npt.NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return ranks


def js_distance(a: Map, b: Map) -> float:
    """Jensen–Shannon distance of two maps read as distributions over the image (Endres and Schindelin, 2003).

    Args:
        a: `(H, W)` map, not negative.
        b: `(H, W)` map, not negative.

    Returns:
        Square root of the divergence in bits: 0 for equal, 1 for disjoint maps; NaN if a map is zero.
    """
    p, q = (_coarse(one).astype(np.float64).ravel() for one in (a, b))
    if p.sum() <= 0 or q.sum() <= 0:
        return float("nan")
    p, q = p / p.sum(), q / q.sum()
    middle = (p + q) / 2
    divergence = float((special.rel_entr(p, middle) + special.rel_entr(q, middle)).sum()) / (2 * np.log(2))
    return max(divergence, 0.0) ** 0.5  # of equal maps the divergence rounds below 0


def centroid(score_map: Map) -> npt.NDArray[np.float64]:
    """Centre of mass of a map.

    Args:
        score_map: `(H, W)` map, not negative.

    Returns:
        `(2,)` x and y as shares of width and height, in (0, 1); NaN if the map is zero.
    """
    height, width = score_map.shape
    total = score_map.sum(dtype=np.float64)
    if total <= 0:
        return np.full(2, np.nan)
    x = score_map.sum(axis=0, dtype=np.float64) @ (np.arange(width) + 0.5) / (total * width)
    y = score_map.sum(axis=1, dtype=np.float64) @ (np.arange(height) + 0.5) / (total * height)
    return np.array([x, y])


def centroid_shift(a: Map, b: Map, image_size: npt.ArrayLike) -> float:
    """Distance of two maps' centres of mass in the original image, as a share of its diagonal.

    Args:
        a: `(H, W)` map that spans the image.
        b: `(H, W)` map that spans the image.
        image_size: Width and height of the original image in pixels.

    Returns:
        Share in [0, 1]; NaN if a map is zero.
    """
    size = np.asarray(image_size, dtype=np.float64)
    return float(np.linalg.norm((centroid(a) - centroid(b)) * size) / np.linalg.norm(size))


def region(score_map: Map, threshold: float) -> npt.NDArray[np.bool_]:
    """Pixels above a threshold, quantised and cut as for boxes.

    Args:
        score_map: `(H, W)` in [0, 1].
        threshold: Share of the map's maximum.

    Returns:
        `(H, W)` bool.
    """
    quantized = quantize_score_map(score_map)
    return quantized > int(threshold * int(quantized.max()))


def region_iou(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    """Intersection over union of two regions.

    Args:
        a: `(H, W)` bool.
        b: `(H, W)` bool.

    Returns:
        IoU in [0, 1]; NaN if both are empty.
    """
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else float("nan")


def largest_boxes(foreground: npt.NDArray[np.bool_], count: int) -> Boxes:
    """Boxes of the largest regions of a foreground, the first of them that of the "largest" box rule.

    Args:
        foreground: `(H, W)` bool.
        count: At most this many.

    Returns:
        `(k, 4)` int64 x0 y0 x1 y1, `k <= count`; without foreground the one box 0 0 0 0.
    """
    contours, _ = cv2.findContours(foreground.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    height, width = foreground.shape
    rects = [cv2.boundingRect(contour) for contour in sorted(contours, key=cv2.contourArea, reverse=True)[:count]]
    boxes = [[x, y, min(x + w, width - 1), min(y + h, height - 1)] for x, y, w, h in rects]
    return np.array(boxes or [[0, 0, 0, 0]], dtype=np.int64)


def energy_inside(score_map: Map, inside: npt.NDArray[np.bool_]) -> float:
    """Share of a map's mass that lies on the object (energy-based pointing game of Score-CAM, Wang et al., 2020).

    Args:
        score_map: `(H, W)`, not negative.
        inside: `(H, W)` bool, pixels of the object.

    Returns:
        Share in [0, 1]; NaN if the map is zero.
    """
    total = score_map.sum(dtype=np.float64)
    return float(score_map[inside].sum(dtype=np.float64) / total) if total > 0 else float("nan")


def boxes_area(boxes: Boxes, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Pixels inside any of the boxes.

    Args:
        boxes: `(K, 4)` x0 y0 x1 y1; both ends belong to the box.
        shape: Height and width of the map.

    Returns:
        `(H, W)` bool.
    """
    inside = np.zeros(shape, dtype=np.bool_)
    for x0, y0, x1, y1 in boxes:
        inside[y0 : y1 + 1, x0 : x1 + 1] = True
    return inside


def objects_covered(boxes: Boxes, truth: Boxes, iou: float = IOU_HIT) -> int:
    """Number of distinct objects that some box localizes.

    Args:
        boxes: `(M, 4)` predicted boxes.
        truth: `(K, 4)` ground-truth boxes, one per object.
        iou: IoU from which on an object counts as localized.

    Returns:
        Number in [0, K].
    """
    return int((box_iou(boxes, truth) >= iou).any(axis=0).sum())


def _coarse(score_map: Map) -> Map:
    height, width = (min(side, GRID) for side in score_map.shape)
    if score_map.shape == (height, width):
        return score_map
    return np.asarray(cv2.resize(score_map, (width, height), interpolation=cv2.INTER_AREA), dtype=score_map.dtype)

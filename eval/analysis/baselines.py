"""What a box says that has not seen the image: the centre box and the full image.

A localization figure means little without them: a centred square meets more than half of the objects of
CUB and ImageNet at IoU 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.judging.hits import demanded_level, iou_levels
from eval.protocols import Protocol
from wsol.data import GroundTruth
from wsol.sweep import BoxConvention, box_iou

CHUNK = 4096  # ground-truth boxes compared at a time, so that memory does not grow with the split


@dataclass(frozen=True)
class BaselineFigure:
    """GT-known Loc of boxes that are the same for every image.

    Attributes:
        percent: Percent of images hit by the best of the boxes: an oracle, as its choice saw the answers.
        box: That box ``x0 y0 x1 y1`` in score-map pixels.
    """

    percent: float
    box: tuple[int, int, int, int]


def centre_score_map(size: tuple[int, int] = (224, 224), spread: float = 60.0) -> npt.NDArray[np.float64]:
    """A centred bump ``1 / (1 + (r / spread)^2)`` min-max normalized to [0, 1], as a map to be judged.

    Args:
        size: Height and width.
        spread: Radius in pixels at which the bump has half its height.

    Returns:
        ``(H, W)`` float64.
    """
    y, x = (np.arange(side, dtype=np.float64) - (side - 1) / 2 for side in size)
    score_map = 1 / (1 + (y[:, None] * y[:, None] + x * x) / (spread * spread))
    score_map -= score_map.min()
    return score_map / score_map.max() if score_map.any() else score_map


def centre_boxes(map_size: tuple[int, int], convention: BoxConvention) -> npt.NDArray[np.int64]:
    """Centred boxes of the map's shape, of every size.

    Args:
        map_size: Width and height of the score map.
        convention: How the box of a region is written down.

    Returns:
        ``(S, 4)`` int64, S the shorter side, the box of the whole map last.

    >>> centre_boxes((4, 4), BoxConvention()).tolist()
    [[1, 1, 2, 2], [1, 1, 3, 3], [0, 0, 3, 3], [0, 0, 3, 3]]
    """
    shorter = min(map_size)
    sides = np.arange(1, shorter + 1)
    width, height = (length * sides // shorter for length in map_size)
    x0, y0 = (map_size[0] - width) // 2, (map_size[1] - height) // 2
    boxes = np.stack([x0, y0, x0 + width, y0 + height], axis=1)
    if convention.clamp_end:
        np.minimum(boxes[:, 2:], (map_size[0] - 1, map_size[1] - 1), out=boxes[:, 2:])
    return boxes


def hits_of_boxes(
    boxes: npt.NDArray[np.int64],
    truth: Sequence[npt.NDArray[Any]],
    protocol: Protocol,
    iou_threshold: float = 0.5,
) -> npt.NDArray[np.bool_]:
    """Whether each of some boxes hits each image.

    Args:
        boxes: ``(S, 4)`` boxes in score-map pixels, the same for every image.
        truth: N arrays ``(K_i, 4)`` of ground truth in score-map pixels.
        protocol: Decides what a hit is.
        iou_threshold: IoU demanded, one of `eval.judging.hits.IOU_THRESHOLDS`.

    Returns:
        ``(N, S)`` bool.
    """
    hits = np.zeros((len(truth), len(boxes)), dtype=bool)
    for first in range(0, len(truth), CHUNK):
        part = truth[first : first + CHUNK]
        iou = box_iou(np.concatenate(part), boxes, protocol.convention.closed_pixels)
        starts = np.cumsum([0, *map(len, part)])[:-1]
        best = np.maximum.reduceat(iou, starts, axis=0)
        hits[first : first + CHUNK] = iou_levels(best) >= demanded_level(protocol, iou_threshold=iou_threshold)
    return hits


def baselines(
    ground_truth: GroundTruth,
    protocol: Protocol,
    map_size: tuple[int, int] = (224, 224),
    iou_threshold: float = 0.5,
) -> dict[str, BaselineFigure]:
    """GT-known Loc of the best centre box and of the full image.

    Args:
        ground_truth: Lists of a split; images without a box, or of a size that is not known, are left out.
        protocol: Decides frame, IoU, hit and mean.
        map_size: Width and height of the score map.
        iou_threshold: IoU demanded.

    Returns:
        ``"centre_box"`` (the best size for the split) and ``"full_image"``.
    """
    boxed, truth = _boxes_in_map(ground_truth, protocol, map_size)
    boxes = centre_boxes(map_size, protocol.convention)
    percent = protocol.average(hits_of_boxes(boxes, truth, protocol, iou_threshold), ground_truth.labels[boxed])
    best = int(percent.argmax())
    return {
        name: BaselineFigure(float(percent[index]), (x0, y0, x1, y1))
        for name, index in (("centre_box", best), ("full_image", len(boxes) - 1))
        for x0, y0, x1, y1 in [boxes[index].tolist()]
    }


def _boxes_in_map(
    ground_truth: GroundTruth, protocol: Protocol, map_size: tuple[int, int]
) -> tuple[list[int], list[npt.NDArray[Any]]]:
    """The images whose boxes can be brought to a score map's pixels, and these boxes."""
    boxed = [
        place
        for place, (boxes, size) in enumerate(zip(ground_truth.boxes, ground_truth.sizes, strict=True))
        if len(boxes) and size.all()
    ]
    return boxed, [protocol.map_boxes(ground_truth.boxes[i], ground_truth.sizes[i], map_size) for i in boxed]


def hits_of_box(
    box: tuple[int, int, int, int], ground_truth: GroundTruth, protocol: Protocol, map_size: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """Whether one box, the same for every image, hits each image at IoU 0.5; False where an image has no box.

    Args:
        box: ``x0 y0 x1 y1`` in score-map pixels.
        ground_truth: Lists of a split.
        protocol: Decides frame, IoU and hit.
        map_size: Width and height of the score map.

    Returns:
        ``(N,)`` bool.
    """
    found = np.zeros(len(ground_truth), dtype=bool)
    boxed, truth = _boxes_in_map(ground_truth, protocol, map_size)
    found[boxed] = hits_of_boxes(np.array([box]), truth, protocol)[:, 0]
    return found

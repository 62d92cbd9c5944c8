"""The sweep of a batch and what is gathered from it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tdam.errors import check_name
from wsol.errors import InputError
from wsol.sweep.conventions import BoxConvention
from wsol.sweep.engine import quantize, run_sweep
from wsol.sweep.inputs import as_boxes, as_score_maps

BoxRule = Literal["largest", "all"]
NUM_CUTS = 256


def cam_thresholds(interval: float = 0.001) -> NDArray[np.float64]:
    """Thresholds 0, interval, … below 1, with wsolevaluation's own rounding.

    Raises:
        InputError: If the interval is not in (0, 1].

    >>> cam_thresholds(0.25)
    array([0.  , 0.25, 0.5 , 0.75])
    """
    if not 0 < interval <= 1:
        raise InputError(f"the threshold interval must lie in (0, 1], got {interval}")
    return np.arange(0, 1, interval)


def cut_table(maximum: Any, thresholds: Any) -> NDArray[np.int64]:
    """Cuts of thresholds that are relative to a map's maximum: ``int(t * max)`` in float64.

    The product is truncated as it comes, as wsolevaluation does: 0.29 * 100 is
    28.999999999999996 and cuts at 28.

    Args:
        maximum: Maxima of 8-bit maps, any shape.
        thresholds: ``(n,)`` thresholds in [0, 1].

    Returns:
        int64, shape of `maximum` followed by ``(n,)``.

    >>> cut_table([255, 100], [0.2, 0.29])
    array([[51, 73],
           [20, 28]])
    """
    maximum = np.asarray(maximum, dtype=np.float64)
    return (maximum[..., None] * np.asarray(thresholds, dtype=np.float64)).astype(np.int64)


@dataclass(frozen=True)
class Sweep:
    """Per image and per cut ``c`` (foreground: 8-bit map > c), the best IoU with the ground truth.

    Attributes:
        maximum: ``(N,)`` uint8, maximum of the 8-bit map.
        largest: ``(N, 256)`` float64, best IoU of the box of the contour with the largest area.
        all: ``(N, 256)`` float64, best IoU over the boxes of all contours, holes included.
        largest_boxes: ``(N, 256, 4)`` int32, box ``x0 y0 x1 y1`` of the largest contour in map pixels.
        num_boxes: ``(N, 256)`` int32, how many boxes compete in `all` (the empty box counts as one).
    """

    maximum: NDArray[np.uint8]
    largest: NDArray[np.float64]
    all: NDArray[np.float64]
    largest_boxes: NDArray[np.int32]
    num_boxes: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.maximum)

    def iou(self, rule: BoxRule = "largest") -> NDArray[np.float64]:
        """Best IoU ``(N, 256)`` per cut of the boxes that a rule keeps."""
        check_name("box rule", rule, get_args(BoxRule))
        return self.all if rule == "all" else self.largest

    def iou_at(self, thresholds: Any, rule: BoxRule = "largest") -> NDArray[np.float64]:
        """Best IoU ``(N, n)`` at thresholds ``(n,)`` relative to each map's maximum."""
        return np.take_along_axis(self.iou(rule), cut_table(self.maximum, thresholds), axis=1)

    def boxes_at(self, threshold: float) -> NDArray[np.int32]:
        """Box ``(N, 4)`` of the largest contour at one threshold, or at one threshold per image."""
        cuts = (self.maximum.astype(np.float64) * np.asarray(threshold)).astype(np.int64)
        return self.largest_boxes[np.arange(len(self)), cuts]

    def count_per_threshold(self, per_cut: NDArray[Any], thresholds: Any) -> NDArray[np.int64]:
        """Sum over images of an integer or boolean ``(N, 256)`` per cut, at each threshold: ``(n,)``.

        Images of equal maximum share their cuts, so they are summed before they are gathered.
        """
        total = np.zeros(len(np.asarray(thresholds)), dtype=np.int64)
        for maximum in np.unique(self.maximum):
            counts = per_cut[self.maximum == maximum].sum(axis=0, dtype=np.int64)
            total += counts[cut_table(maximum, thresholds)]
        return total


def best_iou_per_cut(score_maps: Any, boxes: Sequence[Any], convention: BoxConvention | None = None) -> Sweep:
    """Best IoU of the boxes of each score map with its ground-truth boxes, at all 256 cuts.

    Args:
        score_maps: ``(N, H, W)`` array or tensor, float32 or float64 in [0, 1]. They are quantized as
            ``(map * 255).astype(uint8)``.
        boxes: N arrays ``(K_i, 4)`` of ground-truth boxes ``x0 y0 x1 y1`` in map pixels, ``K_i >= 1``.
        convention: How boxes are written down and overlap; wsolevaluation's by default.

    Returns:
        The `Sweep` of the batch.

    Raises:
        InputError: If a map is not finite or leaves [0, 1], or if maps and boxes do not fit; the
            message names the map's index in the batch.

    >>> score_map = np.zeros((1, 8, 8)); score_map[0, 2:6, 2:6] = 1.0
    >>> sweep = best_iou_per_cut(score_map, [[[2, 2, 6, 6]]])
    >>> float(sweep.largest[0, 0]), sweep.largest_boxes[0, 254].tolist()
    (1.0, [2, 2, 6, 6])
    """
    convention = convention or BoxConvention()
    maps = as_score_maps(score_maps)
    truth = as_boxes(boxes, len(maps))
    quantized = quantize(maps)
    if (sweep := _LAST.sweep_of(quantized, truth, convention)) is not None:
        return sweep
    sweep = Sweep(
        maximum=np.empty(len(maps), dtype=np.uint8),
        largest=np.empty((len(maps), NUM_CUTS)),
        all=np.empty((len(maps), NUM_CUTS)),
        largest_boxes=np.empty((len(maps), NUM_CUTS, 4), dtype=np.int32),
        num_boxes=np.empty((len(maps), NUM_CUTS), dtype=np.int32),
    )
    if len(maps) > 0:
        run_sweep(quantized, truth, convention, sweep)
        _LAST.keep(quantized, truth, convention, sweep)
    return sweep


class _LastSweep(threading.local):
    """The last sweep of this thread: the metrics of a collection ask for the same one, one after the other.

    Maps and boxes are compared by their values, so that arrays filled anew are never taken for the former ones.
    """

    quantized: NDArray[np.uint8] | None = None
    truth: Sequence[NDArray[np.float64]]
    convention: BoxConvention
    sweep: Sweep

    def sweep_of(
        self, quantized: NDArray[np.uint8], truth: Sequence[NDArray[np.float64]], convention: BoxConvention
    ) -> Sweep | None:
        """The sweep that is kept, if it is the one of these maps and boxes."""
        known = (
            self.quantized is not None
            and convention == self.convention
            and len(truth) == len(self.truth)
            and all(map(np.array_equal, truth, self.truth))
            and quantized.shape == self.quantized.shape
            and all(map(np.array_equal, quantized, self.quantized))
        )
        return self.sweep if known else None

    def keep(
        self,
        quantized: NDArray[np.uint8],
        truth: Sequence[NDArray[np.float64]],
        convention: BoxConvention,
        sweep: Sweep,
    ) -> None:
        """Keep the sweep of these maps and boxes instead of the former one."""
        for array in (sweep.maximum, sweep.largest, sweep.all, sweep.largest_boxes, sweep.num_boxes):
            array.flags.writeable = False
        self.quantized, self.convention, self.sweep = quantized, convention, sweep
        self.truth = [boxes.copy() for boxes in truth]


_LAST = _LastSweep()

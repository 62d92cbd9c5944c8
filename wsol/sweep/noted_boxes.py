"""The best IoU at every cut, of the boxes that the two passes have noted.

A box that was a component's at the cuts a … b contributes a maximum over a range: it goes into a table of
power-of-two ranges in constant time, which is written out once at the end. Most boxes are much too small for an
IoU that matters. At every cut one is known already, that of the largest contour; a box whose area alone says that it
stays below all of those at its cuts is passed over.
"""

# numba infers the types of compiled functions, so they go without annotations.
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import numpy as np

from wsol.sweep.compiling import compiled
from wsol.sweep.packed_boxes import bottom, left, right, top

LOG2 = np.array([max(0, length.bit_length() - 1) for length in range(257)])
SIZES = 9  # of ranges: 1, 2, 4 … 256 cuts
ROUNDING = 1.0 + 1e-9  # more than the arithmetic of an IoU can be off by


@compiled
def best_iou(x0, y0, x1, y1, truth, plus):
    """Best IoU of one box with the ground-truth boxes, see `wsol.sweep.box_iou`."""
    best = 0.0
    area = (x1 - x0 + plus) * (y1 - y0 + plus)
    for k in range(truth.shape[0]):
        width = min(x1, truth[k, 2]) - max(x0, truth[k, 0]) + plus
        height = min(y1, truth[k, 3]) - max(y0, truth[k, 1]) + plus
        if width > 0 and height > 0:
            overlap = width * height
            own = (truth[k, 2] - truth[k, 0] + plus) * (truth[k, 3] - truth[k, 1] + plus)
            best = max(best, overlap / (area + own - overlap))
    return best


@compiled
def iou_per_area(truth, plus):
    """What a box's IoU with any ground-truth box cannot exceed, per unit of its own area.

    An overlap is no larger than the box, a union no smaller than the ground-truth box.
    """
    most = 0.0
    for k in range(truth.shape[0]):
        own = (truth[k, 2] - truth[k, 0] + plus) * (truth[k, 3] - truth[k, 1] + plus)
        most = max(most, ROUNDING / own if own > 0 else np.inf)
    return most


@compiled
def prepare_ranges(known, least, ranges):
    """Start from the IoU ``(256,)`` of one component at every cut.

    Args:
        known: ``(256,)``.
        least: ``(SIZES, 256)`` output: the least of ``2 ** size`` cuts from each cut on.
        ranges: ``(SIZES, 256)`` output: the best of them so far.
    """
    for cut in range(256):
        least[0, cut] = known[cut]
        ranges[0, cut] = known[cut]
    for size in range(1, SIZES):
        half = 1 << (size - 1)
        for cut in range(256):
            ranges[size, cut] = 0.0
        for cut in range(256 - 2 * half + 1):
            least[size, cut] = min(least[size - 1, cut], least[size - 1, cut + half])


@compiled
def judge(noted, of_holes, of_all, truth, convention, most_per_area, least, ranges):
    """Count the noted boxes at their cuts, those of holes, which come first, grown by the contour around them."""
    boxes, spans = noted
    plus, last_x, last_y = convention
    for i in range(of_all):
        box = boxes[np.uint64(i)]
        span = np.int64(spans[np.uint64(i)])
        grow = 1 if i < of_holes else 0
        x0, y0 = left(box) - grow, top(box) - grow
        x1, y1 = right(box) + 1 + grow, bottom(box) + 1 + grow
        start, end = span >> 8, span & 0xFF
        size = LOG2[end - start + 1]
        other = end - (1 << size) + 1
        most = (x1 - x0 + plus) * (y1 - y0 + plus) * most_per_area
        if most <= min(least[size, start], least[size, other]):
            continue
        iou = best_iou(float(x0), float(y0), min(float(x1), last_x), min(float(y1), last_y), truth, plus)
        ranges[size, start] = max(ranges[size, start], iou)
        ranges[size, other] = max(ranges[size, other], iou)


@compiled
def spread(ranges):
    """Bring every noted range down to ``ranges[0]``, the single cuts."""
    for size in range(SIZES - 1, 0, -1):
        half = 1 << (size - 1)
        for first in range(256 - 2 * half + 1):
            iou = ranges[size, first]
            ranges[size - 1, first] = max(ranges[size - 1, first], iou)
            ranges[size - 1, first + half] = max(ranges[size - 1, first + half], iou)

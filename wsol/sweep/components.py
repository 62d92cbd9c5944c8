"""Compiled union-find over the components that grow and merge as pixels enter in sorted order.

Local extrema open a component; every other pixel takes over the label of an earlier neighbour, so the
union-find holds one node per local extremum, not per pixel. A component whose box has IoU v at the cuts
a … b contributes a maximum over a range; `judge` notes it in a table of power-of-two ranges in constant
time, `spread` writes the table out once at the end.
"""

# numba infers the types of compiled functions, so they go without annotations.
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import numpy as np

from wsol.sweep.pixels import compiled
from wsol.sweep.ring import OFFSETS, area_table, group_table

# A component, held by its root. `level`: the value at which its box last changed. `met_outside`: the
# value at which a hole met the outside. `area`: see `sweep_largest`. `first`: first pixel in raster order.
NODE = np.dtype(
    [(name, np.int16) for name in ("x0", "y0", "x1", "y1", "level", "met_outside")]
    + [(name, np.uint32) for name in ("parent", "first")]
    + [("area", np.int32)],
    align=True,
)
NEVER = 255
GROUPS_8 = group_table(8)
GROUPS_4 = group_table(4)
CONTOUR_AREA = area_table()
PIXEL_COUNT = np.ones(256, dtype=np.int32)
DY = np.array([dy for dy, _ in OFFSETS])
DX = np.array([dx for _, dx in OFFSETS])
LOG2 = np.array([max(0, length.bit_length() - 1) for length in range(257)])


@compiled
def joined(groups, stride):
    """How many groups a pixel joins ``(256,)``, and how far away in memory a pixel of each is ``(256, 4)``.

    A step backwards is stored as its two's complement: unsigned sums wrap around to the same place.
    """
    step = np.zeros((256, 4), np.uint64)
    for byte in range(256):
        for group in range(groups[byte, 0]):
            bit = groups[byte, group + 1]
            step[byte, group] = np.uint64(DY[bit] * stride + DX[bit])
    return groups[:, 0].astype(np.uint8), step


@compiled
def find(nodes, node):
    """Root of a component; halves the path on the way."""
    parent = nodes[node].parent
    while parent != node:
        grandparent = nodes[parent].parent
        nodes[node].parent = grandparent
        node = grandparent
        parent = nodes[node].parent
    return node


@compiled
def open_node(nodes, node, value, x, y):
    """A component of one pixel."""
    nodes[node].parent = node
    nodes[node].level = value
    nodes[node].x0 = x
    nodes[node].x1 = x
    nodes[node].y0 = y
    nodes[node].y1 = y
    nodes[node].met_outside = NEVER


@compiled
def absorb(nodes, root, other):
    """Make `other` part of the component `root`."""
    nodes[other].parent = root
    nodes[root].x0 = min(nodes[root].x0, nodes[other].x0)
    nodes[root].y0 = min(nodes[root].y0, nodes[other].y0)
    nodes[root].x1 = max(nodes[root].x1, nodes[other].x1)
    nodes[root].y1 = max(nodes[root].y1, nodes[other].y1)


@compiled
def outside_box(nodes, root, x, y):
    """Whether a pixel extends a component's box."""
    return x < nodes[root].x0 or x > nodes[root].x1 or y < nodes[root].y0 or y > nodes[root].y1


@compiled
def include(nodes, root, x, y):
    """Extend a component's box by a pixel."""
    nodes[root].x0 = min(nodes[root].x0, x)
    nodes[root].y0 = min(nodes[root].y0, y)
    nodes[root].x1 = max(nodes[root].x1, x)
    nodes[root].y1 = max(nodes[root].y1, y)


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
def judge(nodes, node, grow, truth, convention, ranges, first, last):
    """Count a component's box, grown by some pixels, at the cuts first … last."""
    plus, last_x, last_y = convention
    iou = best_iou(
        float(nodes[node].x0 - grow),
        float(nodes[node].y0 - grow),
        min(float(nodes[node].x1 + 1 + grow), last_x),
        min(float(nodes[node].y1 + 1 + grow), last_y),
        truth,
        plus,
    )
    size = LOG2[last - first + 1]
    other = last - (1 << size) + 1
    ranges[size, first] = max(ranges[size, first], iou)
    ranges[size, other] = max(ranges[size, other], iou)


@compiled
def spread(ranges):
    """Bring every noted range down to ``ranges[0]``, the single cuts."""
    for size in range(ranges.shape[0] - 1, 0, -1):
        half = 1 << (size - 1)
        for first in range(256 - 2 * half + 1):
            iou = ranges[size, first]
            ranges[size - 1, first] = max(ranges[size - 1, first], iou)
            ranges[size - 1, first + half] = max(ranges[size - 1, first + half], iou)

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

from wsol.sweep.compiling import compiled

# A component is a row of int32, held by its root: its box, the value at which the box last changed, its area
# (of a hole: what it adds where it is filled), and then
# of an outer contour: its first pixel in raster order, and a node of the component that lies around it;
# of a hole: a pixel of its top row, and its Euler number (1 minus the number of islands in it).
X0, Y0, X1, Y1, LEVEL, AREA, FIRST, AROUND = range(8)
TOP, EULER = FIRST, AROUND
COLUMNS = 8
NONE = -1
LOG2 = np.array([max(0, length.bit_length() - 1) for length in range(257)])


@compiled
def find(parent, node):
    """Root of a component; halves the path on the way."""
    above = parent[node]
    while above != node:
        top = parent[above]
        parent[node] = top
        node = top
        above = parent[node]
    return node


@compiled
def open_node(nodes, node, value, x, y):
    """A component of one pixel."""
    nodes[node, X0] = x
    nodes[node, X1] = x
    nodes[node, Y0] = y
    nodes[node, Y1] = y
    nodes[node, LEVEL] = value


@compiled
def absorb(nodes, root, other):
    """Extend the box of `root` by that of `other`."""
    nodes[root, X0] = min(nodes[root, X0], nodes[other, X0])
    nodes[root, Y0] = min(nodes[root, Y0], nodes[other, Y0])
    nodes[root, X1] = max(nodes[root, X1], nodes[other, X1])
    nodes[root, Y1] = max(nodes[root, Y1], nodes[other, Y1])


@compiled
def outside_box(nodes, root, x, y):
    """Whether a pixel extends a component's box."""
    return (x < nodes[root, X0]) | (x > nodes[root, X1]) | (y < nodes[root, Y0]) | (y > nodes[root, Y1])


@compiled
def include(nodes, root, x, y):
    """Extend a component's box by a pixel."""
    nodes[root, X0] = min(nodes[root, X0], x)
    nodes[root, Y0] = min(nodes[root, Y0], y)
    nodes[root, X1] = max(nodes[root, X1], x)
    nodes[root, Y1] = max(nodes[root, Y1], y)


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
        float(nodes[node, X0] - grow),
        float(nodes[node, Y0] - grow),
        min(float(nodes[node, X1] + 1 + grow), last_x),
        min(float(nodes[node, Y1] + 1 + grow), last_y),
        truth,
        plus,
    )
    if iou == 0.0:
        return
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

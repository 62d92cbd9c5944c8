"""Compiled union-find over the components that grow and merge as pixels enter in sorted order.

Local extrema open a component; every other pixel takes over the label of an earlier neighbour, so the
union-find holds one node per local extremum, not per pixel. Each node knows its root: where two components
join, the nodes of the smaller one are given the other root, so that a root is found in one step, without a
branch that no processor can foresee. A component whose box has IoU v at the cuts a … b contributes a maximum
over a range; `judge` notes it in a table of power-of-two ranges in constant time, `spread` writes the table
out once at the end.
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
# A forest is three arrays over the nodes: the root of each; the next node of its component, in a circle; and,
# held by the root, how many nodes the component has.

LOG2 = np.array([max(0, length.bit_length() - 1) for length in range(257)])


@compiled
def larger_first(forest, one, other):
    """The roots of two components, first the one of more nodes."""
    sizes = forest[2]
    return (one, other) if sizes[one] >= sizes[other] else (other, one)


@compiled
def relabel(forest, node, root):
    """Give another root to all nodes of a node's component."""
    roots, following, _ = forest
    first = node
    roots[node] = root
    node = following[node]
    while node != first:
        roots[node] = root
        node = following[node]


@compiled
def join(forest, nodes, root, other):
    """Make the component `other` part of `root`."""
    _, following, sizes = forest
    relabel(forest, other, root)
    following[root], following[other] = following[other], following[root]
    sizes[root] += sizes[other]
    absorb(nodes, root, other)


@compiled
def open_node(forest, nodes, node, value, x, y):
    """A component of one pixel."""
    roots, following, sizes = forest
    roots[node] = node
    following[node] = node
    sizes[node] = 1
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
def near_truth(truth, width, height):
    """The pixels ``x0 y0 x1 y1`` a component has to reach for its box to overlap a ground-truth box; rather too many.

    Of many components most are far from all ground truth, which is seen sooner than an IoU is computed.
    """
    x0, y0, x1, y1 = float(width), float(height), 0.0, 0.0
    for k in range(truth.shape[0]):
        x0, y0 = min(x0, max(truth[k, 0], 0.0)), min(y0, max(truth[k, 1], 0.0))
        x1, y1 = max(x1, min(truth[k, 2], float(width))), max(y1, min(truth[k, 3], float(height)))
    # A hole is grown by a pixel, ends lie past the last pixel, and overlaps may count one more: three in all.
    return np.int32(x0) - 3, np.int32(y0) - 3, np.int32(x1) + 3, np.int32(y1) + 3


@compiled
def due(nodes, node, value, near):
    """Whether a component, about to change at a value, has a former box to judge that reaches `near_truth`."""
    near_x0, near_y0, near_x1, near_y1 = near
    return (
        (nodes[node, LEVEL] != value)
        & (nodes[node, X1] >= near_x0)
        & (nodes[node, Y1] >= near_y0)
        & (nodes[node, X0] <= near_x1)
        & (nodes[node, Y0] <= near_y1)
    )


@compiled
def judge(nodes, node, grow, truth, convention, ranges, first, last):
    """Count a component's box, grown by some pixels, at the cuts first … last."""
    boxes, _ = truth
    plus, last_x, last_y = convention
    iou = best_iou(
        float(nodes[node, X0] - grow),
        float(nodes[node, Y0] - grow),
        min(float(nodes[node, X1] + 1 + grow), last_x),
        min(float(nodes[node, Y1] + 1 + grow), last_y),
        boxes,
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

"""Compiled union-find over the components that grow and merge as pixels enter in sorted order.

Local extrema open a component; every other pixel takes over the label of an earlier neighbour, so the
union-find holds one node per local extremum, not per pixel. Each node knows its root: where two components
join, the nodes of the smaller one are given the other root, so that a root is found in one step, without a
branch that no processor can foresee. What becomes of a component's box is noted: which box it had at which cuts,
for `wsol.sweep.noted_boxes` to judge afterwards.
"""

# numba infers the types of compiled functions, so they go without annotations.
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import numpy as np

from wsol.sweep.compiling import compiled
from wsol.sweep.packed_boxes import around

# A component is a row of int32, held by its root: the value at which its box last changed, its area
# (of a hole: what it adds where it is filled), its first pixel in raster order, and then
# of an outer contour: a node of the component that lies around it;
# of a hole: its Euler number (1 minus the number of islands in it).
LEVEL, AREA, FIRST, AROUND = range(4)
EULER = AROUND
COLUMNS = 4
NONE = -1
# A forest is four arrays over the nodes: the root of each; the next node of its component, in a circle; and,
# held by the root, how many nodes the component has, and its box (`wsol.sweep.packed_boxes`).


@compiled
def steps_to_groups(dy, dx, stride):
    """How far each group of neighbours is from its pixel, ``(256, 4)``, in a map with so many pixels a row."""
    steps = np.empty(dy.shape, np.int64)
    for byte in range(dy.shape[0]):
        for group in range(dy.shape[1]):
            steps[byte, group] = dy[byte, group] * stride + dx[byte, group]
    return steps


@compiled
def larger_first(forest, one, other):
    """The roots of two components, first the one of more nodes."""
    sizes = forest[2]
    return (one, other) if sizes[one] >= sizes[other] else (other, one)


@compiled
def relabel(forest, node, root):
    """Give another root to all nodes of a node's component."""
    roots, following, _, _ = forest
    first = node
    roots[node] = root
    node = following[node]
    while node != first:
        roots[node] = root
        node = following[node]


@compiled
def join(forest, root, other):
    """Make the component `other` part of `root`."""
    _, following, sizes, boxes = forest
    relabel(forest, other, root)
    following[root], following[other] = following[other], following[root]
    sizes[root] += sizes[other]
    boxes[root] = around(boxes[root], boxes[other])


@compiled
def open_node(forest, nodes, node, value, pixel, box):
    """A component of one pixel."""
    roots, following, sizes, boxes = forest
    roots[node] = node
    following[node] = node
    sizes[node] = 1
    boxes[node] = box
    nodes[node, LEVEL] = value
    nodes[node, FIRST] = pixel


@compiled
def note(noted, count, box, first, last):
    """Note a box and the cuts ``first … last`` at which it was a component's, unless they are none.

    Args:
        noted: ``(boxes, spans)``, arrays with room for one more.
        count: How many boxes are noted.
        box: See `wsol.sweep.packed_boxes`.
        first: The lowest of the cuts.
        last: The highest of the cuts.

    Returns:
        How many are noted then.
    """
    boxes, spans = noted
    boxes[np.uint64(count)] = box
    spans[np.uint64(count)] = first << 8 | last
    return count + np.int64(first <= last)

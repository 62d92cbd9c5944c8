"""The holes of a map's foreground at every cut: 4-connected background that does not touch the outside.

Pixels enter in ascending order. A component that has not met the outside yet is a hole of the foreground,
and its box, grown by the surrounding contour, is the hole contour's. The value at which it meets the outside
says up to which cut its pixels are filled. Values without a hole are passed over.

A pixel between several groups of neighbours joins components either here or among the outer contours: of its
groups less one, every pair that is apart here is one that is together there. How many are joined here is noted
per pixel and spares `wsol.sweep.outer_contours` looking.

Indices are unsigned, because numba tests a signed one for being negative; that costs a fifth of the time.
"""

# numba infers the types of compiled functions, so they go without annotations.
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import numpy as np

from wsol.sweep.compiling import compiled
from wsol.sweep.components import AREA, EULER, FIRST, LEVEL, NONE, join, larger_first, note, open_node
from wsol.sweep.packed_boxes import around, box_of_pixel
from wsol.sweep.pixels import read_entry
from wsol.sweep.ring import euler_table, group_tables

OUTSIDE = 0  # the label of the margin, and of every pixel that is in no hole when it enters
MOST_JOINED = 3  # components that a pixel joins to another one
IN_HOLE = 4  # added to `joined` of a pixel that is in a hole when it enters
EULER_NUMBER = euler_table()
NUMBER_4, DY_4, DX_4 = group_tables(4)


@compiled
def close_hole(forest, hole_arrays, hole, value):
    """Note at which value a hole meets the outside, and make its nodes the outside's."""
    _, _, _, hole_of, _, first_closed, next_closed = hole_arrays
    roots, following, _, _ = forest
    next_closed[hole] = first_closed[value]
    first_closed[value] = hole
    node = hole
    while roots[node] != OUTSIDE:
        roots[node] = OUTSIDE
        hole_of[node] = hole
        node = following[node]


@compiled
def sweep_holes(pixels, step, extrema, measure, hole_arrays, noted, counts):
    """Count the hole contours at every cut.

    Args:
        pixels: ``(order, start, height, width)``, see `wsol.sweep.pixels.sort_pixels`.
        step: `wsol.sweep.components.steps_to_groups` of neighbours by edges.
        extrema: ``(minima, highest_minimum)`` of `wsol.sweep.pixels.find_extrema`.
        measure: See `wsol.sweep.outer_contours.sweep_outer_contours`; the areas are those that filled pixels add.
        hole_arrays: Output ``(labels, forest, nodes, hole_of, joined, first_closed, next_closed)``. Labels are
            `OUTSIDE` but for the pixels of holes; ``hole_of`` gives the root of the hole that a label belongs to.
            ``joined``: how many components a pixel joined to another one, and `IN_HOLE`. ``first_closed``
            ``(256,)``: per value the first of the roots that met the outside at it; ``next_closed``: per root
            the next one, `NONE` after the last.
        noted: Output, see `wsol.sweep.components.note`: the boxes of the holes, without the contours around them.
        counts: ``(256,)``: the holes are added.

    Returns:
        How many boxes are noted.
    """
    order, start, _, width = pixels
    minima, highest_minimum = extrema
    areas, _, _ = measure
    labels, forest, nodes, hole_of, joined, first_closed, _ = hole_arrays
    roots, _, _, boxes = forest
    stride = width + 2
    for value in range(256):
        first_closed[value] = NONE
    for pixel in range(labels.size):
        labels[pixel] = OUTSIDE
        joined[pixel] = 0
    roots[OUTSIDE] = OUTSIDE
    hole_of[OUTSIDE] = OUTSIDE
    num_nodes, alive, num_noted = 1, 0, np.int64(0)
    for value in range(256):
        if alive == 0:
            if value > highest_minimum:
                break
            if not minima[value]:
                continue
        nodes[OUTSIDE, LEVEL] = value  # so that nothing is noted of it
        end = start[value - 1] if value > 0 else order.size
        for k in range(end - 1, start[value] - 1, -1):
            mark, place, pixel = read_entry(order[np.uint64(k)], stride)
            present = np.uint8(mark ^ 0xFF)
            num_groups = NUMBER_4[present]
            if num_groups == 0:
                node = np.uint32(num_nodes)
                open_node(forest, nodes, node, value, pixel, box_of_pixel(np.uint64(place)))
                nodes[node, AREA] = areas[mark]
                nodes[node, EULER] = 1
                labels[np.uint64(pixel)] = node
                joined[np.uint64(pixel)] = IN_HOLE
                num_nodes += 1
                alive += 1
                continue
            root = roots[labels[np.uint64(pixel + step[present, 0])]]
            num_joined = 0
            if num_groups > 1:
                for group in range(1, num_groups):
                    other = roots[labels[np.uint64(pixel + step[present, group])]]
                    if other == root:
                        continue
                    num_joined += 1
                    num_noted = note(noted, num_noted, boxes[root], np.int64(nodes[root, LEVEL]), value - 1)
                    num_noted = note(noted, num_noted, boxes[other], np.int64(nodes[other, LEVEL]), value - 1)
                    if root == OUTSIDE:
                        close_hole(forest, hole_arrays, other, value)
                    elif other == OUTSIDE:
                        # This pixel joined what it now gives to the outside: holes apart from each other without it.
                        nodes[root, EULER] -= num_joined - 1
                        close_hole(forest, hole_arrays, root, value)
                        root = other
                    else:
                        root, other = larger_first(forest, root, other)
                        nodes[root, LEVEL] = value
                        nodes[root, AREA] += nodes[other, AREA]
                        nodes[root, EULER] += nodes[other, EULER]
                        nodes[root, FIRST] = min(nodes[root, FIRST], nodes[other, FIRST])
                        join(forest, root, other)
                alive -= num_joined
                joined[np.uint64(pixel)] = num_joined
            if root == OUTSIDE:
                continue
            labels[np.uint64(pixel)] = root
            joined[np.uint64(pixel)] = num_joined | IN_HOLE
            nodes[root, AREA] += areas[mark]
            nodes[root, EULER] += EULER_NUMBER[present]
            nodes[root, FIRST] = min(nodes[root, FIRST], pixel)
            box = boxes[root]
            grown = around(box, box_of_pixel(np.uint64(place)))
            # Whether the box grows cannot be foreseen either: without a branch a span of no cuts is noted.
            has_grown, level = grown != box, nodes[root, LEVEL]
            num_noted = note(noted, num_noted, box, level if has_grown else value, value - 1)
            nodes[root, LEVEL] = value if has_grown else level
            boxes[root] = grown
        counts[value] += alive
    return num_noted

"""The holes of a map's foreground at every cut: 4-connected background that does not touch the outside.

Pixels enter in ascending order. A component that has not met the outside yet is a hole of the foreground,
and its box, grown by the surrounding contour, is the hole contour's. The value at which it meets the outside
says up to which cut its pixels are filled. Values without a hole are passed over.

Indices are unsigned, because numba tests a signed one for being negative; that costs a fifth of the time.
"""

# numba infers the types of compiled functions, so they go without annotations.
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import numpy as np

from wsol.sweep.compiling import compiled
from wsol.sweep.components import (
    AREA,
    EULER,
    LEVEL,
    NONE,
    TOP,
    Y0,
    absorb,
    find,
    include,
    judge,
    open_node,
    outside_box,
)
from wsol.sweep.ring import euler_table, group_tables

OUTSIDE = 0  # the label of the margin, and of every pixel that is in no hole when it enters
NEVER = 255  # the value at which a hole meets the outside that does not
EULER_NUMBER = euler_table()
NUMBER_4, DY_4, DX_4 = group_tables(4)


@compiled
def sweep_holes(pixels, minima, highest_minimum, areas, hole_arrays, truth, convention, ranges, counts):
    """Count the hole contours at every cut.

    Args:
        pixels: ``(order, start, values, marks)`` of `wsol.sweep.pixels`.
        minima: ``(256,)`` bool, see `wsol.sweep.pixels.find_extrema`.
        highest_minimum: Likewise.
        areas: ``(256,)`` area that a filled pixel adds, by its byte of `marks`.
        hole_arrays: Output ``(labels, parent, nodes, met_outside, first_closed, next_closed)``. Labels are
            `OUTSIDE` but for the pixels of holes. ``first_closed`` ``(256,)``: per value the first of the roots
            that met the outside at it; ``next_closed``: per root the next one, `NONE` after the last.
        truth: ``(K, 4)`` ground-truth boxes.
        convention: ``(plus, last_x, last_y)``.
        ranges: Best IoU per range of cuts, see `wsol.sweep.components.judge`.
        counts: ``(256,)``: the holes are added.
    """
    order, start, _, marks = pixels
    labels, parent, nodes, met_outside, first_closed, next_closed = hole_arrays
    stride = marks.shape[1]
    flat_marks = marks.ravel()
    step = np.empty((256, 4), np.int64)
    for byte in range(256):
        first_closed[byte] = NONE
        for group in range(4):
            step[byte, group] = DY_4[byte, group] * stride + DX_4[byte, group]
    for pixel in range(labels.size):
        labels[pixel] = OUTSIDE
    parent[OUTSIDE] = OUTSIDE
    met_outside[OUTSIDE] = 0
    num_nodes = 1
    alive = 0
    for value in range(255):
        if alive == 0:
            if value > highest_minimum:
                break
            if not minima[value]:
                continue
        end = start[value - 1] if value > 0 else order.size
        for k in range(end - 1, start[value] - 1, -1):
            packed = np.int64(order[np.uint64(k)])
            y, x = packed >> 16, packed & 0xFFFF
            pixel = (y + 1) * stride + x + 1
            mark = flat_marks[np.uint64(pixel)]
            present = np.uint8(mark ^ 0xFF)
            num_groups = NUMBER_4[present]
            if num_groups == 0:
                node = np.uint32(num_nodes)
                open_node(nodes, node, value, x, y)
                parent[node] = node
                nodes[node, AREA] = areas[mark]
                nodes[node, TOP] = pixel
                nodes[node, EULER] = 1
                met_outside[node] = NEVER
                labels[np.uint64(pixel)] = node
                num_nodes += 1
                alive += 1
                continue
            root = find(parent, labels[np.uint64(pixel + step[present, 0])])
            for group in range(1, num_groups):
                other = find(parent, labels[np.uint64(pixel + step[present, group])])
                if other == root or (met_outside[root] != NEVER and met_outside[other] != NEVER):
                    continue
                root, other = min(root, other), max(root, other)
                for node in (root, other):
                    if met_outside[node] == NEVER and nodes[node, LEVEL] != value:
                        judge(nodes, node, 1, truth, convention, ranges, nodes[node, LEVEL], value - 1)
                alive -= 1
                if met_outside[root] == NEVER and met_outside[other] == NEVER:
                    parent[other] = root
                    nodes[root, LEVEL] = value
                    nodes[root, AREA] += nodes[other, AREA]
                    nodes[root, EULER] += nodes[other, EULER]
                    if nodes[other, Y0] < nodes[root, Y0]:
                        nodes[root, TOP] = nodes[other, TOP]
                    absorb(nodes, root, other)
                else:
                    hole = root if met_outside[root] == NEVER else other
                    met_outside[hole] = value
                    next_closed[hole] = first_closed[value]
                    first_closed[value] = hole
            if met_outside[root] != NEVER:
                continue
            labels[np.uint64(pixel)] = root
            nodes[root, AREA] += areas[mark]
            nodes[root, EULER] += EULER_NUMBER[present]
            if outside_box(nodes, root, x, y):
                if nodes[root, LEVEL] != value:
                    judge(nodes, root, 1, truth, convention, ranges, nodes[root, LEVEL], value - 1)
                    nodes[root, LEVEL] = value
                if y < nodes[root, Y0]:
                    nodes[root, TOP] = pixel
                include(nodes, root, x, y)
        counts[value] += alive
    for i in range(1, num_nodes):
        node = np.uint32(i)
        if parent[node] == node and met_outside[node] == NEVER:
            judge(nodes, node, 1, truth, convention, ranges, nodes[node, LEVEL], 254)
            next_closed[node] = first_closed[NEVER]
            first_closed[NEVER] = node

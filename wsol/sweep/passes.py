"""The three passes over the sorted pixels of a map. `wsol.sweep.kernel` tells what they are for.

Indices are unsigned, because numba tests a signed one for being negative; that costs a fifth of the time.
"""

# numba infers the types of compiled functions, so they go without annotations.
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import numpy as np

from wsol.sweep.components import (
    GROUPS_4,
    GROUPS_8,
    NEVER,
    absorb,
    find,
    include,
    joined,
    judge,
    open_node,
    outside_box,
)
from wsol.sweep.pixels import compiled

ZERO = np.uint64(0)


@compiled
def sweep_outer_contours(order, start, earlier, labels, nodes, truth, convention, ranges, counts):
    """Count the outer contours at every cut, nested ones included."""
    stride = earlier.shape[1]
    num_joined, step = joined(GROUPS_8, stride)
    marks = earlier.ravel()
    num_nodes = 0
    alive = 0
    for value in range(255, 0, -1):
        for k in range(start[value], start[value - 1]):
            packed = order[np.uint64(k)]
            y, x = packed >> 16, packed & 0xFFFF
            pixel = np.uint64((y + 1) * stride + x + 1)
            present = marks[pixel]
            num_groups = num_joined[present]
            if num_groups == 0:
                open_node(nodes, np.uint32(num_nodes), value, x, y)
                labels[pixel] = num_nodes
                num_nodes += 1
                alive += 1
                continue
            root = find(nodes, labels[pixel + step[present, ZERO]])
            for group in range(1, num_groups):
                other = find(nodes, labels[pixel + step[present, np.uint64(group)]])
                if other == root:
                    continue
                root, other = min(root, other), max(root, other)
                for node in (root, other):
                    if nodes[node].level != value:
                        judge(nodes, node, 0, truth, convention, ranges, value, nodes[node].level - 1)
                nodes[root].level = value
                absorb(nodes, root, other)
                alive -= 1
            labels[pixel] = root
            if outside_box(nodes, root, x, y):
                if nodes[root].level != value:
                    judge(nodes, root, 0, truth, convention, ranges, value, nodes[root].level - 1)
                    nodes[root].level = value
                include(nodes, root, x, y)
        counts[value - 1] += alive
    for node in range(num_nodes):
        if nodes[node].parent == node:
            judge(nodes, np.uint32(node), 0, truth, convention, ranges, 0, nodes[node].level - 1)


@compiled
def sweep_holes(order, start, earlier, labels, nodes, truth, convention, ranges, counts):
    """Count the hole contours at every cut; returns the value at which each node met the outside.

    Node 0 is the outside, the label of the margin.
    """
    stride = earlier.shape[1]
    num_joined, step = joined(GROUPS_4, stride)
    marks = earlier.ravel()
    open_node(nodes, np.uint32(0), 0, 0, 0)
    nodes[0].met_outside = 0
    num_nodes = 1
    alive = 0
    for value in range(255):
        end = start[value - 1] if value > 0 else order.size
        for k in range(end - 1, start[value] - 1, -1):
            packed = order[np.uint64(k)]
            y, x = packed >> 16, packed & 0xFFFF
            pixel = np.uint64((y + 1) * stride + x + 1)
            present = np.uint8(255 - marks[pixel])
            num_groups = num_joined[present]
            if num_groups == 0:
                open_node(nodes, np.uint32(num_nodes), value, x, y)
                labels[pixel] = num_nodes
                num_nodes += 1
                alive += 1
                continue
            root = find(nodes, labels[pixel + step[present, ZERO]])
            for group in range(1, num_groups):
                other = find(nodes, labels[pixel + step[present, np.uint64(group)]])
                if other == root or (nodes[root].met_outside != NEVER and nodes[other].met_outside != NEVER):
                    continue
                root, other = min(root, other), max(root, other)
                for node in (root, other):
                    if nodes[node].met_outside == NEVER and nodes[node].level != value:
                        judge(nodes, node, 1, truth, convention, ranges, nodes[node].level, value - 1)
                alive -= 1
                if nodes[root].met_outside == NEVER and nodes[other].met_outside == NEVER:
                    nodes[root].level = value
                    absorb(nodes, root, other)
                else:
                    hole = root if nodes[root].met_outside == NEVER else other
                    nodes[hole].met_outside = value
            labels[pixel] = root
            if nodes[root].met_outside == NEVER and outside_box(nodes, root, x, y):
                if nodes[root].level != value:
                    judge(nodes, root, 1, truth, convention, ranges, nodes[root].level, value - 1)
                    nodes[root].level = value
                include(nodes, root, x, y)
        counts[value] += alive
    met_outside = np.empty(num_nodes, np.int16)
    for node in range(num_nodes):
        root = find(nodes, np.uint32(node))
        met_outside[node] = nodes[root].met_outside
        if root == node and met_outside[node] == NEVER:
            judge(nodes, root, 1, truth, convention, ranges, nodes[root].level, 254)
    return met_outside


@compiled
def sweep_largest(order, start, earlier, labels, nodes, areas, total_area, tie, convention, boxes):
    """Write the box of the component with the largest area at every cut to ``boxes`` ``(256, 4)``.

    ``areas`` ``(256,)`` is what a pixel adds to its component's area, by its earlier neighbours, and
    ``total_area`` the area of the whole map. Of equal areas the component whose first pixel in raster
    order comes last wins (``tie`` 1) or first (-1).
    """
    _, last_x, last_y = convention
    height, width = earlier.shape[0] - 2, earlier.shape[1] - 2
    stride = earlier.shape[1]
    num_joined, step = joined(GROUPS_8, stride)
    marks = earlier.ravel()
    changed = np.empty(nodes.size, np.uint32)
    num_nodes = 0
    best, best_area, best_first = np.uint32(0), -1, -1
    for value in range(255, 0, -1):
        num_changed = 0
        for k in range(start[value], start[value - 1]):
            packed = order[np.uint64(k)]
            y, x = packed >> 16, packed & 0xFFFF
            pixel = np.uint64((y + 1) * stride + x + 1)
            present = marks[pixel]
            num_groups = num_joined[present]
            if num_groups == 0:
                open_node(nodes, np.uint32(num_nodes), value, x, y)
                nodes[num_nodes].area = areas[present]
                nodes[num_nodes].first = pixel
                labels[pixel] = num_nodes
                changed[num_changed] = num_nodes
                num_changed += 1
                num_nodes += 1
                continue
            root = find(nodes, labels[pixel + step[present, ZERO]])
            for group in range(1, num_groups):
                other = find(nodes, labels[pixel + step[present, np.uint64(group)]])
                if other == root:
                    continue
                root, other = min(root, other), max(root, other)
                absorb(nodes, root, other)
                nodes[root].area += nodes[other].area
                nodes[root].first = min(nodes[root].first, nodes[other].first)
            labels[pixel] = root
            nodes[root].area += areas[present]
            if outside_box(nodes, root, x, y):
                include(nodes, root, x, y)
            if np.uint32(pixel) < nodes[root].first:
                nodes[root].first = pixel
            if nodes[root].level != value:
                nodes[root].level = value
                changed[num_changed] = root
                num_changed += 1
        former_area = best_area
        moved = False
        if best_area >= 0:
            best = find(nodes, best)
            moved = nodes[best].first != best_first
            best_area, best_first = nodes[best].area, np.int64(nodes[best].first)
        for i in range(num_changed):
            node = changed[i]
            area, first = nodes[node].area, np.int64(nodes[node].first)
            if nodes[node].parent == node and (
                area > best_area or (area == best_area and tie * first > tie * best_first)
            ):
                best, best_area, best_first = node, area, first
        if moved and best_area == former_area:
            # The winner's first pixel moved up and its area did not grow: an equal one may now win the tie.
            for i in range(num_nodes):
                first = np.int64(nodes[i].first)
                if nodes[i].parent == i and nodes[i].area == best_area and tie * first > tie * best_first:
                    best, best_first = np.uint32(i), first
        if best_area < 0:
            continue
        box = boxes[value - 1]
        box[0] = nodes[best].x0
        box[1] = nodes[best].y0
        box[2] = min(nodes[best].x1 + 1, last_x)
        box[3] = min(nodes[best].y1 + 1, last_y)
        whole_width = nodes[best].x0 == 0 and nodes[best].x1 == width - 1
        whole_height = nodes[best].y0 == 0 and nodes[best].y1 == height - 1
        if whole_width and whole_height and 2 * best_area > total_area:
            # It owns more than half of all the area there is: nothing can overtake it any more.
            boxes[: value - 1] = box
            return

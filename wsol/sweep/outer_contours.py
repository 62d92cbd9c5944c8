"""The outer contours of a map's foreground at every cut, and the largest of them.

Pixels enter in descending order. Every 8-connected component has an outer contour. The area of a contour
(`cv2.contourArea`) counts all that lies inside, holes and islands in them, and is a sum over these pixels
(`wsol.sweep.ring.area_table`): where a hole closes, the component around it receives the area of the hole's
pixels and of the islands in it. From then on it lies around the islands: they go on as components for
their boxes, but have no area of their own, as the pixels of holes add none when they enter later.

Indices are unsigned, because numba tests a signed one for being negative; that costs a fifth of the time.
"""

# numba infers the types of compiled functions, so they go without annotations.
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import numpy as np

from wsol.sweep.compiling import compiled
from wsol.sweep.components import (
    AREA,
    AROUND,
    EULER,
    FIRST,
    LEVEL,
    NONE,
    TOP,
    X0,
    X1,
    Y0,
    Y1,
    absorb,
    find,
    include,
    judge,
    open_node,
    outside_box,
)
from wsol.sweep.holes import OUTSIDE
from wsol.sweep.ring import group_tables

FEW = 48  # so many nodes are looked through after every value; of more, only those that may have become the largest
NUMBER_8, DY_8, DX_8 = group_tables(8)


@compiled
def find_outer(parent, nodes, node):
    """The component that no other one lies around."""
    root = find(parent, np.uint32(node))
    while nodes[root, AROUND] != NONE:
        root = find(parent, np.uint32(nodes[root, AROUND]))
    return root


@compiled
def merge(parent, nodes, root, other):
    """Make the component `other` part of `root`."""
    if nodes[root, AROUND] == NONE and nodes[other, AROUND] == NONE:
        nodes[root, AREA] += nodes[other, AREA]
        nodes[root, FIRST] = min(nodes[root, FIRST], nodes[other, FIRST])
    else:
        outer = find_outer(parent, nodes, other if nodes[root, AROUND] == NONE else root)
        if outer in (other, root):  # it has counted the other one's area
            nodes[root, AREA] = nodes[outer, AREA]
            nodes[root, FIRST] = nodes[outer, FIRST]
            nodes[root, AROUND] = NONE
        else:
            nodes[root, AROUND] = outer
    parent[other] = root
    absorb(nodes, root, other)


@compiled
def fill_hole(hole, num_nodes, stride, labels, parent, nodes, hole_arrays):
    """Give a hole's area, and that of the islands in it, to the component around it; returns that one."""
    hole_labels, hole_parent, holes, _, _, _ = hole_arrays
    outer = find_outer(parent, nodes, labels[np.uint64(holes[hole, TOP] - stride)])
    nodes[outer, AREA] += holes[hole, AREA]
    if holes[hole, EULER] == 1:
        return outer
    for i in range(num_nodes):
        node = np.uint32(i)
        if parent[node] != node or nodes[node, AROUND] != NONE or node == outer:
            continue
        # What is above a component's first pixel lies around the component.
        if find(hole_parent, hole_labels[np.uint64(nodes[node, FIRST] - stride)]) == hole:
            nodes[node, AROUND] = outer
            nodes[outer, AREA] += nodes[node, AREA]
    return outer


@compiled
def better(nodes, node, area, first, tie):
    """Whether a component is the largest contour rather than one of that area and first pixel."""
    return nodes[node, AREA] > area or (nodes[node, AREA] == area and tie * nodes[node, FIRST] > tie * first)


@compiled
def largest(parent, nodes, num_nodes, tie):
    """The largest contour of all."""
    best, best_area, best_first = np.uint32(0), -1, -1
    for i in range(num_nodes):
        node = np.uint32(i)
        if parent[node] == node and nodes[node, AROUND] == NONE and better(nodes, node, best_area, best_first, tie):
            best, best_area, best_first = node, nodes[node, AREA], nodes[node, FIRST]
    return best


@compiled
def sweep_outer_contours(
    pixels, lowest_maximum, areas, total_area, tie, hole_arrays, outer_arrays, truth, convention, ranges, counts, boxes
):
    """Count the outer contours at every cut, nested ones included, and find the largest.

    Args:
        pixels: ``(order, start, values, marks)`` of `wsol.sweep.pixels`.
        lowest_maximum: Value of the lowest local maximum.
        areas: ``(256,)`` area that a pixel adds, by its byte of `marks`.
        total_area: Area of the whole map.
        tie: Of equal areas the component whose first pixel in raster order comes last wins (1) or first (-1).
        hole_arrays: What `wsol.sweep.holes.sweep_holes` found.
        outer_arrays: Workspace ``(labels, parent, nodes, candidates)``.
        truth: ``(K, 4)`` ground-truth boxes.
        convention: ``(plus, last_x, last_y)``.
        ranges: Best IoU per range of cuts, see `wsol.sweep.components.judge`.
        counts: ``(256,)``: the contours are added.
        boxes: ``(256, 4)`` output: box of the largest contour at every cut below the map's maximum.
    """
    order, start, _, marks = pixels
    hole_labels, _, _, _, first_closed, next_closed = hole_arrays
    labels, parent, nodes, candidates = outer_arrays
    _, last_x, last_y = convention
    height, width = marks.shape[0] - 2, marks.shape[1] - 2
    stride = marks.shape[1]
    flat_marks = marks.ravel()
    step = np.empty((256, 4), np.int64)
    for byte in range(256):
        for group in range(4):
            step[byte, group] = DY_8[byte, group] * stride + DX_8[byte, group]
    num_nodes, alive = 0, 0
    best, best_area, best_first = np.uint32(0), -1, -1
    settled = False
    for value in range(255, 0, -1):
        former_area, former_first = best_area, best_first
        num_candidates = 0
        many = num_nodes > FEW
        for k in range(start[value], start[value - 1]):
            packed = np.int64(order[np.uint64(k)])
            y, x = packed >> 16, packed & 0xFFFF
            pixel = (y + 1) * stride + x + 1
            present = flat_marks[np.uint64(pixel)]
            num_groups = NUMBER_8[present]
            if num_groups == 0:
                root = np.uint32(num_nodes)
                open_node(nodes, root, value, x, y)
                parent[root] = root
                nodes[root, AREA] = 0
                nodes[root, FIRST] = pixel
                nodes[root, AROUND] = NONE
                num_nodes += 1
                alive += 1
            else:
                root = find(parent, labels[np.uint64(pixel + step[present, 0])])
                for group in range(1, num_groups):
                    other = find(parent, labels[np.uint64(pixel + step[present, group])])
                    if other == root:
                        continue
                    root, other = min(root, other), max(root, other)
                    for node in (root, other):
                        if nodes[node, LEVEL] != value:
                            judge(nodes, node, 0, truth, convention, ranges, value, nodes[node, LEVEL] - 1)
                    nodes[root, LEVEL] = value
                    merge(parent, nodes, root, other)
                    alive -= 1
                if outside_box(nodes, root, x, y):
                    if nodes[root, LEVEL] != value:
                        judge(nodes, root, 0, truth, convention, ranges, value, nodes[root, LEVEL] - 1)
                        nodes[root, LEVEL] = value
                    include(nodes, root, x, y)
            labels[np.uint64(pixel)] = root
            if settled or nodes[root, AROUND] != NONE:
                continue
            nodes[root, FIRST] = min(nodes[root, FIRST], pixel)
            area = nodes[root, AREA] + areas[present] * np.int32(hole_labels[np.uint64(pixel)] == OUTSIDE)
            nodes[root, AREA] = area
            if many:
                candidates[np.uint64(num_candidates)] = root
                num_candidates += np.int64(area >= best_area)
                best_area = max(best_area, area)
        counts[value - 1] += alive
        if settled:
            if alive == 1 and value <= lowest_maximum:  # the whole map's box stays
                for cut in range(value - 1):
                    counts[cut] += 1
                break
            continue
        hole = first_closed[value]
        while hole != NONE:
            outer = fill_hole(np.uint32(hole), num_nodes, stride, labels, parent, nodes, hole_arrays)
            candidates[np.uint64(num_candidates)] = outer
            num_candidates += 1
            hole = next_closed[np.uint32(hole)]
        if many:
            best = find_outer(parent, nodes, best)
            best_area, best_first = nodes[best, AREA], nodes[best, FIRST]
            overtaken = best_area == former_area and best_first != former_first
            for i in range(num_candidates):
                node = find_outer(parent, nodes, candidates[np.uint64(i)])
                if better(nodes, node, best_area, best_first, tie):
                    best, best_area, best_first = node, nodes[node, AREA], nodes[node, FIRST]
            # The winner's first pixel moved up and its area did not grow: an equal one may now win the tie.
            many = not (overtaken and best_area == former_area)
        if not many:
            best = largest(parent, nodes, num_nodes, tie)
        if num_nodes == 0:
            continue
        best_area, best_first = nodes[best, AREA], nodes[best, FIRST]
        box = boxes[value - 1]
        box[0] = nodes[best, X0]
        box[1] = nodes[best, Y0]
        box[2] = min(nodes[best, X1] + 1, last_x)
        box[3] = min(nodes[best, Y1] + 1, last_y)
        whole_width = nodes[best, X0] == 0 and nodes[best, X1] == width - 1
        whole_height = nodes[best, Y0] == 0 and nodes[best, Y1] == height - 1
        if whole_width and whole_height and 2 * best_area > total_area:
            # It owns more than half of all the area there is: nothing can overtake it any more.
            settled = True
            for cut in range(value - 1):
                for side in range(4):
                    boxes[cut, side] = box[side]
    for i in range(num_nodes):
        node = np.uint32(i)
        if parent[node] == node:
            judge(nodes, node, 0, truth, convention, ranges, 0, nodes[node, LEVEL] - 1)

"""The outer contours of a map's foreground at every cut, and the largest of them.

Pixels enter in descending order. Every 8-connected component has an outer contour. The area of a contour
(`cv2.contourArea`) counts all that lies inside, holes and islands in them, and is a sum over these pixels
(`wsol.sweep.ring.area_table`): where a hole closes, the component around it receives the area of the hole's
pixels and of the islands in it. From then on it lies around the islands: they go on as components for
their boxes, but have no area of their own, as the pixels of holes add none when they enter later.

Once a component has the whole map's box and the largest area for good, it goes on as the label `WHOLE`: what joins
it is done, and values at which nothing else is there or begins are passed over.

Indices are unsigned, because numba tests a signed one for being negative; that costs a fifth of the time.
"""

# numba infers the types of compiled functions, so they go without annotations.
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import numpy as np

from wsol.sweep.compiling import compiled
from wsol.sweep.components import AREA, AROUND, EULER, FIRST, LEVEL, NONE, join, larger_first, note, open_node, relabel
from wsol.sweep.holes import IN_HOLE, MOST_JOINED
from wsol.sweep.packed_boxes import around, bottom, box_of_pixel, left, right, top
from wsol.sweep.pixels import read_entry
from wsol.sweep.ring import group_tables

WHOLE = 0  # the label of the component that will stay the largest, and of pixels that were passed over
FEW = 48  # so many nodes are looked through after every value; of more, only those that may have become the largest
NUMBER_8, DY_8, DX_8 = group_tables(8)


@compiled
def find_outer(roots, nodes, node):
    """The component that no other one lies around."""
    root = roots[np.uint32(node)]
    while nodes[root, AROUND] != NONE:
        root = roots[np.uint32(nodes[root, AROUND])]
    return root


@compiled
def merge(forest, nodes, root, other):
    """Make the component `other` part of `root`."""
    if nodes[root, AROUND] == NONE and nodes[other, AROUND] == NONE:
        nodes[root, AREA] += nodes[other, AREA]
        nodes[root, FIRST] = min(nodes[root, FIRST], nodes[other, FIRST])
    else:
        outer = find_outer(forest[0], nodes, other if nodes[root, AROUND] == NONE else root)
        if outer in (other, root):  # it has counted the other one's area
            nodes[root, AREA] = nodes[outer, AREA]
            nodes[root, FIRST] = nodes[outer, FIRST]
            nodes[root, AROUND] = NONE
        else:
            nodes[root, AROUND] = outer
    join(forest, root, other)


@compiled
def drop_joined(roots, apart, num_apart):
    """Keep those nodes of a list that are still roots; returns their number."""
    kept = 0
    for i in range(num_apart):
        node = apart[np.uint64(i)]
        apart[np.uint64(kept)] = node
        kept += np.int64(roots[node] == node)
    return kept


@compiled
def fill_hole(hole, apart, num_apart, stride, labels, roots, nodes, hole_arrays):
    """Give a hole's area, and that of the islands in it, to the component around it.

    Returns:
        The component around the hole, and the length of the list `apart`, from which what is no root may be dropped.
    """
    hole_labels, _, holes, hole_of, _, _, _ = hole_arrays
    outer = find_outer(roots, nodes, labels[np.uint64(holes[hole, FIRST] - stride)])
    nodes[outer, AREA] += holes[hole, AREA]
    if holes[hole, EULER] == 1:
        return outer, num_apart
    num_apart = drop_joined(roots, apart, num_apart)
    for i in range(num_apart):
        node = apart[np.uint64(i)]
        if (nodes[node, AROUND] != NONE) | (node == outer):
            continue
        # What is above a component's first pixel lies around the component.
        if hole_of[hole_labels[np.uint64(nodes[node, FIRST] - stride)]] == hole:
            nodes[node, AROUND] = outer
            nodes[outer, AREA] += nodes[node, AREA]
    return outer, num_apart


@compiled
def better(nodes, node, area, first, tie):
    """Whether a component is the largest contour rather than one of that area and first pixel."""
    return nodes[node, AREA] > area or (nodes[node, AREA] == area and tie * nodes[node, FIRST] > tie * first)


@compiled
def largest(roots, nodes, num_nodes, tie):
    """The largest contour of all."""
    best, best_area, best_first = np.uint32(0), -1, -1
    for i in range(1, num_nodes):
        node = np.uint32(i)
        if roots[node] == node and nodes[node, AROUND] == NONE and better(nodes, node, best_area, best_first, tie):
            best, best_area, best_first = node, nodes[node, AREA], nodes[node, FIRST]
    return best


@compiled
def sweep_outer_contours(
    pixels, step, extrema, measure, hole_arrays, outer_arrays, noted, num_noted, ends, counts, largest_boxes
):
    """Count the outer contours at every cut, nested ones included, and find the largest.

    Args:
        pixels: ``(order, start, height, width)``, see `wsol.sweep.pixels.sort_pixels`.
        step: `wsol.sweep.components.steps_to_groups` of all neighbours.
        extrema: ``(maxima, lowest_maximum)`` of `wsol.sweep.pixels.find_extrema`.
        measure: ``(areas, total_area, tie)``: ``(256,)`` area that a pixel adds, by its byte of `marks`; area of the
            whole map; of equal areas the component whose first pixel in raster order comes last wins (1) or first (-1).
        hole_arrays: What `wsol.sweep.holes.sweep_holes` found.
        outer_arrays: Workspace ``(labels, forest, nodes, apart, candidates)``.
        noted: Output, see `wsol.sweep.components.note`: the boxes of the components are added.
        num_noted: How many boxes are noted before.
        ends: ``(last_x, last_y)``: limits of where a box ends.
        counts: ``(256,)``: the contours are added.
        largest_boxes: ``(256, 4)`` output: box of the largest contour at every cut below the map's maximum.

    Returns:
        How many boxes are noted.
    """
    order, start, height, width = pixels
    maxima, lowest_maximum = extrema
    areas, total_area, tie = measure
    _, _, _, _, joined, first_closed, next_closed = hole_arrays
    labels, forest, nodes, apart, candidates = outer_arrays
    roots, _, _, boxes = forest
    last_x, last_y = ends
    stride = width + 2
    for pixel in range(labels.size):
        labels[pixel] = WHOLE
    roots[WHOLE] = WHOLE
    nodes[WHOLE, AROUND] = NONE
    num_nodes, alive, num_apart = np.int64(1), 0, np.int64(0)
    best, best_area, best_first = np.uint32(0), -1, -1
    settled = False
    for value in range(255, 0, -1):
        if settled and alive == 0:
            if value < lowest_maximum:
                for cut in range(value):
                    counts[cut] += 1
                break
            if not maxima[value]:
                counts[value - 1] += 1
                continue
        nodes[WHOLE, LEVEL] = value  # so that nothing is noted of it
        former_area, former_first = best_area, best_first
        num_candidates = 0
        many = num_nodes > FEW
        for k in range(start[value], start[value - 1]):
            present, place, pixel = read_entry(order[np.uint64(k)], stride)
            num_groups = NUMBER_8[present]
            among_holes = joined[np.uint64(pixel)]
            if num_groups == 0:
                root = np.uint32(num_nodes)
                open_node(forest, nodes, root, value, pixel, box_of_pixel(np.uint64(place)))
                nodes[root, AREA] = 0
                nodes[root, AROUND] = NONE
                apart[np.uint64(num_apart)] = root
                num_apart += 1
                num_nodes += 1
                alive += 1
            else:
                root = roots[labels[np.uint64(pixel + step[present, 0])]]
                num_joined = np.int64(num_groups) - 1 - np.int64(among_holes & MOST_JOINED)
                alive -= num_joined
                group = 1
                while num_joined > 0:
                    other = roots[labels[np.uint64(pixel + step[present, group])]]
                    group += 1
                    if other == root:
                        continue
                    num_joined -= 1
                    num_noted = note(noted, num_noted, boxes[root], value, nodes[root, LEVEL] - 1)
                    num_noted = note(noted, num_noted, boxes[other], value, nodes[other, LEVEL] - 1)
                    if root == WHOLE:
                        relabel(forest, other, WHOLE)
                    elif other == WHOLE:
                        relabel(forest, root, WHOLE)
                        root = other
                    else:
                        root, other = larger_first(forest, root, other)
                        nodes[root, LEVEL] = value
                        merge(forest, nodes, root, other)
                if root == WHOLE:
                    continue
                box = boxes[root]
                grown = around(box, box_of_pixel(np.uint64(place)))
                if grown != box:
                    num_noted = note(noted, num_noted, box, value, nodes[root, LEVEL] - 1)
                    nodes[root, LEVEL] = value
                    boxes[root] = grown
            labels[np.uint64(pixel)] = root
            if settled or nodes[root, AROUND] != NONE:
                continue
            nodes[root, FIRST] = min(nodes[root, FIRST], pixel)
            area = nodes[root, AREA] + areas[present] * np.int32(among_holes < IN_HOLE)
            nodes[root, AREA] = area
            if many:
                candidates[np.uint64(num_candidates)] = root
                num_candidates += np.int64(area >= best_area)
                best_area = max(best_area, area)
        counts[value - 1] += alive + settled
        if settled:
            continue
        hole = first_closed[value]
        while hole != NONE:
            outer, num_apart = fill_hole(np.uint32(hole), apart, num_apart, stride, labels, roots, nodes, hole_arrays)
            candidates[np.uint64(num_candidates)] = outer
            num_candidates += 1
            hole = next_closed[np.uint32(hole)]
        if many:
            best = find_outer(roots, nodes, best)
            best_area, best_first = nodes[best, AREA], nodes[best, FIRST]
            overtaken = best_area == former_area and best_first != former_first
            for i in range(num_candidates):
                node = find_outer(roots, nodes, candidates[np.uint64(i)])
                if better(nodes, node, best_area, best_first, tie):
                    best, best_area, best_first = node, nodes[node, AREA], nodes[node, FIRST]
            # The winner's first pixel moved up and its area did not grow: an equal one may now win the tie.
            many = not (overtaken and best_area == former_area)
        if not many:
            best = largest(roots, nodes, num_nodes, tie)
        if num_nodes == 1:
            continue
        best_area, best_first = nodes[best, AREA], nodes[best, FIRST]
        box = boxes[best]
        largest_box = largest_boxes[value - 1]
        largest_box[0] = left(box)
        largest_box[1] = top(box)
        largest_box[2] = min(right(box) + 1, last_x)
        largest_box[3] = min(bottom(box) + 1, last_y)
        whole_width = left(box) == 0 and right(box) == width - 1
        whole_height = top(box) == 0 and bottom(box) == height - 1
        if whole_width and whole_height and 2 * best_area > total_area:
            # It owns more than half of all the area there is: nothing can overtake it any more.
            settled = True
            num_noted = note(noted, num_noted, box, np.int64(0), nodes[best, LEVEL] - 1)
            relabel(forest, best, WHOLE)
            alive -= 1
            for cut in range(value - 1):
                for side in range(4):
                    largest_boxes[cut, side] = largest_box[side]
    for i in range(1, num_nodes):
        node = np.uint32(i)
        if roots[node] == node:
            num_noted = note(noted, num_noted, boxes[node], np.int64(0), nodes[node, LEVEL] - 1)
    return num_noted

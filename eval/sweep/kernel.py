"""The compiled sweep: the best IoU at all 256 cuts of a map in three passes over its sorted pixels.

A threshold sweep looks at the components of ``map > c`` for every cut ``c``. From one cut to the next
lower one components only grow and merge, so instead of labelling 256 foregrounds, pixels enter one by
one in descending order and a union-find keeps each component's bounding box:

1. `sweep_holes`: the background seen from the lowest value upwards, 4-connected. A component that has
   not met the outside yet is a hole of the foreground, and its box (grown by the surrounding contour)
   is a candidate. The level at which it meets the outside says up to which cut its pixels are filled.
2. `sweep_outer_contours`: the foreground from the highest value downwards, 8-connected.
3. `sweep_largest`: the same on the map with its holes filled, with the exact `cv2.contourArea` of each
   component, which is additive over pixels (`eval.sweep.ring.area_table`), and OpenCV's order as the
   tie rule: of equal areas the component whose first pixel in raster order comes last.

A component whose box has IoU v at the cuts a … b is a maximum over a range; `_raise` notes it in a table
of power-of-two ranges in constant time, `_spread` writes the table out once at the end.

Maps have a margin of one pixel, label 0, that belongs to the outside. Local maxima (minima) open a
component; every other pixel takes over the label of an earlier neighbour, so the union-find holds one
node per local extremum, not per pixel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from eval.sweep.ring import OFFSETS, area_table, group_table

GROUPS_8 = group_table(8)
GROUPS_4 = group_table(4)
AREA = area_table()
DY = np.array([dy for dy, _ in OFFSETS])
DX = np.array([dx for _, dx in OFFSETS])

# Columns of the table of components. LEVEL: the value at which the component's box last changed.
PARENT, LEVEL, X0, X1, Y1, Y0, MET_OUTSIDE = range(7)
AREA2, FIRST = 5, 6  # in `sweep_largest` instead: twice the contour area, first pixel in raster order
NEVER = 255

NOT_A_NUMBER, OUT_OF_RANGE = -1, -2


def compiled(function: Any) -> Any:
    """Compile for all threads, once for all processes."""
    return njit(cache=True, nogil=True)(function)


@compiled
def quantize(score_map, values):
    """Write the 8-bit map inside the margin; return its maximum, or what is wrong with the map."""
    height, width = score_map.shape
    maximum = 0
    valid = True
    for y in range(height):
        for x in range(width):
            score = score_map[y, x]
            valid &= (score >= 0.0) & (score <= 1.0)
            value = np.uint8(score * 255)
            values[y + 1, x + 1] = value
            maximum = max(maximum, value)
    if valid:
        return maximum
    return NOT_A_NUMBER if np.isnan(score_map).any() else OUT_OF_RANGE


@compiled
def sort_pixels(values, order, start):
    """Counting sort: descending value, raster order within a value.

    ``order`` receives ``y << 16 | x``; the pixels of value v are ``order[start[v] : start[v - 1]]``.
    """
    height, width = values.shape[0] - 2, values.shape[1] - 2
    start[:] = 0
    for y in range(1, height + 1):
        for x in range(1, width + 1):
            start[values[y, x]] += 1
    position = np.empty(256, np.int64)
    total = 0
    for value in range(255, -1, -1):
        count = start[value]
        start[value] = total
        position[value] = total
        total += count
    for y in range(height):
        for x in range(width):
            value = values[y + 1, x + 1]
            order[position[value]] = y << 16 | x
            position[value] += 1


@compiled
def mark_earlier(values, earlier):
    """Per pixel the byte of the neighbours that come before it in `sort_pixels`' order."""
    height, width = values.shape[0] - 2, values.shape[1] - 2
    for y in range(1, height + 1):
        for x in range(1, width + 1):
            value = values[y, x]
            earlier[y, x] = (
                np.uint8(values[y - 1, x - 1] >= value)
                | np.uint8(values[y - 1, x] >= value) << 1
                | np.uint8(values[y - 1, x + 1] >= value) << 2
                | np.uint8(values[y, x + 1] > value) << 3
                | np.uint8(values[y + 1, x + 1] > value) << 4
                | np.uint8(values[y + 1, x] > value) << 5
                | np.uint8(values[y + 1, x - 1] > value) << 6
                | np.uint8(values[y, x - 1] >= value) << 7
            )
    # The margin comes after every pixel, also after those of its own value 0.
    for x in range(1, width + 1):
        earlier[1, x] &= 0b11111000
        earlier[height, x] &= 0b10001111
    for y in range(1, height + 1):
        earlier[y, 1] &= 0b00111110
        earlier[y, width] &= 0b11100011


@compiled
def _find(nodes, node):
    """Root of a component; halves the path on the way."""
    parent = nodes[node, PARENT]
    while parent != node:
        grandparent = nodes[parent, PARENT]
        nodes[node, PARENT] = grandparent
        node = grandparent
        parent = nodes[node, PARENT]
    return node


@compiled
def _best_iou(x0, y0, x1, y1, truth, plus):
    """Best IoU of one box with the ground-truth boxes, see `eval.sweep.box_iou`."""
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
def _raise(ranges, first, last, value):
    """Note that the cuts first … last reach at least a value."""
    size = 0
    while 2 << size <= last - first + 1:
        size += 1
    ranges[size, first] = max(ranges[size, first], value)
    other = last - (1 << size) + 1
    ranges[size, other] = max(ranges[size, other], value)


@compiled
def _spread(ranges):
    """Bring every noted range down to ``ranges[0]``, the single cuts."""
    for size in range(ranges.shape[0] - 1, 0, -1):
        half = 1 << (size - 1)
        for first in range(256 - 2 * half + 1):
            value = ranges[size, first]
            ranges[size - 1, first] = max(ranges[size - 1, first], value)
            ranges[size - 1, first + half] = max(ranges[size - 1, first + half], value)


@compiled
def _absorb(nodes, root, other):
    """Make `other` part of the component `root`."""
    nodes[other, PARENT] = root
    nodes[root, X0] = min(nodes[root, X0], nodes[other, X0])
    nodes[root, X1] = max(nodes[root, X1], nodes[other, X1])
    nodes[root, Y1] = max(nodes[root, Y1], nodes[other, Y1])


@compiled
def sweep_holes(values, order, start, earlier, labels, work, truth, convention, ranges, counts):
    """Hole contours at every cut; leaves each component's level of meeting the outside in the nodes."""
    nodes, iou, changed = work
    plus, last_x, last_y = convention
    stride = values.shape[1]
    offsets = DY * stride + DX
    marks = earlier.ravel()
    nodes[0, PARENT] = 0
    nodes[0, MET_OUTSIDE] = 0
    num_nodes = 1
    alive = 0
    for value in range(255):
        num_changed = 0
        end = start[value - 1] if value > 0 else order.size
        for k in range(end - 1, start[value] - 1, -1):
            y = order[k] >> 16
            x = order[k] & 0xFFFF
            pixel = (y + 1) * stride + x + 1
            present = 255 - marks[pixel]
            num_groups = GROUPS_4[present, 0]
            if num_groups == 0:
                root = num_nodes
                num_nodes += 1
                alive += 1
                nodes[root, PARENT] = root
                nodes[root, LEVEL] = value
                nodes[root, X0] = x
                nodes[root, X1] = x
                nodes[root, Y0] = y
                nodes[root, Y1] = y
                nodes[root, MET_OUTSIDE] = NEVER
                iou[root] = 0.0
                changed[num_changed] = root
                num_changed += 1
                labels[pixel] = root
                continue
            root = _find(nodes, labels[pixel + offsets[GROUPS_4[present, 1]]])
            for group in range(2, num_groups + 1):
                other = _find(nodes, labels[pixel + offsets[GROUPS_4[present, group]]])
                if other == root:
                    continue
                if nodes[root, MET_OUTSIDE] == NEVER and nodes[other, MET_OUTSIDE] == NEVER:
                    root, other = min(root, other), max(root, other)
                    for node in (root, other):
                        if nodes[node, LEVEL] != value:
                            _raise(ranges, nodes[node, LEVEL], value - 1, iou[node])
                    if nodes[root, LEVEL] != value:
                        nodes[root, LEVEL] = value
                        changed[num_changed] = root
                        num_changed += 1
                    _absorb(nodes, root, other)
                    nodes[root, Y0] = min(nodes[root, Y0], nodes[other, Y0])
                    alive -= 1
                elif nodes[root, MET_OUTSIDE] == NEVER or nodes[other, MET_OUTSIDE] == NEVER:
                    hole = root if nodes[root, MET_OUTSIDE] == NEVER else other
                    if nodes[hole, LEVEL] != value:
                        _raise(ranges, nodes[hole, LEVEL], value - 1, iou[hole])
                    nodes[hole, MET_OUTSIDE] = value
                    alive -= 1
            labels[pixel] = root
            if nodes[root, MET_OUTSIDE] != NEVER:
                continue
            if x < nodes[root, X0] or x > nodes[root, X1] or y < nodes[root, Y0] or y > nodes[root, Y1]:
                if nodes[root, LEVEL] != value:
                    _raise(ranges, nodes[root, LEVEL], value - 1, iou[root])
                    nodes[root, LEVEL] = value
                    changed[num_changed] = root
                    num_changed += 1
                nodes[root, X0] = min(nodes[root, X0], x)
                nodes[root, X1] = max(nodes[root, X1], x)
                nodes[root, Y0] = min(nodes[root, Y0], y)
                nodes[root, Y1] = max(nodes[root, Y1], y)
        for i in range(num_changed):
            root = changed[i]
            if nodes[root, PARENT] == root and nodes[root, MET_OUTSIDE] == NEVER:
                iou[root] = _best_iou(
                    nodes[root, X0] - 1,
                    nodes[root, Y0] - 1,
                    min(nodes[root, X1] + 2, last_x),
                    min(nodes[root, Y1] + 2, last_y),
                    truth,
                    plus,
                )
        counts[value] += alive
    for root in range(1, num_nodes):
        if nodes[root, PARENT] == root and nodes[root, MET_OUTSIDE] == NEVER:
            _raise(ranges, nodes[root, LEVEL], 254, iou[root])
    return num_nodes


@compiled
def fill_holes(values, labels, nodes, num_nodes):
    """Raise every pixel to the level up to which it lies in a hole; True if any was raised."""
    for node in range(num_nodes):
        nodes[node, MET_OUTSIDE] = nodes[_find(nodes, node), MET_OUTSIDE]
    flat = values.ravel()
    raised = False
    for pixel in range(flat.size):
        if flat[pixel] < 255:
            level = nodes[labels[pixel], MET_OUTSIDE]
            if level > flat[pixel]:
                flat[pixel] = level
                raised = True
    return raised


@compiled
def sweep_outer_contours(values, order, start, earlier, labels, work, truth, convention, ranges, counts):
    """Outer contours at every cut, nested ones included."""
    nodes, iou, changed = work
    plus, last_x, last_y = convention
    stride = values.shape[1]
    offsets = DY * stride + DX
    marks = earlier.ravel()
    num_nodes = 0
    alive = 0
    for value in range(255, 0, -1):
        num_changed = 0
        for k in range(start[value], start[value - 1]):
            y = order[k] >> 16
            x = order[k] & 0xFFFF
            pixel = (y + 1) * stride + x + 1
            present = marks[pixel]
            num_groups = GROUPS_8[present, 0]
            if num_groups == 0:
                root = num_nodes
                num_nodes += 1
                alive += 1
                nodes[root, PARENT] = root
                nodes[root, LEVEL] = value
                nodes[root, X0] = x
                nodes[root, X1] = x
                nodes[root, Y0] = y
                nodes[root, Y1] = y
                iou[root] = 0.0
                changed[num_changed] = root
                num_changed += 1
                labels[pixel] = root
                continue
            root = _find(nodes, labels[pixel + offsets[GROUPS_8[present, 1]]])
            for group in range(2, num_groups + 1):
                other = _find(nodes, labels[pixel + offsets[GROUPS_8[present, group]]])
                if other == root:
                    continue
                root, other = min(root, other), max(root, other)
                for node in (root, other):
                    if nodes[node, LEVEL] != value:
                        _raise(ranges, value, nodes[node, LEVEL] - 1, iou[node])
                if nodes[root, LEVEL] != value:
                    nodes[root, LEVEL] = value
                    changed[num_changed] = root
                    num_changed += 1
                _absorb(nodes, root, other)
                nodes[root, Y0] = min(nodes[root, Y0], nodes[other, Y0])
                alive -= 1
            labels[pixel] = root
            if x < nodes[root, X0] or x > nodes[root, X1] or y < nodes[root, Y0] or y > nodes[root, Y1]:
                if nodes[root, LEVEL] != value:
                    _raise(ranges, value, nodes[root, LEVEL] - 1, iou[root])
                    nodes[root, LEVEL] = value
                    changed[num_changed] = root
                    num_changed += 1
                nodes[root, X0] = min(nodes[root, X0], x)
                nodes[root, X1] = max(nodes[root, X1], x)
                nodes[root, Y0] = min(nodes[root, Y0], y)
                nodes[root, Y1] = max(nodes[root, Y1], y)
        for i in range(num_changed):
            root = changed[i]
            if nodes[root, PARENT] == root:
                iou[root] = _best_iou(
                    nodes[root, X0],
                    nodes[root, Y0],
                    min(nodes[root, X1] + 1, last_x),
                    min(nodes[root, Y1] + 1, last_y),
                    truth,
                    plus,
                )
        counts[value - 1] += alive
    for root in range(num_nodes):
        if nodes[root, PARENT] == root:
            _raise(ranges, 0, nodes[root, LEVEL] - 1, iou[root])


@compiled
def sweep_largest(values, order, start, earlier, labels, work, convention, boxes):
    """Box of the contour with the largest area at every cut; `values` has its holes filled."""
    nodes, _, changed = work
    _, last_x, last_y = convention
    height, width = values.shape[0] - 2, values.shape[1] - 2
    stride = values.shape[1]
    offsets = DY * stride + DX
    marks = earlier.ravel()
    num_nodes = 0
    best, best_area, best_first = -1, -1, -1
    for value in range(255, 0, -1):
        num_changed = 0
        for k in range(start[value], start[value - 1]):
            y = order[k] >> 16
            x = order[k] & 0xFFFF
            pixel = (y + 1) * stride + x + 1
            present = marks[pixel]
            num_groups = GROUPS_8[present, 0]
            if num_groups == 0:
                root = num_nodes
                num_nodes += 1
                nodes[root, PARENT] = root
                nodes[root, LEVEL] = value
                nodes[root, X0] = x
                nodes[root, X1] = x
                nodes[root, Y1] = y
                nodes[root, AREA2] = 0
                nodes[root, FIRST] = pixel
                changed[num_changed] = root
                num_changed += 1
                labels[pixel] = root
                continue
            root = _find(nodes, labels[pixel + offsets[GROUPS_8[present, 1]]])
            for group in range(2, num_groups + 1):
                other = _find(nodes, labels[pixel + offsets[GROUPS_8[present, group]]])
                if other == root:
                    continue
                root, other = min(root, other), max(root, other)
                _absorb(nodes, root, other)
                nodes[root, AREA2] += nodes[other, AREA2]
                nodes[root, FIRST] = min(nodes[root, FIRST], nodes[other, FIRST])
            labels[pixel] = root
            nodes[root, AREA2] += AREA[present]
            nodes[root, FIRST] = min(nodes[root, FIRST], pixel)
            nodes[root, X0] = min(nodes[root, X0], x)
            nodes[root, X1] = max(nodes[root, X1], x)
            nodes[root, Y1] = max(nodes[root, Y1], y)
            if nodes[root, LEVEL] != value:
                nodes[root, LEVEL] = value
                changed[num_changed] = root
                num_changed += 1
        former_area = best_area
        moved = False
        if best >= 0:
            best = _find(nodes, best)
            moved = nodes[best, FIRST] != best_first
            best_area, best_first = nodes[best, AREA2], nodes[best, FIRST]
        for i in range(num_changed):
            root = changed[i]
            area, first = nodes[root, AREA2], nodes[root, FIRST]
            if nodes[root, PARENT] == root and (area > best_area or (area == best_area and first > best_first)):
                best, best_area, best_first = root, area, first
        if moved and best_area == former_area:
            # The former winner's first pixel moved up but its area did not grow: it may now lose the
            # tie against a component that did not change.
            for root in range(num_nodes):
                if nodes[root, PARENT] == root and nodes[root, AREA2] == best_area and nodes[root, FIRST] > best_first:
                    best, best_first = root, nodes[root, FIRST]
        if best < 0:
            continue
        box = boxes[value - 1]
        box[0] = nodes[best, X0]
        box[1] = best_first // stride - 1
        box[2] = min(nodes[best, X1] + 1, last_x)
        box[3] = min(nodes[best, Y1] + 1, last_y)
        whole_map = box[0] == 0 and box[1] == 0 and nodes[best, X1] == width - 1 and nodes[best, Y1] == height - 1
        if whole_map and best_area > (width - 1) * (height - 1):
            # It owns more than half of all the area there is: no other can overtake it.
            boxes[: value - 1] = box
            return


@compiled
def sweep_images(score_maps, truth, rows, convention, empty_box, largest, best, largest_boxes, num_boxes, maxima):
    """Sweep images one after the other.

    Args:
        score_maps: ``(N, H, W)``.
        truth: ``(sum K_i, 4)`` float64 ground-truth boxes of all images.
        rows: ``(N + 1,)`` first row of each image in `truth`.
        convention: ``(plus, last_x, last_y)``: added to widths and heights, limits of box ends.
        empty_box: ``(4,)``.
        largest, best, largest_boxes, num_boxes: Outputs, see `eval.sweep.Sweep`.
        maxima: ``(N,)`` output: the 8-bit maximum, `NOT_A_NUMBER` or `OUT_OF_RANGE`.
    """
    num_images, height, width = score_maps.shape
    shape = (height + 2, width + 2)
    values = np.zeros(shape, np.uint8)
    earlier = np.zeros(shape, np.uint8)
    labels = np.zeros(shape[0] * shape[1], np.int32)
    order = np.empty(height * width, np.int32)
    start = np.empty(256, np.int64)
    ranges = np.empty((9, 256))
    max_nodes = height * width // 2 + 2
    work = np.empty((max_nodes, 7), np.int32), np.empty(max_nodes), np.empty(max_nodes, np.int32)
    plus, last_x, last_y = convention
    for i in range(num_images):
        image_truth = truth[rows[i] : rows[i + 1]]
        maximum = quantize(score_maps[i], values)
        maxima[i] = maximum
        if maximum < 0:
            continue
        largest_boxes[i] = empty_box
        empty_iou = _best_iou(empty_box[0], empty_box[1], empty_box[2], empty_box[3], image_truth, plus)
        num_boxes[i] = 0
        if maximum > 0:
            ranges[:] = 0.0
            sort_pixels(values, order, start)
            mark_earlier(values, earlier)
            sweep_outer_contours(
                values, order, start, earlier, labels, work, image_truth, convention, ranges, num_boxes[i]
            )
            num_nodes = sweep_holes(
                values, order, start, earlier, labels, work, image_truth, convention, ranges, num_boxes[i]
            )
            if fill_holes(values, labels, work[0], num_nodes):
                sort_pixels(values, order, start)
                mark_earlier(values, earlier)
            sweep_largest(values, order, start, earlier, labels, work, convention, largest_boxes[i])
            _spread(ranges)
        for cut in range(256):
            if cut < maximum:
                box = largest_boxes[i, cut]
                largest[i, cut] = _best_iou(box[0], box[1], box[2], box[3], image_truth, plus)
                best[i, cut] = ranges[0, cut]
            else:
                largest[i, cut] = empty_iou
                best[i, cut] = empty_iou
                num_boxes[i, cut] = 1

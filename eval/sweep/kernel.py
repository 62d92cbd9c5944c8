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

# A component, held by its root. `level`: the value at which its box last changed. `met_outside`: the
# value at which a hole met the outside. `area2`: twice the contour area. `first`: first pixel in raster order.
NODE = np.dtype(
    [(name, np.int16) for name in ("x0", "y0", "x1", "y1", "level", "met_outside")]
    + [(name, np.int32) for name in ("parent", "area2", "first")],
    align=True,
)
NEVER = 255
LOG2 = np.array([max(0, length.bit_length() - 1) for length in range(257)])

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
    parent = nodes[node].parent
    while parent != node:
        grandparent = nodes[parent].parent
        nodes[node].parent = grandparent
        node = grandparent
        parent = nodes[node].parent
    return node


@compiled
def _open(nodes, node, value, x, y):
    """A component of one pixel."""
    nodes[node].parent = node
    nodes[node].level = value
    nodes[node].x0 = x
    nodes[node].x1 = x
    nodes[node].y0 = y
    nodes[node].y1 = y


@compiled
def _absorb(nodes, root, other):
    """Make `other` part of the component `root`."""
    nodes[other].parent = root
    nodes[root].x0 = min(nodes[root].x0, nodes[other].x0)
    nodes[root].y0 = min(nodes[root].y0, nodes[other].y0)
    nodes[root].x1 = max(nodes[root].x1, nodes[other].x1)
    nodes[root].y1 = max(nodes[root].y1, nodes[other].y1)


@compiled
def _include(nodes, root, x, y):
    """Extend a component's box by a pixel."""
    nodes[root].x0 = min(nodes[root].x0, x)
    nodes[root].y0 = min(nodes[root].y0, y)
    nodes[root].x1 = max(nodes[root].x1, x)
    nodes[root].y1 = max(nodes[root].y1, y)


@compiled
def _outside_box(nodes, root, x, y):
    return x < nodes[root].x0 or x > nodes[root].x1 or y < nodes[root].y0 or y > nodes[root].y1


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
def _judge(nodes, node, grow, truth, convention, ranges, first, last):
    """Count a component's box, grown by some pixels, at the cuts first … last."""
    plus, last_x, last_y = convention
    iou = _best_iou(
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
def _spread(ranges):
    """Bring every noted range down to ``ranges[0]``, the single cuts."""
    for size in range(ranges.shape[0] - 1, 0, -1):
        half = 1 << (size - 1)
        for first in range(256 - 2 * half + 1):
            iou = ranges[size, first]
            ranges[size - 1, first] = max(ranges[size - 1, first], iou)
            ranges[size - 1, first + half] = max(ranges[size - 1, first + half], iou)


@compiled
def sweep_outer_contours(values, order, start, earlier, labels, nodes, truth, convention, ranges, counts):
    """Count the outer contours at every cut, nested ones included."""
    stride = values.shape[1]
    offsets = DY * stride + DX
    marks = earlier.ravel()
    num_nodes = 0
    alive = 0
    for value in range(255, 0, -1):
        for k in range(start[value], start[value - 1]):
            y = order[k] >> 16
            x = order[k] & 0xFFFF
            pixel = (y + 1) * stride + x + 1
            groups = GROUPS_8[marks[pixel]]
            if groups[0] == 0:
                _open(nodes, num_nodes, value, x, y)
                labels[pixel] = num_nodes
                num_nodes += 1
                alive += 1
                continue
            root = _find(nodes, labels[pixel + offsets[groups[1]]])
            for group in range(2, groups[0] + 1):
                other = _find(nodes, labels[pixel + offsets[groups[group]]])
                if other == root:
                    continue
                root, other = min(root, other), max(root, other)
                for node in (root, other):
                    if nodes[node].level != value:
                        _judge(nodes, node, 0, truth, convention, ranges, value, nodes[node].level - 1)
                nodes[root].level = value
                _absorb(nodes, root, other)
                alive -= 1
            labels[pixel] = root
            if _outside_box(nodes, root, x, y):
                if nodes[root].level != value:
                    _judge(nodes, root, 0, truth, convention, ranges, value, nodes[root].level - 1)
                    nodes[root].level = value
                _include(nodes, root, x, y)
        counts[value - 1] += alive
    for node in range(num_nodes):
        if nodes[node].parent == node:
            _judge(nodes, node, 0, truth, convention, ranges, 0, nodes[node].level - 1)


@compiled
def sweep_holes(values, order, start, earlier, labels, nodes, truth, convention, ranges, counts):
    """Count the hole contours at every cut; returns how many nodes hold a `met_outside`."""
    stride = values.shape[1]
    offsets = DY * stride + DX
    marks = earlier.ravel()
    nodes[0].parent = 0
    nodes[0].met_outside = 0
    num_nodes = 1
    alive = 0
    for value in range(255):
        end = start[value - 1] if value > 0 else order.size
        for k in range(end - 1, start[value] - 1, -1):
            y = order[k] >> 16
            x = order[k] & 0xFFFF
            pixel = (y + 1) * stride + x + 1
            groups = GROUPS_4[255 - marks[pixel]]
            if groups[0] == 0:
                _open(nodes, num_nodes, value, x, y)
                nodes[num_nodes].met_outside = NEVER
                labels[pixel] = num_nodes
                num_nodes += 1
                alive += 1
                continue
            root = _find(nodes, labels[pixel + offsets[groups[1]]])
            for group in range(2, groups[0] + 1):
                other = _find(nodes, labels[pixel + offsets[groups[group]]])
                if other == root or (nodes[root].met_outside != NEVER and nodes[other].met_outside != NEVER):
                    continue
                root, other = min(root, other), max(root, other)
                for node in (root, other):
                    if nodes[node].met_outside == NEVER and nodes[node].level != value:
                        _judge(nodes, node, 1, truth, convention, ranges, nodes[node].level, value - 1)
                alive -= 1
                if nodes[root].met_outside == NEVER and nodes[other].met_outside == NEVER:
                    nodes[root].level = value
                    _absorb(nodes, root, other)
                else:
                    hole = root if nodes[root].met_outside == NEVER else other
                    nodes[hole].met_outside = value
            labels[pixel] = root
            if nodes[root].met_outside == NEVER and _outside_box(nodes, root, x, y):
                if nodes[root].level != value:
                    _judge(nodes, root, 1, truth, convention, ranges, nodes[root].level, value - 1)
                    nodes[root].level = value
                _include(nodes, root, x, y)
        counts[value] += alive
    for node in range(1, num_nodes):
        if nodes[node].parent == node and nodes[node].met_outside == NEVER:
            _judge(nodes, node, 1, truth, convention, ranges, nodes[node].level, 254)
    return num_nodes


@compiled
def fill_holes(values, labels, nodes, num_nodes):
    """Raise every pixel to the value up to which it lies in a hole; True if any was raised."""
    for node in range(num_nodes):
        nodes[node].met_outside = nodes[_find(nodes, node)].met_outside
    flat = values.ravel()
    raised = False
    for pixel in range(flat.size):
        if flat[pixel] < 255:
            level = nodes[labels[pixel]].met_outside
            if level > flat[pixel]:
                flat[pixel] = level
                raised = True
    return raised


@compiled
def sweep_largest(values, order, start, earlier, labels, nodes, convention, boxes):
    """Box of the contour with the largest area at every cut; `values` has its holes filled."""
    _, last_x, last_y = convention
    height, width = values.shape[0] - 2, values.shape[1] - 2
    stride = values.shape[1]
    offsets = DY * stride + DX
    marks = earlier.ravel()
    changed = np.empty(nodes.size, np.int32)
    num_nodes = 0
    best, best_area, best_first = -1, -1, -1
    for value in range(255, 0, -1):
        num_changed = 0
        for k in range(start[value], start[value - 1]):
            y = order[k] >> 16
            x = order[k] & 0xFFFF
            pixel = (y + 1) * stride + x + 1
            groups = GROUPS_8[marks[pixel]]
            if groups[0] == 0:
                _open(nodes, num_nodes, value, x, y)
                nodes[num_nodes].area2 = 0
                nodes[num_nodes].first = pixel
                labels[pixel] = num_nodes
                changed[num_changed] = num_nodes
                num_changed += 1
                num_nodes += 1
                continue
            root = _find(nodes, labels[pixel + offsets[groups[1]]])
            for group in range(2, groups[0] + 1):
                other = _find(nodes, labels[pixel + offsets[groups[group]]])
                if other == root:
                    continue
                root, other = min(root, other), max(root, other)
                _absorb(nodes, root, other)
                nodes[root].area2 += nodes[other].area2
                nodes[root].first = min(nodes[root].first, nodes[other].first)
            labels[pixel] = root
            _include(nodes, root, x, y)
            nodes[root].area2 += AREA[marks[pixel]]
            nodes[root].first = min(nodes[root].first, pixel)
            if nodes[root].level != value:
                nodes[root].level = value
                changed[num_changed] = root
                num_changed += 1
        former_area = best_area
        moved = False
        if best >= 0:
            best = _find(nodes, best)
            moved = nodes[best].first != best_first
            best_area, best_first = nodes[best].area2, nodes[best].first
        for i in range(num_changed):
            node = changed[i]
            area, first = nodes[node].area2, nodes[node].first
            if nodes[node].parent == node and (area > best_area or (area == best_area and first > best_first)):
                best, best_area, best_first = node, area, first
        if moved and best_area == former_area:
            # The winner's first pixel moved up and its area did not grow: an equal one may now win the tie.
            for node in range(num_nodes):
                first = nodes[node].first
                if nodes[node].parent == node and nodes[node].area2 == best_area and first > best_first:
                    best, best_first = node, first
        if best < 0:
            continue
        box = boxes[value - 1]
        box[0] = nodes[best].x0
        box[1] = nodes[best].y0
        box[2] = min(nodes[best].x1 + 1, last_x)
        box[3] = min(nodes[best].y1 + 1, last_y)
        whole_width = nodes[best].x0 == 0 and nodes[best].x1 == width - 1
        whole_height = nodes[best].y0 == 0 and nodes[best].y1 == height - 1
        if whole_width and whole_height and best_area > (width - 1) * (height - 1):
            # It owns more than half of all the area there is: nothing can overtake it any more.
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
    nodes = np.empty(height * width // 2 + 2, NODE)
    plus = convention[0]
    for i in range(num_images):
        image_truth = truth[rows[i] : rows[i + 1]]
        maximum = quantize(score_maps[i], values)
        maxima[i] = maximum
        if maximum < 0:
            continue
        counts = num_boxes[i]
        counts[:] = 0
        ranges[:] = 0.0
        largest_boxes[i] = empty_box
        if maximum > 0:
            sort_pixels(values, order, start)
            mark_earlier(values, earlier)
            sweep_outer_contours(values, order, start, earlier, labels, nodes, image_truth, convention, ranges, counts)
            num_nodes = sweep_holes(
                values, order, start, earlier, labels, nodes, image_truth, convention, ranges, counts
            )
            if fill_holes(values, labels, nodes, num_nodes):
                sort_pixels(values, order, start)
                mark_earlier(values, earlier)
            sweep_largest(values, order, start, earlier, labels, nodes, convention, largest_boxes[i])
            _spread(ranges)
        best[i] = ranges[0]
        for cut in range(256):
            box = largest_boxes[i, cut]
            largest[i, cut] = _best_iou(float(box[0]), float(box[1]), float(box[2]), float(box[3]), image_truth, plus)
        best[i, maximum:] = largest[i, maximum:]
        counts[maximum:] = 1

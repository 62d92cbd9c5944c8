"""The compiled sweep: the best IoU at all 256 cuts of a map in two passes over its sorted pixels.

A threshold sweep looks at the components of ``map > c`` for every cut ``c``. From one cut to the next
lower one components only grow and merge, so instead of labelling 256 foregrounds, pixels enter one value
after the other and a union-find keeps each component's bounding box:

1. `wsol.sweep.holes`: the background from the lowest value upwards, 4-connected: hole contours, and up to
   which cut the pixels of each hole are filled.
2. `wsol.sweep.outer_contours`: the foreground from the highest value downwards, 8-connected: outer
   contours, and the largest of them by the exact `cv2.contourArea`, which is additive over pixels, and
   OpenCV's order as the tie rule: of equal areas the component whose first pixel in raster order comes
   last. Or by the number of pixels as the area, holes unfilled.
3. `wsol.sweep.noted_boxes`: the best IoU at every cut, of the boxes that the two passes have noted.
"""

# numba infers the types of compiled functions, so they go without annotations.
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import numpy as np

from wsol.sweep.compiling import compiled, kept
from wsol.sweep.components import COLUMNS, NONE, steps_to_groups
from wsol.sweep.holes import DX_4, DY_4, MOST_JOINED, sweep_holes
from wsol.sweep.noted_boxes import SIZES, best_iou, iou_per_area, judge, prepare_ranges, spread
from wsol.sweep.outer_contours import DX_8, DY_8, sweep_outer_contours
from wsol.sweep.pixels import add_margin, find_extrema, mark_earlier, quantize, sort_pixels
from wsol.sweep.ring import area_table

CONTOUR_AREA = area_table()
PIXEL_COUNT = np.ones(256, dtype=np.int32)


@compiled
def sweep_map(values, by_contour_area, ends, workspace, counts, boxes):
    """Sweep one 8-bit map with its margin.

    Returns:
        How many boxes are noted: of holes, and of all.
    """
    order, start, marks, steps, hole_arrays, outer_arrays, noted = workspace
    height, width = values.shape[0] - 2, values.shape[1] - 2
    measure = (PIXEL_COUNT, height * width, -1)
    if by_contour_area:
        measure = (CONTOUR_AREA, 2 * (height - 1) * (width - 1), 1)
    mark_earlier(values, marks)
    sort_pixels(values, marks, order, start)
    pixels = (order, start, height, width)
    minima, maxima = np.empty(256, np.bool_), np.empty(256, np.bool_)
    highest_minimum, lowest_maximum = find_extrema(values, marks, minima, maxima)
    of_holes = sweep_holes(pixels, steps[0], (minima, highest_minimum), measure, hole_arrays, noted, counts)
    if not by_contour_area:
        fill_nothing(hole_arrays)
    extrema = (maxima, lowest_maximum)
    of_all = sweep_outer_contours(
        pixels, steps[1], extrema, measure, hole_arrays, outer_arrays, noted, of_holes, ends, counts, boxes
    )
    return of_holes, of_all


@compiled
def fill_nothing(hole_arrays):
    """Forget the holes."""
    _, _, _, _, joined, first_closed, _ = hole_arrays
    for pixel in range(joined.size):
        joined[pixel] &= MOST_JOINED
    for value in range(256):
        first_closed[value] = NONE


@compiled
def forest_for(most):
    """The arrays of a forest of so many nodes at most, see `wsol.sweep.components`."""
    return np.empty(most, np.uint32), np.empty(most, np.uint32), np.empty(most, np.int32), np.empty(most, np.uint64)


@compiled
def workspace_for(height, width):
    """Arrays that `sweep_map` uses for one map after the other."""
    pixels, with_margin = height * width, (height + 2) * (width + 2)
    most_holes = pixels // 2 + 3  # local minima without a common edge, and the outside
    most_outer = (height // 2 + 1) * (width // 2 + 1) + 1  # local maxima without a common corner, and the whole
    return (
        np.empty(pixels, np.int64),
        np.empty(256, np.int64),
        np.zeros((height + 2, width + 2), np.uint8),
        (steps_to_groups(DY_4, DX_4, width + 2), steps_to_groups(DY_8, DX_8, width + 2)),
        (
            np.zeros(with_margin, np.uint32),
            forest_for(most_holes),
            np.empty((most_holes, COLUMNS), np.int32),
            np.empty(most_holes, np.uint32),
            np.zeros(with_margin, np.uint8),
            np.empty(256, np.int32),
            np.empty(most_holes, np.int32),
        ),
        (
            np.zeros(with_margin, np.uint32),
            forest_for(most_outer),
            np.empty((most_outer, COLUMNS), np.int32),
            np.empty(most_outer, np.uint32),
            np.empty(pixels + most_holes, np.uint32),
        ),
        # A pixel opens a node, or has one box noted and that of every node whose component it ends, in each pass.
        (np.empty(2 * pixels + 2, np.uint64), np.empty(2 * pixels + 2, np.int32)),
    )


@kept
def quantize_images(score_maps, quantized):
    """Write ``(N, H, W)`` 8-bit maps; returns the index of the first invalid one, or N."""
    for i in range(len(score_maps)):
        if not quantize(score_maps[i], quantized[i]):
            return i
    return len(score_maps)


@kept
def sweep_images(
    quantized, truth, rows, by_contour_area, convention, empty_box, maxima, largest, best, largest_boxes, num_boxes
):
    """Sweep images one after the other.

    Args:
        quantized: ``(N, H, W)`` uint8.
        truth: ``(sum K_i, 4)`` float64 ground-truth boxes of all images.
        rows: ``(N + 1,)`` first row of each image in `truth`.
        by_contour_area: Whether the largest contour is that of `cv2.contourArea`, or of the most pixels.
        convention: ``(plus, last_x, last_y)``: added to widths and heights, limits of box ends.
        empty_box: ``(4,)``.
        maxima: ``(N,)`` output, see `wsol.sweep.Sweep`.
        largest: ``(N, 256)`` output.
        best: ``(N, 256)`` output, `Sweep.all`.
        largest_boxes: ``(N, 256, 4)`` output.
        num_boxes: ``(N, 256)`` output.
    """
    num_images, height, width = quantized.shape
    values = np.zeros((height + 2, width + 2), np.uint8)
    workspace = workspace_for(height, width)
    ranges, least = np.empty((SIZES, 256)), np.empty((SIZES, 256))
    noted = workspace[-1]
    plus, last_x, last_y = convention
    for i in range(num_images):
        image_truth = truth[rows[i] : rows[i + 1]]
        most_per_area = iou_per_area(image_truth, plus)
        maximum = add_margin(quantized[i], values)
        maxima[i] = maximum
        for cut in range(256):
            num_boxes[i, cut] = 0
            for side in range(4):
                largest_boxes[i, cut, side] = empty_box[side]
        of_holes, of_all = 0, 0
        if maximum > 0:
            of_holes, of_all = sweep_map(
                values, by_contour_area, (last_x, last_y), workspace, num_boxes[i], largest_boxes[i]
            )
        for cut in range(256):
            box = largest_boxes[i, cut]
            largest[i, cut] = best_iou(float(box[0]), float(box[1]), float(box[2]), float(box[3]), image_truth, plus)
            num_boxes[i, cut] = num_boxes[i, cut] if cut < maximum else 1
        prepare_ranges(largest[i], least, ranges)
        judge(noted, of_holes, of_all, image_truth, convention, most_per_area, least, ranges)
        spread(ranges)
        for cut in range(256):
            best[i, cut] = ranges[0, cut]

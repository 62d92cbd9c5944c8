"""The compiled sweep: the best IoU at all 256 cuts of a map in three passes over its sorted pixels.

A threshold sweep looks at the components of ``map > c`` for every cut ``c``. From one cut to the next
lower one components only grow and merge, so instead of labelling 256 foregrounds, pixels enter one by
one in descending order and a union-find keeps each component's bounding box:

1. `sweep_outer_contours`: the foreground from the highest value downwards, 8-connected. Every component
   has an outer contour.
2. `sweep_holes`: the background from the lowest value upwards, 4-connected. A component that has not met
   the outside yet is a hole of the foreground, and its box (grown by the surrounding contour) counts
   too. The value at which it meets the outside says up to which cut its pixels are filled.
3. `sweep_largest`: step 1 on the map with its holes filled, with the exact `cv2.contourArea` of each
   component, which is additive over pixels (`wsol.sweep.ring.area_table`), and OpenCV's order as the
   tie rule: of equal areas the component whose first pixel in raster order comes last. Or on the map
   itself with the number of pixels as the area.
"""

# numba infers the types of compiled functions, so they go without annotations.
# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numba import njit

from wsol.sweep.components import CONTOUR_AREA, NODE, PIXEL_COUNT, best_iou, spread
from wsol.sweep.passes import sweep_holes, sweep_largest, sweep_outer_contours
from wsol.sweep.pixels import INVALID, compiled, mark_earlier, quantize, raise_pixels, sort_pixels


@compiled
def sweep_map(values, by_contour_area, truth, convention, workspace, ranges, counts, boxes):
    """Sweep one 8-bit map with its margin; overwrites it."""
    order, start, earlier, labels, nodes = workspace
    height, width = values.shape[0] - 2, values.shape[1] - 2
    sort_pixels(values, order, start)
    mark_earlier(values, earlier)
    sweep_outer_contours(order, start, earlier, labels, nodes, truth, convention, ranges, counts)
    levels = sweep_holes(order, start, earlier, labels, nodes, truth, convention, ranges, counts)
    areas, total_area, tie = PIXEL_COUNT, height * width, -1
    if by_contour_area:
        areas, total_area, tie = CONTOUR_AREA, 2 * (height - 1) * (width - 1), 1
        if raise_pixels(values, labels, levels):
            sort_pixels(values, order, start)
            mark_earlier(values, earlier)
    sweep_largest(order, start, earlier, labels, nodes, areas, total_area, tie, convention, boxes)
    spread(ranges)


def sources_digest():
    """A number that changes with any source file the kernel is compiled from."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return int(hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:15], 16)


def kept_on_disk(sources):
    """`sweep_images`, compiled once for all processes.

    numba looks only at the file of a function to see whether its compiled form is out of date, not at the
    functions it calls from other files. The digest of all sources, as a variable the function closes over,
    is part of the name under which numba keeps it.
    """

    def sweep_images(
        score_maps, truth, rows, by_contour_area, convention, empty_box, largest, best, largest_boxes, num_boxes, maxima
    ):
        """Sweep images one after the other.

        Args:
            score_maps: ``(N, H, W)``.
            truth: ``(sum K_i, 4)`` float64 ground-truth boxes of all images.
            rows: ``(N + 1,)`` first row of each image in `truth`.
            by_contour_area: Whether the largest contour is that of `cv2.contourArea`, or of the most pixels.
            convention: ``(plus, last_x, last_y)``: added to widths and heights, limits of box ends.
            empty_box: ``(4,)``.
            largest: ``(N, 256)`` output, see `wsol.sweep.Sweep`.
            best: ``(N, 256)`` output, `Sweep.all`.
            largest_boxes: ``(N, 256, 4)`` output.
            num_boxes: ``(N, 256)`` output.
            maxima: ``(N,)`` output: the 8-bit maximum, or `INVALID`.
        """
        _ = sources
        num_images, height, width = score_maps.shape
        values = np.zeros((height + 2, width + 2), np.uint8)
        workspace = (
            np.empty(height * width, np.int32),
            np.empty(256, np.int64),
            np.zeros(values.shape, np.uint8),
            np.zeros(values.size, np.uint32),
            np.empty(height * width // 2 + 2, NODE),
        )
        ranges = np.empty((9, 256))
        plus = convention[0]
        for i in range(num_images):
            image_truth = truth[rows[i] : rows[i + 1]]
            maximum = quantize(score_maps[i], values)
            maxima[i] = maximum
            if maximum == INVALID:
                continue
            for cut in range(256):
                ranges[:, cut] = 0.0
                num_boxes[i, cut] = 0
                largest_boxes[i, cut] = empty_box
            if maximum > 0:
                sweep_map(
                    values, by_contour_area, image_truth, convention, workspace, ranges, num_boxes[i], largest_boxes[i]
                )
            for cut in range(256):
                box = largest_boxes[i, cut]
                iou = best_iou(float(box[0]), float(box[1]), float(box[2]), float(box[3]), image_truth, plus)
                largest[i, cut] = iou
                best[i, cut] = ranges[0, cut] if cut < maximum else iou
                num_boxes[i, cut] = num_boxes[i, cut] if cut < maximum else 1

    try:
        return njit(cache=True, nogil=True)(sweep_images)
    except RuntimeError:  # no folder to keep it in can be written to
        return njit(nogil=True)(sweep_images)


sweep_images = kept_on_disk(sources_digest())

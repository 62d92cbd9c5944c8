"""Boxes of a ground truth that lie on no pixel of their image."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from wsol.data.findings import Finding
from wsol.data.ground_truth import GroundTruth


def box_findings(truth: GroundTruth) -> Iterator[Finding]:
    """Boxes that are degenerate or reach out of their image, in the order of the images.

    A box's x1 is x0 + width and at most the image's width - 1; images whose size is not listed are held against 0 only.
    """
    if not truth.boxes:
        return
    boxes = np.concatenate(truth.boxes)
    image = np.repeat(np.arange(len(truth)), [len(of_image) for of_image in truth.boxes])
    sizes = truth.sizes[image]
    starts, ends = boxes[:, :2], boxes[:, 2:]
    degenerate = np.any(ends <= starts, axis=1)
    outside = np.any(starts < 0, axis=1) | np.any((sizes > 0) & (ends >= sizes), axis=1)
    for i in np.flatnonzero(degenerate | outside):
        box, (width, height) = tuple(boxes[i].tolist()), sizes[i].tolist()
        name = truth.image_ids[image[i]]
        if degenerate[i]:
            yield Finding("error", truth.split, "degenerate box", name, f"{box}")
        else:
            yield Finding("error", truth.split, "box outside the image", name, f"{box} in {width} x {height}")

"""Boxes that lie on no pixel of their image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from wsol.data.errors import DatasetError
from wsol.data.findings import Finding

if TYPE_CHECKING:
    from wsol.data.ground_truth import GroundTruth


def refuse_outside(
    boxes: npt.NDArray[np.integer], sizes: npt.NDArray[np.integer], image_ids: Sequence[str], path: Path
) -> None:
    """Refuse a list of boxes with one that is not within its image.

    Some published lists end a box at the image's width, one pixel after the last; that is allowed.

    Args:
        boxes: ``(N, 4)``, x0 y0 x1 y1.
        sizes: ``(N, 2)``, width and height of each box's image; 0 where they are not known.
        image_ids: The N images.
        path: The list, for the message.

    Raises:
        DatasetError: Naming the first such box.
    """
    starts, ends = boxes[:, :2], boxes[:, 2:]
    outside = np.any((starts < 0) | (ends < starts) | ((sizes > 0) & (ends > sizes)), axis=1)
    if not outside.any():
        return
    row = int(outside.argmax())
    width, height = sizes[row].tolist()
    size = f" of {width} x {height} pixels" if width else ""
    box = ",".join(map(str, boxes[row].tolist()))
    raise DatasetError(f"{path}: {box} of {image_ids[row]} are not x0,y0,x1,y1 within the image{size}")


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

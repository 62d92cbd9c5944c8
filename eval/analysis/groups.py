"""Images counted in groups: by class, by the size of the object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.judging.hits import LOC_FIGURES, kept_hits
from eval.judging.records import Records

# Upper ends of the share of the image that its largest ground-truth box takes.
SIZE_BUCKETS = {"below 10 %": 0.1, "10 to 25 %": 0.25, "25 to 50 %": 0.5, "50 % and more": np.inf}
SIZE_NAMES = (*SIZE_BUCKETS, "unknown")  # the last where an image and so its size cannot be read


def size_buckets(boxes: Sequence[npt.NDArray[Any]], sizes: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Bucket of each image by the share of it that its largest ground-truth box takes.

    Args:
        boxes: N arrays ``(K_i, 4)`` ``x0 y0 x1 y1`` in pixels of the original image.
        sizes: ``(N, 2)`` width and height of the images.

    Returns:
        ``(N,)`` positions in `SIZE_NAMES`.

    >>> size_buckets([np.array([[0, 0, 50, 20]]), np.array([[0, 0, 99, 99]])], np.array([[100, 100]] * 2)).tolist()
    [1, 3]
    """
    shares = [
        ((image[:, 2] - image[:, 0]) * (image[:, 3] - image[:, 1])).max() / (width * height) if width else np.inf
        for image, (width, height) in zip(boxes, np.asarray(sizes).tolist(), strict=True)
    ]
    return np.searchsorted(list(SIZE_BUCKETS.values()), shares, side="right").astype(np.int64)


class GroupCounts:
    """Images and hits per group, at the headline threshold.

    Args:
        num_groups: Number of groups.

    Attributes:
        images: ``(num_groups,)`` images.
        boxed: ``(num_groups,)`` images with ground-truth boxes, over which the hits and IoUs are averaged.
    """

    def __init__(self, num_groups: int) -> None:
        self.images = np.zeros(num_groups, dtype=np.int64)
        self.boxed = np.zeros(num_groups, dtype=np.int64)
        self._hits = np.zeros((num_groups, len(LOC_FIGURES)), dtype=np.int64)
        self._first = np.zeros(num_groups, dtype=np.int64)
        self._top1 = np.zeros(num_groups, dtype=np.int64)
        self._iou = np.zeros(num_groups)

    def update(self, groups: npt.NDArray[np.integer], records: Records, last: int) -> None:
        """Count images.

        Args:
            groups: ``(N,)`` group of each image.
            records: ``(N,)`` records of the images.
            last: Row of the last step; row 0 is the first.
        """
        np.add.at(self.images, groups, 1)
        np.add.at(self._top1, groups, records["in_top1"][:, last])
        boxed = records["boxed"]
        of_boxes, found = groups[boxed], records[boxed]
        np.add.at(self.boxed, of_boxes, 1)
        for place, figure in enumerate(LOC_FIGURES):
            np.add.at(self._hits[:, place], of_boxes, kept_hits(found, last, figure))
        np.add.at(self._first, of_boxes, kept_hits(found, 0))
        np.add.at(self._iou, of_boxes, found["iou"][:, last])

    def percent(self, group: int) -> dict[str, float | None]:
        """Figures of one group in percent; None for those of boxes where no image of the group has one."""
        boxed = int(self.boxed[group])

        def share(total: Any) -> float | None:
            return 100.0 * float(total) / boxed if boxed else None

        return {
            **{figure: share(self._hits[group, place]) for place, figure in enumerate(LOC_FIGURES)},
            "top1_cls": 100.0 * float(self._top1[group]) / int(self.images[group]),
            "first_step": share(self._first[group]),
            "mean_iou": share(self._iou[group]),
        }

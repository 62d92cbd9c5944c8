"""Evaluation protocols: the conventions in which papers differ, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.sweep import BoxConvention
from tdam.errors import check_name


@dataclass(frozen=True)
class Protocol:
    """One paper's or repository's way to score boxes.

    Attributes:
        name: Name for `--protocol`.
        source: Repository or paper, with the commit read.
        convention: How a box is written down and how IoU is counted.
        resize_ratio: Images are resized to this times the network's input and then centre-cropped to it;
            1 resizes straight to the input, without a crop.
        interpolation: Interpolation of that resize.
        gt_known_strict: GT-known Loc demands an IoU above the threshold instead of at least it.
        top_k_strict: The same for Top-1 and Top-5 Loc.
        macro: Means are taken over the classes' means instead of over images.
        fixed_threshold: Score-map threshold of the "fixed" figures, relative to a map's maximum.
    """

    name: str
    source: str
    convention: BoxConvention = field(default_factory=BoxConvention)
    resize_ratio: float = 1.0
    interpolation: str = "bilinear"
    gt_known_strict: bool = False
    top_k_strict: bool = False
    macro: bool = False
    fixed_threshold: float = 0.2

    def geometry(self, input_size: tuple[int, int]) -> dict[str, Any]:
        """Options of `wsol.data.transforms.evaluation_transform` for a network's input (height, width)."""
        if self.resize_ratio == 1:
            return {"interpolation": self.interpolation}
        resize = tuple(round(side * self.resize_ratio) for side in input_size)
        return {"interpolation": self.interpolation, "resize": resize, "crop": input_size}

    def map_boxes(
        self, boxes: npt.NDArray[np.int64], image_size: npt.NDArray[np.int64], map_size: tuple[int, int]
    ) -> npt.NDArray[np.int64]:
        """Ground-truth boxes of an image in score-map pixels.

        Args:
            boxes: ``(K, 4)`` ``x0 y0 x1 y1`` in pixels of the original image.
            image_size: Width and height of the image.
            map_size: Width and height of the score map.

        Returns:
            ``(K, 4)`` int64: multiplied first, then divided, truncated toward zero, as wsolevaluation does.
        """
        width, height = (int(side) for side in image_size)
        scale = np.array([map_size[0], map_size[1]] * 2, dtype=np.float64)
        return (np.asarray(boxes, dtype=np.float64) * scale / np.array([width, height] * 2)).astype(np.int64)


PROTOCOLS = {
    "wsolevaluation": Protocol("wsolevaluation", "clovaai/wsolevaluation@96f4b88 (CVPR 2020, TPAMI 2022)"),
}


def get_protocol(name: str) -> Protocol:
    """The protocol of a name.

    Raises:
        UnknownNameError: If there is none; valid names come nearest first.
    """
    return PROTOCOLS[check_name("protocol", name, PROTOCOLS)]

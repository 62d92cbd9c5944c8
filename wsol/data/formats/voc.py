"""Pascal VOC annotation files, one XML per image, as ImageNet and many tools write them."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wsol.data.errors import DatasetError

CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class VocImage:
    """One annotation file.

    Attributes:
        size: Width and height in pixels; zeros where the file does not give them.
        name: Class name of its objects; "" if it has none.
        corners: (K, 4) float64 ``x0 y0 x1 y1`` in pixels, as they stand in the file.
        difficult: How many of the objects are marked ``difficult``.
    """

    size: tuple[int, int]
    name: str
    corners: np.ndarray
    difficult: int = 0

    @property
    def boxes(self) -> np.ndarray:
        """(K, 4) int64: fractions cut off, x1 and y1 at most width - 1 and height - 1 if known."""
        boxes = self.corners.astype(np.int64)
        if self.size[0] > 0 and self.size[1] > 0:
            boxes[:, 2:] = np.minimum(boxes[:, 2:], np.array(self.size) - 1)
        return boxes


def read_voc(path: Path) -> VocImage:
    """Read an annotation file.

    Raises:
        DatasetError: If it is no such file, or its objects are of different classes: an image has
            one label.
    """
    try:
        root = ElementTree.parse(path).getroot()
        width, height = (int(float(root.findtext(f"size/{side}", "0"))) for side in ("width", "height"))
        objects = root.findall("object")
        corners = [[float(o.findtext(f"bndbox/{corner}", "")) for corner in CORNERS] for o in objects]
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from None
    # A file of another encoding, or one nested without end, fails in these ways.
    except (ElementTree.ParseError, ValueError, OverflowError, LookupError, RecursionError) as error:
        raise DatasetError(f"{path}: not a Pascal VOC annotation ({error})") from None
    if not np.isfinite(corners).all():
        raise DatasetError(f"{path}: a box has a corner that is not a number")
    names = {(o.findtext("name") or "").strip() for o in objects}
    if len(names) > 1:
        raise DatasetError(f"{path}: objects of several classes ({', '.join(sorted(names))}), but an image has one")
    return VocImage(
        size=(max(width, 0), max(height, 0)),
        name=next(iter(names), ""),
        corners=np.array(corners, dtype=np.float64).reshape(-1, 4),
        difficult=sum((o.findtext("difficult") or "0").strip() not in ("", "0") for o in objects),
    )

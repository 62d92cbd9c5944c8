"""Pascal VOC annotation files, one XML per image, as ImageNet and many tools write them."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wsol.data.errors import DatasetError


@dataclass(frozen=True)
class VocImage:
    """One annotation file.

    Attributes:
        size: Width and height in pixels; zeros where the file does not give them.
        name: Class name of its objects; "" if it has none.
        boxes: (K, 4) int64 ``x0 y0 x1 y1`` in pixels, cut at width - 1 and height - 1 if known.
    """

    size: tuple[int, int]
    name: str
    boxes: np.ndarray


def read_voc(path: Path) -> VocImage:
    """Read an annotation file. Coordinates are taken as they stand, fractions are cut off.

    Raises:
        DatasetError: If it is no such file, or its objects are of different classes: an image has
            one label.
    """
    try:
        root = ElementTree.parse(path).getroot()
        size = tuple(int(root.findtext(f"size/{side}", "0")) for side in ("width", "height"))
        objects = root.findall("object")
        corners = [[float(o.findtext(f"bndbox/{c}", "")) for c in ("xmin", "ymin", "xmax", "ymax")] for o in objects]
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from None
    except (ElementTree.ParseError, ValueError) as error:
        raise DatasetError(f"{path}: no Pascal VOC annotation ({error})") from None
    names = {(o.findtext("name") or "").strip() for o in objects}
    if len(names) > 1:
        raise DatasetError(f"{path}: objects of several classes ({', '.join(sorted(names))}), but an image has one")
    boxes = np.array(corners, dtype=np.float64).reshape(-1, 4).astype(np.int64)
    if size[0] > 0 and size[1] > 0:
        boxes[:, 2:] = np.minimum(boxes[:, 2:], np.array(size) - 1)
    return VocImage((size[0], size[1]), next(iter(names), ""), boxes)

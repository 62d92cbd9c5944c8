"""Boxes in the formats that other tools read: COCO, YOLO, Pascal VOC, CSV, supervision.

from wsol import export
found = wsol.Localizer("resnet_mini_tdam", rule="all")(["a.jpg", "b.jpg"])
json.dumps(export.coco(found))
Path("a.txt").write_text(export.yolo(found[0]))
files = export.BoxFiles("boxes", ["coco", "yolo"])                     # image after image, such as of a video

Boxes are the last step's `regions`: one with the rule "largest", every contour with "all". Pixels count from 0, and a
box is ``x0 y0 x1 y1`` as everywhere in wsol; each format's own convention is applied here.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from tdam.errors import UserError, check_name
from tdam.files import write_text
from wsol.localization import Localization

FORMATS = ("coco", "csv", "voc", "yolo")
CSV_COLUMNS = ("path", "class_id", "label", "score", "x0", "y0", "x1", "y1")


class BoxFiles:
    """Boxes of many images as files, taken up one image after the other; the images themselves are not kept.

    Args:
        folder: Folder to write into: coco.json, boxes.csv, and a file per image in voc and yolo.
        formats: Names of `FORMATS`.

    Raises:
        UnknownNameError: If there is no such format.
    """

    def __init__(self, folder: str | Path, formats: Sequence[str]) -> None:
        self.folder = Path(folder)
        self.formats = tuple(dict.fromkeys(check_name("format", name, FORMATS) for name in formats))
        self._coco, self._names = _Coco(), Counter[str]()
        self._rows: list[Sequence[Any]] = [CSV_COLUMNS]

    def add(self, one: Localization) -> None:
        """Take up the boxes of an image; what is a file of its own is written."""
        self._coco.add(one)
        self._rows += _rows(one, self._coco.count)
        stem = Path(_name(one, self._coco.count)).stem
        self._names[stem] += 1
        name = stem if self._names[stem] == 1 else f"{stem}-{self._names[stem]}"
        if "yolo" in self.formats:
            write_text(self.folder / "yolo" / f"{name}.txt", yolo(one))
        if "voc" in self.formats:
            write_text(self.folder / "voc" / f"{name}.xml", voc(one))

    def close(self) -> list[Path]:
        """Write what holds all images; the files and, for formats of a file per image, their folders."""
        if "coco" in self.formats:
            write_text(self.folder / "coco.json", json.dumps(self._coco.document(), indent=1) + "\n")
        if "csv" in self.formats:
            write_text(self.folder / "boxes.csv", _csv(self._rows))
        places = {"coco": "coco.json", "csv": "boxes.csv", "voc": "voc", "yolo": "yolo"}
        return [self.folder / places[name] for name in self.formats]


class _Coco:
    """A COCO document that grows."""

    def __init__(self) -> None:
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.categories: dict[int, str] = {}

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.images)

    def add(self, one: Localization) -> None:
        """Add an image."""
        number = self.count + 1
        width, height = one.image_size
        self.images.append({"id": number, "file_name": _name(one, number), "width": width, "height": height})
        step = one.steps[-1]
        self.categories[step.class_id] = step.label
        for region in step.regions:
            x0, y0, x1, y1 = region.box.tolist()
            box = [x0, y0, x1 - x0, y1 - y0]
            self.annotations.append(
                {
                    "id": len(self.annotations) + 1,
                    "image_id": number,
                    "category_id": step.class_id,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "score": region.score,
                    "iscrowd": 0,
                }
            )

    def document(self) -> dict[str, Any]:
        """Everything so far."""
        named = [{"id": class_id, "name": self.categories[class_id]} for class_id in sorted(self.categories)]
        return {"images": self.images, "annotations": self.annotations, "categories": named}


def coco(found: Iterable[Localization]) -> dict[str, Any]:
    """A COCO document: images, categories of the classes found, and boxes ``x y width height`` with scores."""
    growing = _Coco()
    for one in found:
        growing.add(one)
    return growing.document()


def yolo(one: Localization, with_scores: bool = False) -> str:
    """YOLO's lines ``class x_centre y_centre width height`` in shares of the image, one per box."""
    width, height = one.image_size
    step = one.steps[-1]
    lines = []
    for region in step.regions:
        x0, y0, x1, y1 = region.box.tolist()
        values = [(x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height]
        if with_scores:
            values.append(region.score)
        lines.append(" ".join([str(step.class_id), *(f"{value:.6f}" for value in values)]))
    return "".join(f"{line}\n" for line in lines)


def voc(one: Localization) -> str:
    """A Pascal VOC annotation; its pixels count from 1, and the corners belong to the box."""
    width, height = one.image_size
    step = one.steps[-1]
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "filename").text = _name(one, 1)
    size = ElementTree.SubElement(root, "size")
    for key, value in (("width", width), ("height", height), ("depth", 3)):
        ElementTree.SubElement(size, key).text = str(value)
    for region in step.regions:
        thing = ElementTree.SubElement(root, "object")
        ElementTree.SubElement(thing, "name").text = step.label
        box = ElementTree.SubElement(thing, "bndbox")
        x0, y0, x1, y1 = region.box.tolist()
        for key, value in (("xmin", x0 + 1), ("ymin", y0 + 1), ("xmax", max(x1, x0 + 1)), ("ymax", max(y1, y0 + 1))):
            ElementTree.SubElement(box, key).text = str(value)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def table(found: Iterable[Localization]) -> str:
    """CSV with a row per box; see `CSV_COLUMNS`."""
    rows: list[Sequence[Any]] = [CSV_COLUMNS]
    for number, one in enumerate(found, start=1):
        rows += _rows(one, number)
    return _csv(rows)


def _rows(one: Localization, number: int) -> list[Sequence[Any]]:
    step = one.steps[-1]
    name = _name(one, number) if one.path is None or one.frame is not None else one.path
    return [(name, step.class_id, step.label, f"{region.score:.6f}", *region.box.tolist()) for region in step.regions]


def _csv(rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def detections(one: Localization) -> Any:
    """The boxes as `supervision.Detections`.

    Raises:
        UserError: If supervision is not installed.
    """
    try:
        from supervision import Detections
    except ImportError as error:
        raise UserError("supervision is not installed: pip install supervision") from error
    step = one.steps[-1]
    count = len(step.regions)
    return Detections(
        xyxy=np.array([region.box for region in step.regions], dtype=np.float32).reshape(count, 4),
        confidence=np.array([region.score for region in step.regions], dtype=np.float32),
        class_id=np.full(count, step.class_id, dtype=int),
        data={"class_name": np.array([step.label] * count)},
    )


def _name(one: Localization, number: int) -> str:
    """The file's name, with its number for a frame of a video; a number for an image that came as an object."""
    if one.path is None:
        return f"image-{number}"
    return Path(one.path).name if one.frame is None else f"{Path(one.path).stem}-{one.frame:06d}"

"""Boxes in the formats that other tools read: COCO, YOLO, Pascal VOC, CSV, supervision.

from wsol import export
found = wsol.Localizer("resnet_mini_tdam", rule="all")(["a.jpg", "b.jpg"])
json.dumps(export.coco(found))
Path("a.txt").write_text(export.yolo(found[0]))

Boxes are the last step's `regions`: one with the rule "largest", every contour with "all". Pixels count from 0, and a
box is ``x0 y0 x1 y1`` as everywhere in wsol; each format's own convention is applied here.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from tdam.errors import UserError
from wsol.localization import Localization

CSV_COLUMNS = ("path", "class_id", "label", "score", "x0", "y0", "x1", "y1")


def coco(found: Sequence[Localization]) -> dict[str, Any]:
    """A COCO document: images, categories of the classes found, and boxes ``x y width height`` with scores."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    categories: dict[int, str] = {}
    for number, one in enumerate(found, start=1):
        width, height = one.image_size
        images.append({"id": number, "file_name": _name(one, number), "width": width, "height": height})
        step = one.steps[-1]
        categories[step.class_id] = step.label
        for region in step.regions:
            x0, y0, x1, y1 = region.box.tolist()
            box = [x0, y0, x1 - x0, y1 - y0]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": step.class_id,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "score": region.score,
                    "iscrowd": 0,
                }
            )
    named = [{"id": class_id, "name": categories[class_id]} for class_id in sorted(categories)]
    return {"images": images, "annotations": annotations, "categories": named}


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


def table(found: Sequence[Localization]) -> str:
    """CSV with a row per box; see `CSV_COLUMNS`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for number, one in enumerate(found, start=1):
        step = one.steps[-1]
        for region in step.regions:
            score = f"{region.score:.6f}"
            writer.writerow([one.path or _name(one, number), step.class_id, step.label, score, *region.box.tolist()])
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
    """The file's name, or a number for an image that came as an object."""
    return Path(one.path).name if one.path else f"image-{number}"

"""Annotation formats that people keep their own images in: CSV, COCO JSON, Pascal VOC XML, folders.

Every reader returns `Annotations`: one `AnnotatedImage` per image. Boxes are ``x0 y0 x1 y1`` in pixels of the image
with x1 = x0 + width, as they stand in the file; `wsol.data.custom` holds them against the images.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wsol.data.errors import DatasetError
from wsol.data.files.image_files import is_hidden
from wsol.data.formats.voc import read_voc

CORNERS = ("x0", "y0", "x1", "y1")
OTHER_CORNERS = frozenset(
    {"x", "y", "w", "h", "width", "height", "xmin", "ymin", "xmax", "ymax", "x_min", "y_min", "x_max", "y_max"}
    | {"x2", "y2", "left", "top", "right", "bottom", "bbox", "cx", "cy", "x_center", "y_center"}
)
"""Names that other tools give to columns of boxes: a table that has them, and not ours, would lose its boxes."""


@dataclass
class AnnotatedImage:
    """What an annotation says about one image.

    Attributes:
        path: Path or name of the image, as the annotation has it.
        label: Class name or number as text; None if the annotation does not give it.
        boxes: K boxes ``x0, y0, x1, y1``.
        source: File (and line) it was read from, for messages.
        places: File and line of each box.
        size: Width and height that the annotation gives; None if it does not.
        crowds: Annotations of crowds, which are no boxes.
        difficult: Boxes that are marked difficult.
        coco_id: Its id in a COCO file.
    """

    path: str
    label: str | None
    boxes: list[tuple[float, float, float, float]]
    source: str
    places: list[str] = field(default_factory=list)
    size: tuple[int, int] | None = None
    crowds: int = 0
    difficult: int = 0
    coco_id: int | str | None = None

    @property
    def corners(self) -> np.ndarray:
        """(K, 4) float64."""
        return np.array(self.boxes, dtype=np.float64).reshape(-1, 4)


@dataclass
class Annotations:
    """The content of an annotation file or folder.

    Attributes:
        images: What it says of each image.
        class_names: Classes that it names, also those without an image.
        may_lack_labels: Whether an image without an object is usual in this format (a background image), and so is
            left out where nothing else tells its class.
        category_ids: Class -> its id in a COCO file; empty for other formats.
    """

    images: list[AnnotatedImage]
    class_names: tuple[str, ...] = ()
    may_lack_labels: bool = False
    category_ids: dict[str, int | str] = field(default_factory=dict)


def read_annotations(path: Path) -> Annotations:
    """Read boxes and labels from a ``.csv`` file, a COCO ``.json`` file or a folder of VOC ``.xml`` files.

    Raises:
        DatasetError: If it is missing, of another kind, or malformed; the message names the place.
    """
    if path.is_dir():
        return _read_voc_folder(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DatasetError(f"{path}: expected a .csv file, a COCO .json file or a folder of VOC .xml files")
    try:
        return reader(path)
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: {getattr(error, 'strerror', None) or error}") from None


def read_csv(path: Path) -> Annotations:
    """Read a table with a header: ``path``, and optionally ``label`` and ``x0, y0, x1, y1``.

    An image has one row per box, or one row with empty corners if it has no box. Other columns are ignored.
    """
    images: dict[str, AnnotatedImage] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file, skipinitialspace=True)
        try:
            has_boxes = _check_header(path, [name or "" for name in rows.fieldnames or []])
            for row in rows:
                _add_csv_row(images, row, f"{path}:{rows.line_num}", has_boxes)
        except csv.Error as error:
            raise DatasetError(f"{path}:{rows.line_num + 1}: not a CSV table ({error})") from None
    return Annotations(list(images.values()))


def _check_header(path: Path, columns: list[str]) -> bool:
    """Whether the table has columns of boxes."""
    if "path" not in columns:
        raise DatasetError(f"{path}:1: no column 'path' in the header (has: {', '.join(columns) or 'nothing'})")
    if len(set(columns)) < len(columns):
        raise DatasetError(f"{path}:1: two columns of one name in the header ({', '.join(columns)})")
    missing = [corner for corner in CORNERS if corner not in columns]
    if missing and len(missing) < len(CORNERS):
        raise DatasetError(f"{path}:1: the header has no {', '.join(missing)}")
    others = [name for name in columns if name.strip().lower() in OTHER_CORNERS]
    if missing and len(others) > 1:
        raise DatasetError(
            f"{path}:1: the columns {', '.join(others)} are not read; boxes are corners in pixels, x1 = x0 + width, "
            f"in columns named {', '.join(CORNERS)}"
        )
    return not missing


def _add_csv_row(images: dict[str, AnnotatedImage], row: dict[str, str | None], where: str, has_boxes: bool) -> None:
    name, label = (row["path"] or "").strip(), (row.get("label") or "").strip() or None
    if not name or None in row or None in row.values():
        raise DatasetError(f"{where}: expected as many values as the header has columns, and a path")
    image = images.setdefault(name, AnnotatedImage(name, label, [], where))
    if image.label != label:
        raise DatasetError(f"{where}: {name!r} is {label!r} here, but {image.label!r} at {image.source}")
    texts = [(row[corner] or "").strip() for corner in CORNERS] if has_boxes else []
    if not any(texts):
        return
    try:
        x0, y0, x1, y1 = map(float, texts)
    except ValueError:
        raise DatasetError(f"{where}: {','.join(texts)!r} are not four numbers") from None
    image.boxes.append((x0, y0, x1, y1))
    image.places.append(where)


def read_coco(path: Path) -> Annotations:
    """Read a COCO instances file. Crowds give an image its class, but no box; an image's objects share one category."""
    try:
        coco = json.loads(path.read_text(encoding="utf-8-sig"))
        names = _by_id(path, "category", coco["categories"])
        labels = {number: str(category["name"]) for number, category in names.items()}
        if len(set(labels.values())) < len(labels):
            raise DatasetError(f"{path}: two categories of one name ({', '.join(sorted(labels.values()))})")
        images = {
            number: _coco_image(image, f"{path}, image {number}")
            for number, image in _by_id(path, "image", coco["images"]).items()
        }
        crowd_labels: dict[Any, set[str]] = {}
        for annotation in coco["annotations"]:
            number, label = annotation["image_id"], labels[annotation["category_id"]]
            if annotation.get("iscrowd"):
                images[number].crowds += 1
                crowd_labels.setdefault(number, set()).add(label)
            else:
                _add_coco_object(images[number], annotation, label)
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path}:{error.lineno}: not JSON ({error.msg})") from None
    except RecursionError:
        raise DatasetError(f"{path}: not a COCO instances file (nested too deep)") from None
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise DatasetError(f"{path}: not a COCO instances file ({type(error).__name__}: {error})") from None
    for number, of_image in crowd_labels.items():
        if images[number].label is None and len(of_image) == 1:
            (images[number].label,) = of_image
    for number, image in images.items():
        image.coco_id = number
    ids = {label: number for number, label in labels.items()}
    return Annotations(list(images.values()), tuple(labels.values()), may_lack_labels=True, category_ids=ids)


def _by_id(path: Path, kind: str, items: list[dict[str, Any]]) -> dict[Any, dict[str, Any]]:
    found: dict[Any, dict[str, Any]] = {}
    for item in items:
        if item["id"] in found:
            raise DatasetError(f"{path}: two entries for {kind} id {item['id']}: give each its own id")
        found[item["id"]] = item
    return found


def _coco_image(image: dict[str, Any], where: str) -> AnnotatedImage:
    name = image["file_name"]
    if not isinstance(name, str) or not name:
        raise DatasetError(f"{where}: file_name {name!r} is not text")
    width, height = image.get("width"), image.get("height")
    size = (int(width), int(height)) if width and height else None
    return AnnotatedImage(name, None, [], where, size=size)


def _add_coco_object(image: AnnotatedImage, annotation: dict[str, Any], label: str) -> None:
    if image.label not in (None, label):
        raise DatasetError(f"{image.source}: objects of several categories ({image.label}, {label}), an image has one")
    image.label = label
    try:
        x, y, width, height = map(float, annotation["bbox"])
    except ValueError:
        raise DatasetError(f"{image.source}: bbox {annotation['bbox']!r} is not [x, y, width, height]") from None
    image.boxes.append((x, y, x + width, y + height))
    number = annotation.get("id")
    image.places.append(image.source if number is None else f"{image.source}, annotation {number}")


def _read_voc_folder(folder: Path) -> Annotations:
    """One XML per image, with the image's path but for the suffix."""
    paths = sorted(path for path in folder.rglob("*.xml") if not any(map(is_hidden, path.relative_to(folder).parts)))
    if not paths:
        raise DatasetError(f"{folder}: no .xml file below it")
    images = []
    for path in paths:
        found = read_voc(path)
        stem = path.relative_to(folder).with_suffix("").as_posix()
        boxes = [(x0, y0, x1, y1) for x0, y0, x1, y1 in found.corners.tolist()]
        size = found.size if all(found.size) else None
        image = AnnotatedImage(stem, found.name or None, boxes, str(path), [str(path)] * len(boxes), size)
        image.difficult = found.difficult
        images.append(image)
    return Annotations(images, may_lack_labels=True)


READERS: dict[str, Callable[[Path], Annotations]] = {".csv": read_csv, ".json": read_coco}

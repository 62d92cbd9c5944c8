"""Annotation formats that people keep their own images in: CSV, COCO JSON, Pascal VOC XML, folders.

Every reader returns one `AnnotatedImage` per image. Boxes are ``x0 y0 x1 y1`` in pixels of the image with
x1 = x0 + width; fractions are cut off when the ground truth is made, see `wsol.data.custom`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from wsol.data.errors import DatasetError
from wsol.data.formats.voc import read_voc

CORNERS = ("x0", "y0", "x1", "y1")
IMAGE_SUFFIXES = frozenset(Image.registered_extensions())


@dataclass
class AnnotatedImage:
    """What an annotation says about one image.

    Attributes:
        path: Path or name of the image, as the annotation has it.
        label: Class name or number as text; None if the annotation has no classes.
        boxes: K boxes ``x0, y0, x1, y1``.
        source: File (and line) it was read from, for messages.
    """

    path: str
    label: str | None
    boxes: list[tuple[float, float, float, float]]
    source: str

    @property
    def corners(self) -> np.ndarray:
        """(K, 4) float64."""
        return np.array(self.boxes, dtype=np.float64).reshape(-1, 4)


def read_annotations(path: Path) -> list[AnnotatedImage]:
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


def read_csv(path: Path) -> list[AnnotatedImage]:
    """Read a table with a header: ``path``, and optionally ``label`` and ``x0, y0, x1, y1``.

    An image has one row per box, or one row with empty corners if it has no box. Other columns are ignored.
    """
    images: dict[str, AnnotatedImage] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file, skipinitialspace=True)
        columns = rows.fieldnames or []
        if "path" not in columns:
            raise DatasetError(f"{path}:1: no column 'path' in the header (has: {', '.join(columns) or 'nothing'})")
        missing = [corner for corner in CORNERS if corner not in columns]
        if missing and len(missing) < len(CORNERS):
            raise DatasetError(f"{path}:1: the header has no {', '.join(missing)}")
        for row in rows:
            where = f"{path}:{rows.line_num}"
            _add_csv_row(images, row, where, has_boxes=not missing)
    return list(images.values())


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


def read_coco(path: Path) -> list[AnnotatedImage]:
    """Read a COCO instances file. Crowd annotations are left out; an image's objects share one category."""
    try:
        coco = json.loads(path.read_text(encoding="utf-8"))
        names = {c["id"]: str(c["name"]) for c in coco["categories"]}
        images = {i["id"]: AnnotatedImage(i["file_name"], None, [], f"{path}, image {i['id']}") for i in coco["images"]}
        objects = [a for a in coco["annotations"] if not a.get("iscrowd")]
        for annotation in objects:
            _add_coco_object(images[annotation["image_id"]], annotation, names)
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path}:{error.lineno}: no JSON ({error.msg})") from None
    except (KeyError, TypeError) as error:
        raise DatasetError(f"{path}: no COCO instances file ({type(error).__name__}: {error})") from None
    return list(images.values())


def _add_coco_object(image: AnnotatedImage, annotation: dict[str, Any], names: dict[int, str]) -> None:
    label = names[annotation["category_id"]]
    if image.label not in (None, label):
        raise DatasetError(f"{image.source}: objects of several categories ({image.label}, {label}), an image has one")
    image.label = label
    try:
        x, y, width, height = map(float, annotation["bbox"])
    except ValueError:
        raise DatasetError(f"{image.source}: bbox {annotation['bbox']!r} is not [x, y, width, height]") from None
    image.boxes.append((x, y, x + width, y + height))


def _read_voc_folder(folder: Path) -> list[AnnotatedImage]:
    """One XML per image, with the image's path but for the suffix."""
    paths = sorted(folder.rglob("*.xml"))
    if not paths:
        raise DatasetError(f"{folder}: no .xml file below it")
    images = []
    for path in paths:
        found = read_voc(path)
        stem = path.relative_to(folder).with_suffix("").as_posix()
        boxes = [tuple(map(float, box)) for box in found.boxes]
        images.append(AnnotatedImage(stem, found.name or None, boxes, str(path)))  # type: ignore[arg-type]
    return images


def list_images(folder: Path) -> list[str]:
    """Paths of the image files below `folder`, sorted."""
    paths = (p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))
    return sorted(p.relative_to(folder).as_posix() for p in paths)


READERS: dict[str, Callable[[Path], list[AnnotatedImage]]] = {".csv": read_csv, ".json": read_coco}

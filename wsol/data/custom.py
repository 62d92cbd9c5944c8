"""Anyone's own images: a ``dataset.yaml``, or a folder that explains itself.

::

    name: mugs
    splits:
      train: {images: train}                                    # train/<class>/….jpg
      val: {images: photos, boxes: val.csv}                     # path,label,x0,y0,x1,y1
      test: {images: photos, boxes: coco.json, masks: masks}    # masks/<path of the image>.png

``boxes`` is a ``.csv`` file, a COCO ``.json`` file or a folder of Pascal VOC ``.xml`` files; the images of the
split are those it names. Without it they are all images below ``images``, and the class is the first folder of
the path. ``classes``, a list of names, fixes the order of the classes; else names are sorted, and numbers stay.
A mask is bright where the object is; ``<image>_ignore.png`` beside it is bright where nothing is scored.
All paths are relative to the folder of the ``dataset.yaml``.

A folder without ``dataset.yaml`` is read as if it had one with, for each split, ``images: <split>`` and, if they
exist, ``boxes: <split>.csv``, ``<split>.json`` or ``<split>_boxes`` and ``masks: <split>_masks``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from wsol.data.errors import DatasetError
from wsol.data.formats.annotations import AnnotatedImage, list_images, read_annotations
from wsol.data.ground_truth import SPLITS, GroundTruth, MaskFiles
from wsol.data.loaded import Loaded
from wsol.data.stores import Folder, image_sizes

DESCRIPTION = "dataset.yaml"


@dataclass(frozen=True)
class SplitFiles:
    """Where the parts of a split lie."""

    images: Path
    boxes: Path | None = None
    masks: Path | None = None


@dataclass(frozen=True)
class Description:
    """A ``dataset.yaml``, or what a folder without one says."""

    name: str
    classes: tuple[str, ...] | None
    splits: Mapping[str, SplitFiles]


def load_custom(path: Path, split: str) -> Loaded:
    """Read a split of the dataset described by the file or folder `path`.

    Raises:
        DatasetError: If the description, an annotation or a folder is missing or malformed.
    """
    description = read_description(path)
    if split not in description.splits:
        have = ", ".join(description.splits) or "none"
        raise DatasetError(f"{path}: has no {split} split (has: {have})")
    files = description.splits[split]
    images = {name: _images(each) for name, each in description.splits.items()}
    names = description.classes or _class_names([image for found in images.values() for image in found])
    if not images[split]:
        raise DatasetError(f"{files.boxes or files.images}: no images")
    return _loaded(description.name, split, files, images[split], names)


def read_description(path: Path) -> Description:
    """Read a ``dataset.yaml``, or look what a folder holds.

    Raises:
        DatasetError: If it is missing or malformed, with the key that is wrong.
    """
    file = path / DESCRIPTION if path.is_dir() else path
    if not file.exists():
        return _description_of_folder(path)
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DatasetError(f"{file}: cannot be read ({' '.join(str(error).split())})") from None
    content = _mapping(content, str(file), allowed=("name", "classes", "splits"))
    classes = content.get("classes")
    if classes is not None and (not isinstance(classes, list) or len(set(map(str, classes))) < len(classes)):
        raise DatasetError(f"{file}: 'classes' is no list of different names")
    splits = _mapping(content.get("splits"), f"{file}: splits", allowed=SPLITS)
    return Description(
        name=str(content.get("name", file.resolve().parent.name)),
        classes=None if classes is None else tuple(map(str, classes)),
        splits={name: _split_files(file, name, keys) for name, keys in splits.items()},
    )


def _mapping(content: Any, where: str, allowed: Sequence[str]) -> dict[str, Any]:
    if not isinstance(content, dict) or not content:
        raise DatasetError(f"{where}: expected the keys {', '.join(allowed)}")
    unknown = [str(key) for key in content if key not in allowed]
    if unknown:
        raise DatasetError(f"{where}: unknown key {unknown[0]!r}; valid: {', '.join(allowed)}")
    return content


def _split_files(file: Path, split: str, content: Any) -> SplitFiles:
    where = f"{file}: splits: {split}"
    keys = _mapping(content, where, allowed=("images", "boxes", "masks"))
    if "images" not in keys:
        raise DatasetError(f"{where}: 'images' is missing")
    paths = {key: file.parent / str(value) for key, value in keys.items()}
    for key, path in paths.items():
        if not path.exists():
            raise DatasetError(f"{where}: {key}: {path} does not exist")
    return SplitFiles(**paths)


def _description_of_folder(folder: Path) -> Description:
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such file or folder")
    splits = {}
    for split in SPLITS:
        if (folder / split).is_dir():
            boxes = [folder / f"{split}{ending}" for ending in (".csv", ".json", "_boxes")]
            masks = folder / f"{split}_masks"
            found = next((path for path in boxes if path.exists()), None)
            splits[split] = SplitFiles(folder / split, found, masks if masks.is_dir() else None)
    if not splits:
        raise DatasetError(f"{folder}: holds neither {DESCRIPTION} nor one of the folders {', '.join(SPLITS)}")
    return Description(folder.resolve().name, None, splits)


def _images(files: SplitFiles) -> list[AnnotatedImage]:
    """Images of a split with the paths they have below ``images``, and a label each."""
    listed = list_images(files.images)
    if files.boxes is None:
        found = [AnnotatedImage(path, None, [], str(files.images / path)) for path in listed]
    else:
        found = _resolved(read_annotations(files.boxes), files.images, listed)
    for image in found:
        if image.label is None:
            image.label = _folder_label(image, files.images)
    return found


def _resolved(images: list[AnnotatedImage], folder: Path, listed: list[str]) -> list[AnnotatedImage]:
    """Give images that an annotation names without folder or suffix the paths they have."""
    known = set(listed)
    by_name: dict[str, list[str]] = defaultdict(list)
    for path in listed:
        for key in {Path(path).name, Path(path).stem, Path(path).with_suffix("").as_posix()}:
            by_name[key].append(path)
    for image in images:
        if image.path in known:
            continue
        candidates = by_name.get(image.path) or by_name.get(Path(image.path).name, [])
        if len(candidates) > 1:
            raise DatasetError(f"{image.source}: {image.path!r} may be {' or '.join(candidates[:2])} in {folder}")
        if candidates:
            image.path = candidates[0]
    return images


def _folder_label(image: AnnotatedImage, folder: Path) -> str:
    parts = Path(image.path).parts
    if len(parts) < 2:
        raise DatasetError(
            f"{image.source}: {image.path!r} has no label: it is neither in the annotation, "
            f"nor does the image lie in a class folder below {folder}"
        )
    return parts[0]


def _class_names(images: list[AnnotatedImage]) -> tuple[str, ...]:
    """Names in alphabetical order; if all are numbers, the numbers up to the largest."""
    names = {str(image.label) for image in images}
    if all(name.isdecimal() for name in names):
        return tuple(map(str, range(max(map(int, names), default=-1) + 1)))
    return tuple(sorted(names))


def _loaded(
    name: str, split: str, files: SplitFiles, images: list[AnnotatedImage], class_names: tuple[str, ...]
) -> Loaded:
    number = {class_name: i for i, class_name in enumerate(class_names)}
    for image in images:
        if image.label not in number:
            raise DatasetError(f"{image.source}: class {image.label!r} is not among {', '.join(class_names)}")
    ids = tuple(image.path for image in images)
    if len(set(ids)) < len(ids):
        repeated = next(i for i in ids if ids.count(i) > 1)
        raise DatasetError(f"{files.boxes}: two entries for {repeated!r}")
    store = Folder(files.images)
    sizes = image_sizes(store, ids)
    truth = GroundTruth(
        dataset=name,
        split=split,
        image_ids=ids,
        labels=np.array([number[str(image.label)] for image in images], dtype=np.int64),
        sizes=sizes,
        boxes=tuple(_integers(image.corners, size) for image, size in zip(images, sizes, strict=True)),
        class_names=class_names,
        masks=None if files.masks is None else tuple(_mask_files(files.masks, i) for i in ids),
    )
    return Loaded(truth, store, None if files.masks is None else Folder(files.masks))


def _integers(corners: np.ndarray, size: np.ndarray) -> np.ndarray:
    """(K, 4) int64: fractions cut off, an x1 equal to the width (y1 to the height) moved to the last pixel."""
    boxes = corners.astype(np.int64)
    at_end = boxes[:, 2:] == size
    boxes[:, 2:] -= at_end
    return boxes


def _mask_files(folder: Path, image_id: str) -> MaskFiles:
    stem = Path(image_id).with_suffix("")
    mask, ignore = f"{stem.as_posix()}.png", f"{stem.as_posix()}_ignore.png"
    if not (folder / mask).is_file():
        return MaskFiles()
    return MaskFiles((mask,), ignore if (folder / ignore).is_file() else None)

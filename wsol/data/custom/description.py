"""What a ``dataset.yaml`` says, or a folder without one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tdam.errors import UserError
from wsol.data.custom.classes import classes_from_description
from wsol.data.errors import DatasetError
from wsol.data.files.image_files import image_files
from wsol.data.ground_truth import SPLITS
from wsol.runtime.yaml_files import read_yaml

DESCRIPTION = "dataset.yaml"
YAML_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class SplitFiles:
    """Where the parts of a split lie."""

    images: Path
    boxes: Path | None = None
    masks: Path | None = None


@dataclass(frozen=True)
class Description:
    """A ``dataset.yaml``, or what a folder without one says.

    Attributes:
        name: Name of the dataset.
        classes: Its classes in order; None: those of its images.
        splits: Files of each split that it has.
        file: The ``dataset.yaml``, or where it would lie.
    """

    name: str
    classes: tuple[str, ...] | None
    splits: Mapping[str, SplitFiles]
    file: Path


def read_description(path: Path) -> Description:
    """Read a ``dataset.yaml``, or look what a folder holds.

    Raises:
        DatasetError: If it is missing or malformed, with the key that is wrong.
    """
    file = path / DESCRIPTION if path.is_dir() else path
    if not file.exists():
        return _description_of_folder(path)
    if file.suffix.lower() not in YAML_SUFFIXES:
        raise _no_description(file)
    try:
        content = read_yaml(file)
    except UserError as error:
        raise DatasetError(str(error)) from None
    content = _mapping(content, str(file), allowed=("name", "classes", "splits"))
    splits = _mapping(content.get("splits"), f"{file}: splits", allowed=SPLITS)
    return Description(
        name=_name(content.get("name"), file),
        classes=classes_from_description(content.get("classes"), str(file)),
        splits={name: _split_files(file, name, keys) for name, keys in splits.items()},
        file=file,
    )


def _name(name: object, file: Path) -> str:
    """The name of the dataset, which also names folders of results."""
    if name is None:
        return file.resolve().parent.name
    text = str(name)
    if not text.strip() or "/" in text or "\\" in text or text in (".", "..") or not text.isprintable():
        raise DatasetError(f"{file}: 'name' is {text!r}; write a name without / and \\")
    return text


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
        if key != "boxes" and not path.is_dir():
            raise DatasetError(f"{where}: {key}: {path} is a file, expected a folder")
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
        raise _no_splits(folder)
    return Description(folder.resolve().name, None, splits, folder / DESCRIPTION)


def _no_description(file: Path) -> DatasetError:
    """For a list of boxes, or any other file, that is named where a dataset is wanted."""
    if file.suffix.lower() not in (".csv", ".json", ".xml"):
        return DatasetError(f"{file}: is not a dataset; name a folder, or a {DESCRIPTION} that describes one")
    boxes = file.parent.name if file.suffix.lower() == ".xml" else file.name
    place = file.parent.parent if file.suffix.lower() == ".xml" else file.parent
    return DatasetError(
        f"{file}: a list of boxes is not a dataset: write {place / DESCRIPTION} with the line "
        f"'splits: {{test: {{images: FOLDER, boxes: {boxes}}}}}', FOLDER being where its images lie, and name that file"
    )


def _no_splits(folder: Path) -> DatasetError:
    """For a folder that explains nothing, with what its content suggests."""
    images = image_files(folder)
    missing = f"{folder}: holds neither {DESCRIPTION} nor one of the folders {', '.join(SPLITS)}"
    if not images:
        return DatasetError(missing)
    line = "splits: {test: {images: .}}"
    kind = "class folders"
    if any("/" not in path for path in images):
        kind, line = "images without class folders", "splits: {test: {images: ., boxes: LIST.csv}}"
    return DatasetError(
        f"{missing}, but {kind}: move them into {folder / 'test'}, or write {DESCRIPTION} with '{line}'"
    )

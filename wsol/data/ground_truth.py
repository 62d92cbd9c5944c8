"""Ground truth of a split, and the text lists it is kept in.

The lists are those of clovaai/wsolevaluation (``metadata/<dataset>/<split>/``), four files
without header whose rows are

- ``image_ids.txt``: ``id``
- ``class_labels.txt``: ``id,label``
- ``image_sizes.txt``: ``id,width,height`` (empty where the sizes are not published)
- ``localization.txt``: ``id,x0,y0,x1,y1``, one row per box, or ``id,mask,ignore``, one row per
  mask, where only an image's first row names its ignore region (empty for a training split)

An id is the image's path below the dataset's image folder. A fifth file of ours,
``class_names.txt``, gives one class name per line; other readers of these folders ignore it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from tdam.files import write_text
from wsol.data.box_checks import refuse_outside
from wsol.data.errors import DatasetError

IMAGE_IDS = "image_ids.txt"
CLASS_LABELS = "class_labels.txt"
IMAGE_SIZES = "image_sizes.txt"
LOCALIZATION = "localization.txt"
CLASS_NAMES = "class_names.txt"
SPLITS = ("train", "val", "test")
MOST_CLASSES = 1_000_000  # numbers beyond are no classes, and would fill the memory
NO_BOXES = np.zeros((0, 4), dtype=np.int64)


@dataclass(frozen=True)
class MaskFiles:
    """Files of one image's masks, as paths below the dataset's mask folder.

    Attributes:
        objects: One file per instance; the object is their union.
        ignore: File of the region that is not scored, if there is one.
    """

    objects: tuple[str, ...] = ()
    ignore: str | None = None


@dataclass(frozen=True)
class CocoIds:
    """Ids of the COCO file that a split was read from.

    Attributes:
        images: N ids of the images.
        categories: Ids of the classes, in the order of `GroundTruth.class_names`.
    """

    images: tuple[int | str, ...]
    categories: tuple[int | str, ...]


@dataclass(frozen=True)
class GroundTruth:
    """What is known about the N images of a split.

    Attributes:
        dataset: Name of the dataset ("cub").
        split: "train", "val" or "test".
        image_ids: Unique names, paths below the image folder.
        labels: (N,) int64, class of each image, from 0.
        sizes: (N, 2) int64, width and height in pixels; a row of zeros where they are not listed.
        boxes: N arrays (K_i, 4) int64, rows ``x0 y0 x1 y1`` in pixels of the original image, in the
            convention of the lists: x1 = x0 + width, at most image width - 1. K_i is 0 where
            no box is known.
        class_names: Name of each class.
        masks: N `MaskFiles`, or None for a split without masks.
        coco_ids: Ids of the COCO file it was read from, or None where there is none.
    """

    dataset: str
    split: str
    image_ids: tuple[str, ...]
    labels: np.ndarray
    sizes: np.ndarray
    boxes: tuple[np.ndarray, ...]
    class_names: tuple[str, ...]
    masks: tuple[MaskFiles, ...] | None = None
    coco_ids: CocoIds | None = None

    def __post_init__(self) -> None:
        n = len(self.image_ids)
        lengths = {"labels": len(self.labels), "sizes": len(self.sizes), "boxes": len(self.boxes)}
        if self.masks is not None:
            lengths["masks"] = len(self.masks)
        wrong = [f"{length} {name}" for name, length in lengths.items() if length != n]
        if wrong:
            raise DatasetError(f"{self.dataset} {self.split}: {n} images but {', '.join(wrong)}")
        for image_id in self.image_ids:
            if fault := id_fault(image_id):
                raise DatasetError(f"{self.dataset} {self.split}: the image id {image_id!r} {fault}")

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def num_classes(self) -> int:
        """Number of classes of the dataset."""
        return len(self.class_names)

    def subset(self, indices: Iterable[int]) -> GroundTruth:
        """Ground truth of the images at `indices`, in that order; classes stay as they are."""
        rows = np.fromiter(indices, dtype=np.int64)
        return replace(
            self,
            image_ids=tuple(self.image_ids[i] for i in rows),
            labels=self.labels[rows],
            sizes=self.sizes[rows],
            boxes=tuple(self.boxes[i] for i in rows),
            masks=None if self.masks is None else tuple(self.masks[i] for i in rows),
            coco_ids=self.coco_ids and replace(self.coco_ids, images=tuple(self.coco_ids.images[i] for i in rows)),
        )

    @classmethod
    def from_lists(
        cls,
        folder: str | Path,
        dataset: str | None = None,
        split: str | None = None,
        class_names: Sequence[str] | None = None,
    ) -> GroundTruth:
        """Read the lists in `folder`.

        Args:
            folder: Folder with the four lists, ``…/<dataset>/<split>``.
            dataset: Name of the dataset; default: the parent folder's, in lower case.
            split: Name of the split; default: the folder's.
            class_names: Default: the lines of ``class_names.txt``, or, without that file, the
                class numbers "0", "1", ….

        Raises:
            DatasetError: If a list is missing, malformed or does not fit the others; the message
                names file and line.
        """
        folder = Path(folder)
        image_ids = _read_ids(folder / IMAGE_IDS)
        position = {image_id: i for i, image_id in enumerate(image_ids)}
        labels = _one_row_each(folder / CLASS_LABELS, position, columns=1)[:, 0]
        if len(labels) and labels.min() < 0:
            raise DatasetError(f"{folder / CLASS_LABELS}: negative label {labels.min()}")
        sizes = np.zeros((len(image_ids), 2), dtype=np.int64)
        if _has_rows(folder / IMAGE_SIZES):
            sizes = _one_row_each(folder / IMAGE_SIZES, position, columns=2)
        boxes, masks = _read_localization(folder / LOCALIZATION, position)
        if class_names is None:
            class_names = _read_class_names(folder / CLASS_NAMES, labels)
        return cls(
            dataset=folder.parent.name.lower() if dataset is None else dataset,
            split=folder.name if split is None else split,
            image_ids=tuple(image_ids),
            labels=labels,
            sizes=sizes,
            boxes=boxes,
            class_names=tuple(class_names),
            masks=masks,
        )

    def with_boxes(self, path: str | Path) -> GroundTruth:
        """The same images with the boxes of another ``localization.txt``, such as one made without people.

        Images that the list leaves out have no box; an image may have several.

        Raises:
            DatasetError: If the list is malformed, names an image that is not of the split, holds no box, or one that
                is not within its image.
        """
        path = Path(path)
        ids, values = _read_integers(path, columns=4)
        position = {image_id: i for i, image_id in enumerate(self.image_ids)}
        if not ids:
            raise DatasetError(f"{path}: no boxes")
        places = positions_of(ids, position, path)
        refuse_outside(values, self.sizes[places], ids, path)
        return replace(self, boxes=group_rows(places, values, len(self)), masks=None)

    def write_lists(self, folder: str | Path) -> None:
        """Write the lists to `folder`, as wsolevaluation reads them.

        ``localization.txt`` holds either boxes or masks: boxes if there is any, else masks.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        known = [(i, w, h) for i, (w, h) in zip(self.image_ids, self.sizes.tolist(), strict=True) if w]
        _write_lines(folder / IMAGE_IDS, self.image_ids)
        _write_lines(folder / CLASS_LABELS, map("{},{}".format, self.image_ids, self.labels.tolist()))
        _write_lines(folder / IMAGE_SIZES, (f"{i},{w},{h}" for i, w, h in known))
        _write_lines(folder / LOCALIZATION, self._localization_rows())
        if self.class_names != _numbers(len(self.class_names)):
            _write_lines(folder / CLASS_NAMES, self.class_names)

    def _localization_rows(self) -> Iterable[str]:
        if self.masks is None or any(len(boxes) for boxes in self.boxes):
            for image_id, boxes in zip(self.image_ids, self.boxes, strict=True):
                yield from (f"{image_id},{x0},{y0},{x1},{y1}" for x0, y0, x1, y1 in boxes.tolist())
            return
        for image_id, files in zip(self.image_ids, self.masks, strict=True):
            for i, mask in enumerate(files.objects):
                yield f"{image_id},{mask},{files.ignore or '' if i == 0 else ''}"


def id_fault(image_id: str) -> str | None:
    """What is wrong with a path that names an image or mask below a folder; None if nothing is.

    Such paths also name what is written about an image, so none may lead out of the folder it is written into.

    >>> id_fault("a/b.jpg"), id_fault("../b.jpg")
    (None, 'leads out of its folder')
    """
    if image_id.startswith("/") or (".." in image_id and ".." in image_id.split("/")):
        return "leads out of its folder"
    if not is_text(image_id):
        return "holds characters that are not text: rename the file"
    return None


def is_text(name: str) -> bool:
    """Whether a name can be written to any file: it holds no control character and no byte that is not text."""
    return name.isprintable() or not any(c < " " or "\ud800" <= c <= "\udfff" for c in name)


def read_lines(path: Path) -> list[str]:
    """Lines of a UTF-8 text file without their ends.

    Raises:
        DatasetError: If the file is missing, is not text, or has an empty line before its end.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read as text ({error})") from None
    while lines and not lines[-1].strip():
        lines.pop()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise DatasetError(f"{path}:{number}: empty line")
    return lines


def group_rows(positions: np.ndarray, rows: np.ndarray, n: int) -> tuple[np.ndarray, ...]:
    """Split `rows` (R, …) by `positions` (R,), the number of the image each row belongs to.

    Returns:
        n arrays; rows of one image keep their order.
    """
    order = np.argsort(positions, kind="stable")
    grouped = rows[order]
    edges = np.concatenate([[0], np.cumsum(np.bincount(positions, minlength=n))]).tolist()
    return tuple(grouped[start:end] for start, end in pairwise(edges))


def positions_of(ids: Sequence[str], position: dict[str, int], path: Path) -> np.ndarray:
    """Number of the image that each line of the list `path` belongs to.

    Raises:
        DatasetError: If a line names an unknown image.
    """
    try:
        return np.fromiter((position[i] for i in ids), dtype=np.int64, count=len(ids))
    except KeyError as error:
        line = ids.index(error.args[0]) + 1
        raise DatasetError(f"{path}:{line}: {error.args[0]!r} is not among the image ids") from None


def _read_ids(path: Path) -> list[str]:
    ids = [_posix(line) for line in read_lines(path)]
    for number, image_id in enumerate(ids, start=1):
        if fault := id_fault(image_id):
            raise DatasetError(f"{path}:{number}: {image_id!r} {fault}")
    if len(set(ids)) < len(ids):
        first: dict[str, int] = {}
        for number, image_id in enumerate(ids, start=1):
            if image_id in first:
                raise DatasetError(f"{path}:{number}: {image_id!r} is already on line {first[image_id]}")
            first[image_id] = number
    return ids


def _read_integers(path: Path, columns: int) -> tuple[list[str], np.ndarray]:
    """Ids and values (R, columns) of a list with rows ``id,int,…``; an id may contain commas."""
    ids: list[str] = []
    texts: list[str] = []
    for number, line in enumerate(read_lines(path), start=1):
        image_id, *values = line.rsplit(",", columns)
        if len(values) != columns:
            raise _malformed(path, number, line, columns)
        ids.append(_posix(image_id))
        texts += values
    try:
        # flat, not one small list per row: those would keep the garbage collector busy
        return ids, np.array(list(map(int, texts)), dtype=np.int64).reshape(-1, columns)
    except (ValueError, OverflowError):
        wrong = next(i for i, text in enumerate(texts) if not _is_integer(text))
        raise _malformed(path, wrong // columns + 1, texts[wrong], columns) from None


def _is_integer(text: str) -> bool:
    try:
        return abs(int(text)) < 2**63
    except ValueError:
        return False


def _malformed(path: Path, number: int, found: str, columns: int) -> DatasetError:
    return DatasetError(f"{path}:{number}: expected an id and {columns} integer(s) separated by commas, got {found!r}")


def _one_row_each(path: Path, position: dict[str, int], columns: int) -> np.ndarray:
    """Values (N, columns) of a list that has exactly one row for each image, in any order."""
    ids, values = _read_integers(path, columns)
    rows = positions_of(ids, position, path)
    counts = np.bincount(rows, minlength=len(position))
    if len(rows) != len(position) or np.any(counts != 1):
        names = list(position)
        missing, repeated = np.flatnonzero(counts == 0), np.flatnonzero(counts > 1)
        if len(repeated):
            line = np.flatnonzero(rows == repeated[0])[1] + 1
            raise DatasetError(f"{path}:{line}: second row for {names[repeated[0]]!r}")
        raise DatasetError(f"{path}: no row for {len(missing)} image(s), first {names[missing[0]]!r}")
    result = np.empty_like(values)
    result[rows] = values
    return result


def _has_rows(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _read_localization(
    path: Path, position: dict[str, int]
) -> tuple[tuple[np.ndarray, ...], tuple[MaskFiles, ...] | None]:
    if not _has_rows(path):
        return (NO_BOXES,) * len(position), None
    with path.open("rb") as file:
        first_line = file.readline()
    if first_line.count(b",") == 2:
        return (NO_BOXES,) * len(position), _read_masks(path, position)
    ids, values = _read_integers(path, columns=4)
    return group_rows(positions_of(ids, position, path), values, len(position)), None


def _read_masks(path: Path, position: dict[str, int]) -> tuple[MaskFiles, ...]:
    objects: list[list[str]] = [[] for _ in position]
    ignore: list[str | None] = [None] * len(position)
    fields = [_posix(line).split(",") for line in read_lines(path)]
    for number, row in enumerate(fields, start=1):
        if len(row) != 3 or not row[1]:
            raise DatasetError(f"{path}:{number}: expected 'id,mask,ignore', got {','.join(row)!r}")
        for mask in filter(None, row[1:]):
            if fault := id_fault(mask):
                raise DatasetError(f"{path}:{number}: {mask!r} {fault}")
    rows = positions_of([row[0] for row in fields], position, path)
    for i, (_, mask, ignored) in zip(rows.tolist(), fields, strict=True):
        objects[i].append(mask)
        ignore[i] = ignored or ignore[i]
    return tuple(MaskFiles(tuple(o), i) for o, i in zip(objects, ignore, strict=True))


def _posix(path: str) -> str:
    """A path of a list; lists written on Windows have another separator."""
    return path.replace("\\", "/")


def _read_class_names(path: Path, labels: np.ndarray) -> tuple[str, ...]:
    needed = int(labels.max()) + 1 if len(labels) else 0
    if needed > MOST_CLASSES:
        raise DatasetError(f"{path.with_name(CLASS_LABELS)}: label {needed - 1} is beyond {MOST_CLASSES:,} classes")
    if not path.exists():
        return _numbers(needed)
    names = tuple(read_lines(path))
    if len(names) < needed:
        raise DatasetError(f"{path}: {len(names)} names, but a label is {needed - 1}")
    return names


def _numbers(n: int) -> tuple[str, ...]:
    return tuple(map(str, range(n)))


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write without a newline at the end, as the published lists are."""
    write_text(path, "\n".join(lines))

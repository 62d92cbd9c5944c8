"""CUB-200-2011 in the folder layout it is published in.

::

    CUB_200_2011/images.txt               <image number> <path below images/>
                 image_class_labels.txt   <image number> <class number, from 1>
                 train_test_split.txt     <image number> <1 train, 0 test>
                 bounding_boxes.txt       <image number> <x> <y> <width> <height>
                 classes.txt              <class number> <name>
                 images/                  001.Black_footed_Albatross/….jpg
                 segmentations/           001.Black_footed_Albatross/….png   (if present)

Two files of ours may lie beside them:

- ``validation_split.txt``, ``<image number> <1 validation, 0 not>``, says which of the train images
  are held out as the val split;
- ``image_sizes.txt``, ``<image number> <width> <height>``, saves opening every image for its size.

An image may have several rows in ``bounding_boxes.txt``, one per object.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from wsol.data.errors import DatasetError
from wsol.data.files.decoders import image_sizes
from wsol.data.files.stores import Folder
from wsol.data.formats import wsolevaluation
from wsol.data.formats.cub_tables import integer_column, integer_columns, read_boxes, read_table
from wsol.data.ground_truth import GroundTruth, MaskFiles, id_fault
from wsol.data.loaded import Loaded

IMAGES = "images.txt"
LABELS = "image_class_labels.txt"
SPLIT = "train_test_split.txt"
BOXES = "bounding_boxes.txt"
CLASSES = "classes.txt"
SIZES = "image_sizes.txt"
VALIDATION = "validation_split.txt"
HELD_OUT_PER_CLASS = 5  # CUBV2, the field's val split, has 3 to 6 images per class, 1,000 in all
HELD_OUT_SEED = 0


@dataclass(frozen=True)
class CubTree:
    """The tables of a tree, one row per image.

    Attributes:
        root: Folder that holds ``images.txt``.
        numbers: N image numbers, as published.
        paths: N paths below ``images/``.
        labels: (N,) int64 from 0.
        is_train: (N,) bool, the published split.
        is_validation: (N,) bool, train images that are held out.
        boxes: N arrays (K_i, 4) float64, ``x y width height`` as published.
        class_names: Names of the classes.
    """

    root: Path
    numbers: tuple[int, ...]
    paths: tuple[str, ...]
    labels: np.ndarray
    is_train: np.ndarray
    is_validation: np.ndarray
    boxes: tuple[np.ndarray, ...]
    class_names: tuple[str, ...]

    def rows(self, split: str) -> np.ndarray:
        """Numbers of the images of "train", "val" or "test"."""
        chosen = {
            "train": self.is_train & ~self.is_validation,
            "val": self.is_validation,
            "test": ~self.is_train,
        }
        return np.flatnonzero(chosen[split])


def load_cub(root: Path, split: str) -> Loaded | None:
    """CUB-200-2011 below `root`: the published tree, or wsolevaluation's layout.

    The val split is CUBV2 if its lists and images are there. Else it is a seeded part of train,
    which the train split then leaves out; the note says so.

    Returns:
        None if the data is not there.
    """
    listed = wsolevaluation.read_wsolevaluation(root, "cub", split)
    if listed is not None:
        return wsolevaluation.named_by_folder(listed)
    tree_root = next((r for r in (root / "CUB_200_2011", root) if is_cub_tree(r)), None)
    if tree_root is None:
        return None
    cubv2 = read_cubv2(root)
    if split == "val" and cubv2 is not None:
        return cubv2
    return load_cub_folder(tree_root, split, has_cubv2=cubv2 is not None, dataset="cub")


def load_cub_folder(root: Path, split: str, has_cubv2: bool = False, dataset: str | None = None) -> Loaded:
    """Read the tree at `root`; its val split is held out of train unless `has_cubv2`.

    Args:
        root: Folder that holds ``images.txt``.
        split: "train", "val" or "test".
        has_cubv2: Whether another collection serves as val split.
        dataset: Name of the dataset; default: the folder's.
    """
    tree, note = read_cub_tree(root), ""
    if not has_cubv2 and not (root / VALIDATION).exists():
        tree = replace(tree, is_validation=hold_out(tree))
        note = "CUBV2 is absent: "
    held, train = int(tree.is_validation.sum()), int(tree.is_train.sum())
    if held and split != "test":
        note += f"{held} of {train} train images are held out as the val split"
    return load_cub_tree(tree, split, dataset or root.resolve().name, note if split != "test" else "")


def load_cub_tree(tree: CubTree, split: str, dataset: str = "cub", note: str = "") -> Loaded:
    """Ground truth and stores of a split of a tree."""
    masks = Folder(tree.root / "segmentations")
    return Loaded(cub_ground_truth(tree, split, dataset), Folder(tree.root / "images"), masks, note)


def read_cubv2(root: Path) -> Loaded | None:
    """CUBV2 below `root`: images in ``CUBV2/``, lists in ``metadata/CUB/val``; None if absent.

    Raises:
        DatasetError: If there are images without lists.
    """
    images = root / "CUBV2"
    if not images.is_dir():
        return None
    lists = wsolevaluation.lists_folder(root, "cub", "val")
    if not wsolevaluation.has_lists(root, "cub", "val"):
        raise DatasetError(
            f"{images} has no ground truth: put metadata/CUB/val of github.com/clovaai/wsolevaluation "
            f"into {lists}, or run 'wsol-data prepare cub --root {root} --download'"
        )
    return wsolevaluation.named_by_folder(Loaded(GroundTruth.from_lists(lists, "cub", "val"), Folder(images)))


def is_cub_tree(root: Path) -> bool:
    """Whether `root` looks like an unpacked CUB-200-2011."""
    return (root / IMAGES).is_file() and (root / BOXES).is_file()


def read_cub_tree(root: str | Path) -> CubTree:
    """Read the tables of the tree at `root`.

    Without ``validation_split.txt`` no image is held out; see `hold_out`.

    Raises:
        DatasetError: If a table is missing or malformed; the message names file and line.
    """
    root = Path(root)
    numbers, path_columns = read_table(root / IMAGES, columns=1)
    paths = tuple(path.replace("\\", "/") for (path,) in path_columns)
    for line, name in enumerate(paths, start=1):
        if fault := id_fault(name):
            raise DatasetError(f"{root / IMAGES}:{line}: {name!r} {fault}")
    row_of = {number: row for row, number in enumerate(numbers)}
    if len(row_of) < len(numbers):
        raise DatasetError(f"{root / IMAGES}: an image number occurs twice")
    labels = integer_column(root / LABELS, row_of) - 1
    class_numbers, class_columns = read_table(root / CLASSES, columns=1)
    if class_numbers != list(range(1, len(class_numbers) + 1)):
        raise DatasetError(f"{root / CLASSES}: class numbers are not 1, 2, 3, …")
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(class_numbers):
        raise DatasetError(f"{root / LABELS}: a class number is not among the {len(class_numbers)} classes")
    is_train = integer_column(root / SPLIT, row_of) == 1
    is_validation = np.zeros(len(paths), dtype=bool)
    if (root / VALIDATION).exists():
        is_validation = is_train & (integer_column(root / VALIDATION, row_of) == 1)
    return CubTree(
        root=root,
        numbers=tuple(numbers),
        paths=paths,
        labels=labels,
        is_train=is_train,
        is_validation=is_validation,
        boxes=read_boxes(root / BOXES, row_of),
        class_names=tuple(name for (name,) in class_columns),
    )


def hold_out(tree: CubTree, per_class: int = HELD_OUT_PER_CLASS, seed: int = HELD_OUT_SEED) -> np.ndarray:
    """Choose train images as a val split: `per_class` of each class, by a seeded draw.

    Returns:
        (N,) bool.
    """
    chosen = np.zeros(len(tree.paths), dtype=bool)
    for label in range(len(tree.class_names)):
        candidates = np.flatnonzero(tree.is_train & (tree.labels == label))
        generator = np.random.default_rng([seed, label])
        count = min(per_class, max(len(candidates) - 1, 0))  # a class keeps at least one train image
        chosen[generator.choice(candidates, size=count, replace=False)] = True
    return chosen


def cub_ground_truth(tree: CubTree, split: str, dataset: str = "cub") -> GroundTruth:
    """Ground truth of a split; boxes in the integers the field evaluates with.

    Raises:
        DatasetError: If the split is empty.
    """
    rows = tree.rows(split)
    if not len(rows):
        raise DatasetError(f"{tree.root}: no image belongs to the {split} split")
    paths = tuple(tree.paths[row] for row in rows)
    sizes = _sizes(tree, rows)
    boxes = (integer_boxes(tree.boxes[row], *size) for row, size in zip(rows, sizes.tolist(), strict=True))
    return GroundTruth(
        dataset=dataset,
        split=split,
        image_ids=paths,
        labels=tree.labels[rows],
        sizes=sizes,
        boxes=tuple(boxes),
        class_names=tree.class_names,
        masks=_masks(tree.root, paths),
    )


def integer_boxes(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """Published boxes to the field's integer lists.

    The rule ``x0 = int(x), y0 = int(y), x1 = min(int(x + w), W - 1), y1 = min(int(y + h), H - 1)``
    reproduces wsolevaluation's CUB lists row by row.

    Args:
        boxes: (K, 4) float, ``x y width height``.
        width: W of the image; 0 if unknown, then nothing is cut.
        height: H of the image.

    Returns:
        (K, 4) int64, ``x0 y0 x1 y1``.

    >>> integer_boxes(np.array([[60.0, 27.0, 325.0, 304.0]]), 500, 335).tolist()
    [[60, 27, 385, 331]]
    """
    x, y, w, h = boxes.T
    corners = np.stack([x, y, x + w, y + h], axis=1).astype(np.int64)
    if width > 0 and height > 0:
        corners[:, 2:] = np.minimum(corners[:, 2:], (width - 1, height - 1))
    return corners


def _sizes(tree: CubTree, rows: np.ndarray) -> np.ndarray:
    """(N, 2) width and height of the images of `rows`, from the list or from the images' headers."""
    if (tree.root / SIZES).exists():
        row_of = {number: row for row, number in enumerate(tree.numbers)}
        return integer_columns(tree.root / SIZES, row_of, columns=2)[rows]
    return image_sizes(Folder(tree.root / "images"), [tree.paths[row] for row in rows])


def _masks(root: Path, paths: tuple[str, ...]) -> tuple[MaskFiles, ...] | None:
    if not (root / "segmentations").is_dir():
        return None
    return tuple(MaskFiles((str(Path(path).with_suffix(".png").as_posix()),)) for path in paths)

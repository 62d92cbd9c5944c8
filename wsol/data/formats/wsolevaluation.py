"""The folder layout of clovaai/wsolevaluation: lists in ``metadata/``, images in ``dataset/``.

::

    <root>/metadata/CUB/test/image_ids.txt …     lists of a split, see `wsol.data.ground_truth`
    <root>/dataset/CUB/001.Black_footed_Albatross/….jpg

with the folders CUB, ILSVRC and OpenImages. The images may also lie directly in ``<root>/CUB``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from wsol.data.errors import DatasetError
from wsol.data.files.stores import Folder, holds_some
from wsol.data.ground_truth import IMAGE_IDS, GroundTruth
from wsol.data.loaded import Loaded

FOLDERS = {
    "cub": "CUB",
    "imagenet": "ILSVRC",
    "openimages": "OpenImages",
    # Ours, whose lists are kept in the same way.
    "oxford-pets": "oxford-pets",
    "tiny-imagenet": "tiny-imagenet",
}


def lists_folder(root: Path, dataset: str, split: str) -> Path:
    """Where the lists of a split lie."""
    return root / "metadata" / FOLDERS[dataset] / split


def has_lists(root: Path, dataset: str, split: str) -> bool:
    """Whether the lists of a split are there."""
    return (lists_folder(root, dataset, split) / IMAGE_IDS).is_file()


def image_folders(root: Path, dataset: str) -> list[Path]:
    """The folders below `root` that exist and may hold the images."""
    names = (Path("dataset") / FOLDERS[dataset], Path(FOLDERS[dataset]))
    return [root / name for name in names if (root / name).is_dir()]


def read_wsolevaluation(
    root: Path, dataset: str, split: str, class_names: Sequence[str] | None = None
) -> Loaded | None:
    """Read a split, or return None if `root` does not hold it in this layout.

    Args:
        root: Folder with ``metadata/``.
        dataset: "cub", "imagenet" or "openimages".
        split: "train", "val" or "test".
        class_names: Names of the classes; default: their numbers.

    Raises:
        DatasetError: If the lists are malformed or empty.
    """
    if not has_lists(root, dataset, split):
        return None
    lists = lists_folder(root, dataset, split)
    ground_truth = GroundTruth.from_lists(lists, dataset, split, class_names)
    if not len(ground_truth):
        raise DatasetError(f"{lists / IMAGE_IDS}: no images")
    stores = map(Folder, image_folders(root, dataset))
    found = next((store for store in stores if holds_some(store, ground_truth.image_ids)), None)
    return None if found is None else Loaded(ground_truth, found)


def named_by_folder(loaded: Loaded) -> Loaded:
    """The same with classes named by the folder their images lie in."""
    truth = loaded.ground_truth
    names = list(truth.class_names)
    for image_id, label in zip(truth.image_ids, truth.labels.tolist(), strict=True):
        names[label] = Path(image_id).parent.name
    return replace(loaded, ground_truth=replace(truth, class_names=tuple(names)))

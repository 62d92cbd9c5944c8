"""Datasets by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from tdam.errors import check_name
from wsol.data.cub import cub_ground_truth, read_cub_tree
from wsol.data.dataset import LocalizationDataset
from wsol.data.images import Folder, ImageStore
from wsol.data.lists import GroundTruth
from wsol.data.minibirds import minibirds_tree

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Loaded:
    """What a reader finds: ground truth, and the stores of its images and masks."""

    ground_truth: GroundTruth
    images: ImageStore
    masks: ImageStore | None = None


def load_dataset(
    name: str | Path,
    split: str = "test",
    root: str | Path | None = None,
    transform: Callable[[Any], torch.Tensor] | None = None,
    decode: Literal["exact", "fast"] = "exact",
) -> LocalizationDataset:
    """Open a split of a dataset.

    Args:
        name: A name of `list_datasets`.
        split: "train", "val" or "test".
        root: Folder below which the datasets lie; default: ``$WSOL_DATA``, else ``data``.
            minibirds needs none.
        transform: See `LocalizationDataset`.
        decode: See `LocalizationDataset`.

    Raises:
        UnknownNameError: If there is no such dataset, split or decoder; the valid ones are listed.
        DatasetError: If the data is missing or malformed; the message says how to get it.
    """
    check_name("split", split, SPLITS)
    check_name("dataset", str(name), READERS)
    loaded = READERS[str(name)](data_root(root), split)
    return LocalizationDataset(loaded.ground_truth, loaded.images, transform, decode, loaded.masks)


def list_datasets() -> list[str]:
    """Names that `load_dataset` knows."""
    return sorted(READERS)


def data_root(root: str | Path | None = None) -> Path:
    """`root`, else ``$WSOL_DATA``, else ``data`` in the working directory."""
    return Path(root or os.environ.get("WSOL_DATA") or "data")


def _load_minibirds(root: Path, split: str) -> Loaded:
    tree = minibirds_tree()
    ground_truth = cub_ground_truth(read_cub_tree(tree), split, dataset="minibirds")
    return Loaded(ground_truth, Folder(tree / "images"), Folder(tree / "segmentations"))


READERS: dict[str, Callable[[Path, str], Loaded]] = {"minibirds": _load_minibirds}

"""Datasets by name."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from tdam.errors import check_name
from wsol.data.cub import load_cub
from wsol.data.dataset import LocalizationDataset
from wsol.data.errors import DatasetError
from wsol.data.loaded import Loaded
from wsol.data.minibirds import load_minibirds

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Source:
    """A dataset that `load_dataset` knows by name.

    Attributes:
        title: What it is, for a listing.
        where: Where the data comes from.
        load: Reads a split below a root; returns None if the data is not there.
    """

    title: str
    where: str
    load: Callable[[Path, str], Loaded | None]


SOURCES: dict[str, Source] = {
    "cub": Source(
        title="CUB-200-2011: 200 birds, boxes and masks",
        where="https://data.caltech.edu/records/65de6-vp158 (CUB_200_2011.tgz, 1.1 GB)",
        load=load_cub,
    ),
    "minibirds": Source(
        title="drawn birds, 12 classes, boxes and masks; made on this machine",
        where="rendered at first use",
        load=lambda root, split: load_minibirds(split),
    ),
}


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
    source = SOURCES[check_name("dataset", str(name), SOURCES)]
    root = data_root(root)
    loaded = source.load(root, split)
    if loaded is None:
        raise DatasetError(
            f"no {name} {split} data below {root}; get it from {source.where} and run "
            f"'wsol-data prepare {name} --root {root} --archive FILE', or name another folder "
            "with --data-root or WSOL_DATA"
        )
    if loaded.note:
        print(f"{name} {split}: {loaded.note}", file=sys.stderr)
    return LocalizationDataset(loaded.ground_truth, loaded.images, transform, decode, loaded.masks)


def list_datasets() -> list[str]:
    """Names that `load_dataset` knows."""
    return sorted(SOURCES)


def data_root(root: str | Path | None = None) -> Path:
    """`root`, else ``$WSOL_DATA``, else ``data`` in the working directory."""
    return Path(root or os.environ.get("WSOL_DATA") or "data")

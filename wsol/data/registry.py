"""Datasets by name."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdam.errors import UserError, check_name
from wsol.data.benchmarks.cub import is_cub_tree, load_cub, load_cub_folder
from wsol.data.benchmarks.imagenet import load_imagenet
from wsol.data.benchmarks.openimages import load_openimages
from wsol.data.benchmarks.oxford_pets import load_oxford_pets
from wsol.data.benchmarks.tiny_imagenet import load_tiny_imagenet
from wsol.data.box_checks import box_findings
from wsol.data.custom import load_custom
from wsol.data.errors import DatasetError
from wsol.data.findings import Finding, grouped
from wsol.data.ground_truth import SPLITS
from wsol.data.loaded import Loaded
from wsol.data.minibirds import load_minibirds

if TYPE_CHECKING:
    import torch

    from wsol.data.dataset import LocalizationDataset


ENTRY_POINTS = "wsol.datasets"


@dataclass(frozen=True)
class Source:
    """A dataset that `load_dataset` knows by name; other packages announce theirs as entry points `wsol.datasets`.

    Attributes:
        title: What it is, for a listing.
        where: Where the data comes from.
        load: Reads a split ("train", "val" or "test") below a root; returns None if the data is not there.
    """

    title: str
    where: str
    load: Callable[[Path, str], Loaded | None]


SOURCES: dict[str, Source] = {
    "cub": Source(
        title="CUB-200-2011 and CUBV2: 200 birds, boxes, masks",
        where="https://data.caltech.edu/records/65de6-vp158 (CUB_200_2011.tgz, 1.2 GB)",
        load=load_cub,
    ),
    "imagenet": Source(
        title="ILSVRC2012 and ImageNetV2: 1000 classes, boxes",
        where="https://image-net.org/download (ILSVRC2012_img_val.tar, 6.7 GB, ILSVRC2012_bbox_val_v3.tgz)",
        load=load_imagenet,
    ),
    "minibirds": Source(
        title="drawn birds: 12 classes, boxes, masks",
        where="this machine, at first use",
        load=lambda root, split: load_minibirds(split),
    ),
    "openimages": Source(
        title="OpenImages30k: 100 classes, masks with ignored regions",
        where="https://github.com/clovaai/wsolevaluation#openimages30k (images and masks, two zip files)",
        load=load_openimages,
    ),
    "oxford-pets": Source(
        title="Oxford-IIIT Pet: 37 breeds, boxes, masks with ignored borders",
        where="https://www.robots.ox.ac.uk/~vgg/data/pets (images.tar.gz, annotations.tar.gz, 0.8 GB)",
        load=load_oxford_pets,
    ),
    "tiny-imagenet": Source(
        title="Tiny-ImageNet: 200 classes at 64 px, boxes",
        where="http://cs231n.stanford.edu/tiny-imagenet-200.zip (0.25 GB)",
        load=load_tiny_imagenet,
    ),
}


def load_dataset(
    name: str | Path,
    split: str = "test",
    root: str | Path | None = None,
    transform: Callable[[Any], torch.Tensor] | None = None,
    decode: str = "exact",
) -> LocalizationDataset:
    """Open a split of a dataset.

    Args:
        name: A name of `list_datasets`; or the path of a ``dataset.yaml``, of a folder of one's own images
            (see `wsol.data.custom`) or of a tree in CUB-200-2011's layout.
        split: "train", "val" or "test".
        root: Folder below which the datasets lie; default: ``$WSOL_DATA``, else ``data``.
            minibirds and paths need none.
        transform: See `LocalizationDataset`.
        decode: See `LocalizationDataset`.

    Raises:
        UnknownNameError: If there is no such dataset, split or decoder; the valid ones are listed.
        DatasetError: If the data is missing or malformed; the message says how to get it.
    """
    from wsol.data.dataset import LocalizationDataset

    loaded = load(name, split, root)
    findings = [*loaded.findings, *box_findings(loaded.ground_truth)]
    if loaded.note:
        findings.append(Finding("note", split, "split", loaded.ground_truth.dataset, loaded.note))
    _refuse(findings, f"wsol-data check {shlex.quote(str(name))}{f' --root {root}' if root else ''}")
    for group in grouped(findings):
        print(f"{loaded.ground_truth.dataset} {split}: {group}", file=sys.stderr)
    return LocalizationDataset(
        loaded.ground_truth, loaded.images, transform, decode, loaded.masks, loaded.rule, findings
    )


def _refuse(findings: Iterable[Finding], command: str) -> None:
    """Refuse a split whose boxes or masks cannot be right; those of a train split are never used.

    Raises:
        DatasetError: Naming the first error, how many there are, and the command that lists them all.
    """
    errors = grouped(f for f in findings if f.severity == "error" and f.split != "train")
    if not errors:
        return
    count = sum(map(len, errors))
    more = f" ({count} such errors, '{command}' lists them all)" if count > 1 else ""
    raise DatasetError(f"{errors[0].first}{more}")


def load(name: str | Path, split: str, root: str | Path | None = None) -> Loaded:
    """Ground truth and stores of a split; arguments and errors are those of `load_dataset`."""
    check_name("split", split, SPLITS)
    path = Path(name)
    if str(name) not in list_datasets() and path.exists():
        in_cub_layout = path.is_dir() and is_cub_tree(path)
        return load_cub_folder(path, split) if in_cub_layout else load_custom(path, split)
    source = find_source(str(name))
    root = data_root(root)
    loaded = source.load(root, split)
    if loaded is None:
        prepare = f" and run 'wsol-data prepare {name} --root {root} --archive FILE'" if name in SOURCES else ""
        raise DatasetError(
            f"no {name} {split} data below {root}; get it from {source.where}{prepare}, or name another folder "
            "with --data-root or WSOL_DATA"
        )
    return loaded


def list_datasets() -> list[str]:
    """Names that `load_dataset` knows: those of this package, and those that installed packages announce."""
    return sorted({*SOURCES, *_announced()})


def find_source(name: str) -> Source:
    """The dataset of a name; only the package that announces it is imported.

    Raises:
        UserError: If there is none, or another package announces what is no dataset.
    """
    check_name("dataset", name, list_datasets())
    if name in SOURCES:
        return SOURCES[name]
    entry = _announced()[name]
    try:
        source = entry.load()
    except Exception as error:  # another package's code may raise anything
        raise UserError(f"dataset {name} of {entry.value} cannot be loaded: {error}") from error
    if not isinstance(source, Source):
        raise UserError(f"dataset {name}: {entry.value} is no wsol.data.Source")
    return source


def _announced() -> dict[str, metadata.EntryPoint]:
    """Datasets of other packages; a name that is taken is an error, whoever came first."""
    found: dict[str, metadata.EntryPoint] = {}
    for entry in metadata.entry_points(group=ENTRY_POINTS):
        owner = "this package" if entry.name in SOURCES else getattr(found.get(entry.name), "value", entry.value)
        if owner != entry.value:
            raise UserError(f"dataset {entry.name} of {entry.value} has a name that {owner} has; rename one of them")
        found[entry.name] = entry
    return found


def data_root(root: str | Path | None = None) -> Path:
    """`root`, else ``$WSOL_DATA``, else ``data`` in the working directory."""
    return Path(root or os.environ.get("WSOL_DATA") or "data")

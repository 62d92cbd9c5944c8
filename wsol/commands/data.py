"""The command `wsol-data`: list, prepare, check and export datasets."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import tyro
from rich import box
from rich.progress import track
from rich.table import Table

from tdam.errors import UserError, one_line_errors
from wsol.command_line.command import Command, CommandFamily
from wsol.data import registry
from wsol.data.errors import DatasetError
from wsol.data.findings import Finding, grouped
from wsol.data.registry import data_root, load
from wsol.runtime import opencv_packages
from wsol.runtime.terminal import console, print_version

SplitName = Literal["train", "val", "test"]
ALL_SPLITS: tuple[SplitName, ...] = get_args(SplitName)


@dataclass(frozen=True)
class ListOptions:
    """Which folder to look in.

    Attributes:
        root: Folder of the datasets. Default: $WSOL_DATA or ./data.
    """

    root: Path | None = None


@dataclass(frozen=True)
class PrepareOptions:
    """What to prepare, and from what.

    Attributes:
        name: cub, imagenet, openimages, oxford-pets, tiny-imagenet or minibirds.
        root: Folder of the datasets. Default: $WSOL_DATA or ./data.
        archive: Archives as published, in any order and under any name.
        download: Download what is missing from its official address, if it has one.
        packed: imagenet: read the validation images from ILSVRC2012_img_val.tar without unpacking it.
        classes: Prepare only these classes, such as n01443537 (tiny-imagenet) or Abyssinian (oxford-pets).
    """

    name: tyro.conf.Positional[str]
    root: Path | None = None
    archive: tuple[Path, ...] = ()
    download: bool = False
    packed: bool = False
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckOptions:
    """What to check.

    Attributes:
        name: Name of a dataset, or the path of your own.
        root: Folder of the datasets. Default: $WSOL_DATA or ./data.
        split: Splits to check. Default: all splits of the dataset.
    """

    name: tyro.conf.Positional[str]
    root: Path | None = None
    split: tuple[SplitName, ...] = ()


@dataclass(frozen=True)
class ExportOptions:
    """What to export, and where to.

    Attributes:
        name: Name of a dataset, or the path of your own.
        output: Folder for the lists. They go to train/, val/ and test/ in it.
        root: Folder of the datasets. Default: $WSOL_DATA or ./data.
        split: Splits to export.
    """

    name: tyro.conf.Positional[str]
    output: Path
    root: Path | None = None
    split: tuple[SplitName, ...] = ALL_SPLITS


def _command(name: str, summary: str, options: type, *examples: str) -> Command[Any]:
    names = tuple(item.name for item in fields(options))
    return Command(f"wsol-data {name}", summary, options, {"": names}, examples, family=True)


DATA = CommandFamily(
    "wsol-data",
    "List, prepare, check and export datasets.",
    (
        _command("list", "Show the datasets, and how many images of each split are there.", ListOptions),
        _command(
            "prepare",
            "Unpack archives, or download them, and make a dataset ready.",
            PrepareOptions,
            "wsol-data prepare cub --archive CUB_200_2011.tgz --root data",
            "wsol-data prepare oxford-pets --download",
        ),
        _command(
            "check",
            "Look for faults in lists, images and masks. Exit code 1 if there are errors.",
            CheckOptions,
            "wsol-data check minibirds",
            "wsol-data check my-dataset/ --split val test",
        ),
        _command(
            "export",
            "Write a dataset's lists in wsolevaluation's format, one folder per split.",
            ExportOptions,
            "wsol-data export minibirds --output lists",
        ),
    ),
)


class FaultsFoundError(UserError):
    """The doctor found errors; they have been printed."""


def list_datasets(options: ListOptions) -> None:
    """Print the datasets, and how many images of each split are there."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("dataset", no_wrap=True)
    for split in ALL_SPLITS:
        table.add_column(split, justify="right", no_wrap=True)
    table.add_column("what")
    sources = {name: registry.find_source(name) for name in registry.list_datasets()}
    for name, source in sources.items():
        counts = [_count(name, split, options.root) for split in ALL_SPLITS]
        table.add_row(name, *counts, source.title)
    out = console()
    out.print(table)
    out.print("Where they come from:")
    for name, source in sources.items():
        out.print(f"  {name}: {source.where}", soft_wrap=True)


def prepare(options: PrepareOptions) -> None:
    """Unpack archives, or download them, and make a dataset ready.

    Raises:
        UserError: If something is missing, or is not what it should be.
    """
    root = data_root(options.root)
    from wsol.data.prepare import prepare as prepare_dataset

    prepare_dataset(options.name, root, options.archive, options.download, options.packed, classes=options.classes)


def check(options: CheckOptions) -> None:
    """Print faults of lists, images and masks.

    Raises:
        FaultsFoundError: If there are errors.
    """
    if (warning := opencv_packages.warning()) is not None:
        print(f"warning: {warning}", file=sys.stderr)
    from wsol.data.doctor import check_dataset

    findings = list(check_dataset(options.name, options.root, options.split, _progress))
    for line in _finding_lines(findings):
        print(line)
    counts = Counter(finding.severity for finding in findings)
    summary = f"{counts['error']} errors, {counts['warning']} warnings, {counts['note']} notes"
    if counts["error"]:
        raise FaultsFoundError(f"{options.name}: {summary}")
    print(f"{options.name}: {summary}")


def export(options: ExportOptions) -> None:
    """Write the lists of a dataset as wsolevaluation reads them, one folder per split."""
    for split in options.split:
        truth = load(options.name, split, options.root).ground_truth
        truth.write_lists(options.output / split)
        print(f"{options.output / split}: {len(truth)} images")


WORK: dict[type, Any] = {
    ListOptions: list_datasets,
    PrepareOptions: prepare,
    CheckOptions: check,
    ExportOptions: export,
}


def _count(name: str, split: str, root: Path | None) -> str:
    if name == "minibirds":
        return "yes"  # counting would render it
    try:
        return f"{len(load(name, split, root).ground_truth)}"
    except DatasetError:
        return "-"


def _finding_lines(findings: Sequence[Finding]) -> Iterable[str]:
    """One line for each kind of fault: how grave, where, how often, and its first cases."""
    for group in grouped(findings):
        first = group.first
        times = f" ({len(group)} times)" if len(group) > 1 else ""
        yield f"{first.severity}, {first.split}: {first.kind}{times}: {group.examples}: {first.detail}"


def _progress(items: Iterable[int], total: int, title: str) -> Iterable[int]:
    err = console(stderr=True)
    return track(items, title, total, console=err, transient=True, disable=not err.is_terminal)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: exit code 0 if the work was done, 2 for wrong usage, 1 for a failure or faults found."""
    if print_version(arguments):
        return
    with one_line_errors():
        options = DATA.parse(arguments)
        WORK[type(options)](options)

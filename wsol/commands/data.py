"""The command `wsol-data`: list, prepare, check and export datasets."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal, get_args

import tyro
from rich import box
from rich.progress import track
from rich.table import Table

from tdam.errors import UserError, one_line_errors
from wsol.data.doctor import check_dataset
from wsol.data.errors import DatasetError
from wsol.data.findings import Finding, grouped
from wsol.data.prepare import prepare as prepare_dataset
from wsol.data.registry import SOURCES, data_root, load
from wsol.runtime import opencv_packages
from wsol.runtime.terminal import console, print_version

app = tyro.extras.SubcommandApp()
Name = Annotated[str, tyro.conf.Positional]
SplitName = Literal["train", "val", "test"]
ALL_SPLITS: tuple[SplitName, ...] = get_args(SplitName)


class FaultsFoundError(UserError):
    """The doctor found errors; they have been printed."""


@app.command(name="list")
def list_(root: Path | None = None) -> None:
    """Show the datasets, and the number of images of each split that is there.

    Args:
        root: Folder below which datasets lie; default: $WSOL_DATA, else data.
    """
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("dataset", no_wrap=True)
    for split in ALL_SPLITS:
        table.add_column(split, justify="right", no_wrap=True)
    table.add_column("what", overflow="fold")
    for name, source in SOURCES.items():
        counts = [_count(name, split, root) for split in ALL_SPLITS]
        table.add_row(name, *counts, f"{source.title}\n{source.where}")
    console().print(table)


@app.command
def prepare(
    name: Name,
    root: Path | None = None,
    archive: tuple[Path, ...] = (),
    download: bool = False,
    packed: bool = False,
    classes: tuple[str, ...] = (),
) -> None:
    """Unpack archives, or download them, and make a dataset ready.

    Args:
        name: cub, imagenet, openimages, oxford-pets, tiny-imagenet or minibirds.
        root: Folder that everything goes into; default: $WSOL_DATA, else data.
        archive: Archives as published, in any order and under any name.
        download: Fetch what is missing and has an official address.
        packed: Read ILSVRC2012_img_val.tar where it lies, without unpacking it.
        classes: List these classes only, such as n01443537 (tiny-imagenet) or Abyssinian (oxford-pets).
    """
    prepare_dataset(name, data_root(root), archive, download, packed, classes=classes)


@app.command
def check(name: Name, root: Path | None = None, split: tuple[SplitName, ...] = ()) -> None:
    """Look for faults in lists, images and masks; exit code 1 if there are errors.

    Args:
        name: A dataset, or the path of one's own.
        root: Folder below which datasets lie; default: $WSOL_DATA, else data.
        split: Splits to check; default: all that the dataset has.
    """
    if (warning := opencv_packages.warning()) is not None:
        print(f"warning: {warning}", file=sys.stderr)
    findings = list(check_dataset(name, root, split, _progress))
    for line in _finding_lines(findings):
        print(line)
    counts = Counter(finding.severity for finding in findings)
    summary = f"{counts['error']} errors, {counts['warning']} warnings, {counts['note']} notes"
    if counts["error"]:
        raise FaultsFoundError(f"{name}: {summary}")
    print(f"{name}: {summary}")


@app.command
def export(name: Name, output: Path, root: Path | None = None, split: tuple[SplitName, ...] = ALL_SPLITS) -> None:
    """Write the lists of a dataset as wsolevaluation reads them, one folder per split.

    Args:
        name: A dataset, or the path of one's own.
        output: Folder that gets train/, val/ and test/.
        root: Folder below which datasets lie; default: $WSOL_DATA, else data.
        split: Splits to write.
    """
    for each in split:
        truth = load(name, each, root).ground_truth
        truth.write_lists(output / each)
        print(f"{output / each}: {len(truth)} images")


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
        app.cli(prog="wsol-data", description=__doc__, args=arguments)

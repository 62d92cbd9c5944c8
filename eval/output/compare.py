"""Comparing results over the same images, figure by figure, with paired intervals.

wsol-eval compare a/results.json b/results.json
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from rich import box
from rich.table import Table

from eval.analysis.intervals import Bootstrap
from eval.options import INFERENCE_OPTIONS
from eval.output.predictions import HIT_COLUMNS, read_predictions
from tdam.errors import UserError
from wsol.results import PREDICTIONS, read_results

FIGURES = {
    "top1_cls": "Top-1 cls",
    "top5_cls": "Top-5 cls",
    "gt_known_loc": "GT-known",
    "top1_loc": "Top-1 Loc",
    "top5_loc": "Top-5 Loc",
    "size_balanced": "size-balanced",
    "mean_iou": "mean IoU",
    "max_box_acc": "MaxBoxAcc",
    "max_box_acc_v2": "MaxBoxAccV2",
    "pxap": "PxAP",
}
# Figures of the whole split, which no figure of each image adds up to: they have no paired interval.
OF_SPLIT = ("max_box_acc", "max_box_acc_v2", "pxap")
STRICT_KEYS = ("dataset", "protocol")


@dataclass(frozen=True)
class Difference:
    """One figure of two results.

    Attributes:
        figure: Key of `FIGURES`.
        first: The figure of the first result in percent.
        second: The figure of the second.
        difference: Second minus first, in points.
        low: Lower end of the paired 95 % interval of the difference; None for a figure of the whole split.
        high: Upper end.
    """

    figure: str
    first: float
    second: float
    difference: float
    low: float | None
    high: float | None

    @property
    def verdict(self) -> int:
        """1 where the second is better beyond chance, -1 where it is worse, 0 where the interval does not say."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0) - int(self.high < 0)


@dataclass(frozen=True)
class Comparison:
    """Two results over the same images.

    Attributes:
        names: What the results are of.
        images: Number of images.
        differences: One per figure of the last steps.
        warnings: What the two do not share and a reader must know.
    """

    names: tuple[str, str]
    images: int
    differences: tuple[Difference, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class ReadResult:
    """A results folder as far as a comparison needs it.

    Attributes:
        path: The results.json or its folder.
        results: Its content.
        last: Rows of predictions.csv of the last step, one per image in the order of the split.
    """

    path: Path
    results: dict[str, Any]
    last: pd.DataFrame

    def values(self, figure: str) -> npt.NDArray[np.float64] | None:
        """A figure of every image, from 0 to 1, or None where nothing is known; NaN for images it leaves out."""
        if figure == "size_balanced":
            values = self.last[HIT_COLUMNS["gt_known_loc"]]
        elif figure == "mean_iou":
            values = self.last["iou"]
        elif figure in HIT_COLUMNS:
            values = self.last[HIT_COLUMNS[figure]]
        elif self.results["metrics"][figure] is None:
            return None
        else:
            values = self.last["top1_correct" if figure == "top1_cls" else "top5_correct"]
        known = values.to_numpy(dtype=np.float64)
        return None if np.isnan(known).all() else known


def read_result(path: Path) -> ReadResult:
    """Read a results.json and the predictions.csv beside it.

    Raises:
        UserError: If one of them is missing or damaged.
    """
    results = read_results(path).content
    predictions = read_predictions((path if path.is_dir() else path.parent) / PREDICTIONS)
    last = predictions[predictions["step"] == predictions["step"].max()].reset_index(drop=True)
    return ReadResult(path, results, last)


def compare(first: ReadResult, second: ReadResult, replicates: int = 1000) -> Comparison:
    """Compare the last steps of two results at their headline thresholds.

    Args:
        first: The result to compare with.
        second: The other.
        replicates: Resamples of the paired bootstrap.

    Raises:
        UserError: If dataset, split, protocol or images differ, so that a difference would mean nothing.
    """
    for key in STRICT_KEYS:
        _check_equal(first, second, key, first.results[key], second.results[key])
    _check_equal(first, second, "split", first.results["data"]["split"], second.results["data"]["split"])
    if first.last["image"].tolist() != second.last["image"].tolist():
        raise UserError(f"{second.path} judged other images than {first.path}: use the same split and --limit")
    differences = [
        difference for figure in FIGURES if (difference := _difference(first, second, figure, replicates)) is not None
    ]
    one, other = result_names([first.results, second.results], [first.path, second.path])
    return Comparison((one, other), len(first.last), tuple(differences), _warnings(first, second))


def result_names(all_results: Sequence[dict[str, Any]], paths: Sequence[str | Path]) -> list[str]:
    """Names that tell results apart: the network's, with the folder's where a network comes twice.

    Args:
        all_results: Contents of results.json.
        paths: The files or their folders.
    """
    models = [results["model"] for results in all_results]
    folders = [path if path.is_dir() else path.parent for path in map(Path, paths)]
    return [
        model if models.count(model) == 1 else f"{model} ({folder.name})"
        for model, folder in zip(models, folders, strict=True)
    ]


def _difference(first: ReadResult, second: ReadResult, figure: str, replicates: int) -> Difference | None:
    """One figure of both, or None where one of them lacks it."""
    if figure in OF_SPLIT:
        one, other = (result.results["metrics"][figure] for result in (first, second))
        return None if one is None or other is None else Difference(figure, one, other, other - one, None, None)
    bootstraps = []
    for result in (first, second):
        values = result.values(figure)
        if values is None:
            return None
        counted = np.flatnonzero(~np.isnan(values))
        weights = None
        groups = "size" if figure == "size_balanced" else "label"
        if figure == "size_balanced" or result.results["conventions"]["macro"]:
            members = result.last[groups].iloc[counted]
            weights = 1.0 / members.value_counts()[members].to_numpy()
        bootstrap = Bootstrap(1, replicates)
        bootstrap.update(counted, values[counted, None], weights)
        bootstraps.append(bootstrap)
    one, other = (bootstrap.interval(0).value for bootstrap in bootstraps)
    change = bootstraps[1].paired_difference(bootstraps[0], 0)
    return Difference(figure, one, other, change.value, change.low, change.high)


def _check_equal(first: ReadResult, second: ReadResult, what: str, one: Any, other: Any) -> None:
    if one != other:
        raise UserError(f"{second.path} is of {what} {other}, {first.path} of {one}: they cannot be compared")


def _warnings(first: ReadResult, second: ReadResult) -> tuple[str, ...]:
    """Differences that leave the comparison possible but not like with like."""
    warnings = []
    policies = [result.results["thresholds"]["headline"] for result in (first, second)]
    if policies[0] != policies[1]:
        warnings.append(f"threshold policies differ: {policies[0]} against {policies[1]}")
    for key in INFERENCE_OPTIONS:
        # Results of before an option existed had it off.
        settings = [(result.results["network"] or {}).get(key, False) for result in (first, second)]
        if settings[0] != settings[1]:
            warnings.append(f"{key} differs: {settings[0]} against {settings[1]}")
    return tuple(warnings)


def comparison_table(comparison: Comparison) -> Table:
    """The comparison for the terminal; an interval without zero is marked."""
    first, second = comparison.names
    table = Table(
        title=f"{second} against {first}, last step, {comparison.images} images",
        caption="Difference in points with its paired 95 % bootstrap interval; * where it holds no zero. "
        "Figures of the whole split have no paired interval.",
        caption_justify="left",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("figure")
    table.add_column(first, justify="right", overflow="fold", min_width=6)
    table.add_column(second, justify="right", overflow="fold", min_width=6)
    table.add_column("difference", justify="right", no_wrap=True)
    table.add_column("95 % interval", justify="right", no_wrap=True)
    for row in comparison.differences:
        interval = "" if row.low is None else f"[{row.low:+.2f}, {row.high:+.2f}]"
        table.add_row(
            FIGURES[row.figure],
            f"{row.first:.2f}",
            f"{row.second:.2f}",
            f"{row.difference:+.2f}{'*' if row.verdict else ' '}",
            interval,
        )
    return table


def compare_all(paths: Sequence[Path], replicates: int = 1000) -> list[Comparison]:
    """Compare every other result with the first.

    Raises:
        UserError: If there are fewer than two, or they cannot be compared.
    """
    if len(paths) < 2:
        raise UserError("compare needs at least two results")
    first, *others = [read_result(path) for path in paths]
    return [compare(first, other, replicates) for other in others]

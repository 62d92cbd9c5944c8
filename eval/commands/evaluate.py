"""The command `wsol-eval`: evaluate a network or score maps, and compare results."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# OpenMP's waiting threads sleep: where other programs use the cores too, spinning ones slow the work
# several times over. OpenMP reads this when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
import tyro
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from eval.evaluation import evaluate_methods
from eval.judging.process import end_process, start_process
from eval.options import GROUPS, EvaluationOptions
from eval.output.compare import compare_all, comparison_table
from eval.output.methods import methods_table
from eval.output.results import CURVES, RESULTS
from eval.output.table import caption, headline_text, results_tables, threshold_table
from eval.report import REPORT, write_comparison
from tdam.errors import UsageError, one_line_errors
from wsol.command_line.command import Command
from wsol.results import PREDICTIONS
from wsol.runtime.memory import keep_freed_memory
from wsol.runtime.terminal import console, print_version


@dataclass(frozen=True)
class CompareOptions:
    """Compare results over the same images; the others are compared with the first.

    Attributes:
        results: Two or more results.json files, or their folders.
        report: Also write an HTML page of the comparison to this file.
        bootstrap: Resamples for the paired 95 % intervals.
    """

    results: tyro.conf.Positional[tuple[Path, ...]]
    report: Path | None = None
    bootstrap: int = 1000


EVALUATE = Command(
    "wsol-eval",
    "Score the boxes of a network, or of saved score maps, against ground truth.",
    EvaluationOptions,
    GROUPS,
    examples=(
        "wsol-eval --model resnet_mini_tdam --dataset minibirds --output out",
        "wsol-eval --model resnet50_tdam --checkpoint best.safetensors \\",
        "    --dataset cub --data-root data --output out",
        "wsol-eval --score-maps maps/ --dataset cub --output out   # saved maps",
        "torchrun --nproc-per-node 2 --no-python wsol-eval --model ...",
    ),
    notes=(
        "Commands:",
        "  wsol-eval compare A B   Compare two results over the same images.",
        "                          wsol-eval compare --help",
    ),
    takes_settings=True,
)
COMPARE = Command(
    "wsol-eval compare",
    "Compare results over the same images. All are compared with the first.",
    CompareOptions,
    {"": ("results", "report", "bootstrap")},
    examples=("wsol-eval compare a/results.json b/results.json --report comparison.html",),
)


def compare_results(arguments: Sequence[str]) -> None:
    """Print the differences between results.

    Raises:
        UserError: If they cannot be compared.
    """
    options = COMPARE.parse(arguments)
    folders = [path if path.is_dir() else path.parent for path in options.results]
    if options.report is not None:
        _keep_results(options.report, folders)
    out = console()
    for comparison in compare_all(options.results, options.bootstrap):
        for warning in comparison.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        out.print(comparison_table(comparison))
    if options.report is not None:
        out.print(f"written: {write_comparison(folders, options.report)}", soft_wrap=True)


def _keep_results(report: Path, folders: Sequence[Path]) -> None:
    """Refuse to write the comparison over a file of the results it compares.

    Raises:
        UsageError: Naming the file.
    """
    for folder in folders:
        if report.resolve() in {(folder / name).resolve() for name in (RESULTS, PREDICTIONS, CURVES, REPORT)}:
            raise UsageError(f"--report {report} is a file of the results that are compared: choose another name")


def run(arguments: Sequence[str]) -> None:
    """Evaluate as the arguments say, and print the table.

    Raises:
        UserError: If the evaluation cannot be done.
    """
    options = EVALUATE.parse(arguments)
    device = options.device if options.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    process, torch_device = start_process(device)
    keep_freed_memory()
    try:
        with SplitProgress(visible=process.is_first) as progress:
            results = evaluate_methods(options.each_method(), process, torch_device, progress)
        if process.is_first:
            names = options.methods
            if len(names) > 1:
                results = [
                    {**one, "model": f"{one['model']}, {name}"} for one, name in zip(results, names, strict=True)
                ]
            print_results(results, options.output, names)
            if len(names) > 1 and options.output is not None:
                console().print(methods_table(options.output, names, options.bootstrap))
    finally:
        end_process()


def print_results(all_results: Sequence[dict[str, Any]], output: Path | None, methods: Sequence[str] = ()) -> None:
    """Print one result or several of the same images: the answer, the table, what was wrong, where the files are.

    Args:
        all_results: Contents of results.json.
        output: Folder of the files, if any were written.
        methods: Map methods, where there are several, each with a folder of its own.
    """
    out = console()
    for results in all_results:
        out.print(headline_text(results), end="\n\n")
    for table in results_tables(all_results, out.width):
        out.print(table, end="\n\n")
    out.print(caption(all_results[0]))
    for results in all_results:
        if (choices := threshold_table(results)) is not None:
            out.print(choices)
    for results in all_results:
        if results["network"] is not None:
            out.print(f"weights of {results['model']}: {network_text(results['network'])}", soft_wrap=True)
        for kind, images in results["faults"].items():
            if images:
                out.print(f"{kind.replace('_', ' ')}: {len(images)}, e.g. {next(iter(images))}", soft_wrap=True)
        if (waiting := results["environment"]["share_of_time_waiting_for_images"]) is not None:
            out.print(f"waiting for images: {waiting:.0%} of the time (--workers N reads them in N processes)")
    if output is not None:
        folders = [output / name for name in methods] if len(methods) > 1 else [output]
        for folder in folders:
            out.print(f"written: {folder} (open {folder / REPORT} in a browser)", soft_wrap=True)


def network_text(network: dict[str, Any]) -> str:
    """Where a network's weights come from, and how large its maps are."""
    grid, size = network.get("map_size"), network["input_size"]
    maps = "" if grid is None else f"; maps {grid[0]} x {grid[1]} at {size[0]} x {size[1]}"
    return f"{network['weights']}{maps}"


class SplitProgress:
    """Progress on stderr, one bar per split."""

    def __init__(self, visible: bool) -> None:
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console(stderr=True),
            disable=not visible,
        )
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Callable[[str, int, int], None]:
        self.bar.start()
        return self._report

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def _report(self, split: str, done: int, total: int) -> None:
        if split not in self.tasks:
            self.tasks[split] = self.bar.add_task(split, total=total)
        self.bar.update(self.tasks[split], completed=done)


def main() -> None:
    """Entry point: exit code 0 if the work was done, 2 for wrong usage, 1 for a failure."""
    arguments = sys.argv[1:]
    if print_version(None):
        return
    with one_line_errors("--resume continues where --output was given"):
        if arguments[:1] == ["compare"]:
            compare_results(arguments[1:])
        else:
            run(arguments)


if __name__ == "__main__":
    main()

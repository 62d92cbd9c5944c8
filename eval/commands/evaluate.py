"""The command `wsol-eval`: evaluate a network or score maps, and compare results."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

import wsol.runtime.idle_threads  # noqa: F401 - what it does is done on import
from eval.options import GROUPS, EvaluationOptions
from tdam.errors import UsageError, one_line_errors
from wsol.command_line.command import Command
from wsol.runtime.terminal import console, print_version
from wsol.runtime.trackers import import_tracker

# What computes is imported after the arguments were read: help and mistakes are answered without waiting for torch.


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
    from eval.output.compare import compare_all, comparison_table
    from eval.report import write_comparison

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
    from wsol.results import CURVES, PREDICTIONS, REPORT, RESULTS

    for folder in folders:
        if report.resolve() in {(folder / name).resolve() for name in (RESULTS, PREDICTIONS, CURVES, REPORT)}:
            raise UsageError(f"--report {report} is a file of the results that are compared: choose another name")


def run(arguments: Sequence[str]) -> None:
    """Evaluate as the arguments say, and print the table.

    Raises:
        UserError: If the evaluation cannot be done.
    """
    options = EVALUATE.parse(arguments)
    import torch

    from eval.evaluation import evaluate_methods
    from eval.judging.process import end_process, start_process
    from eval.output.tracking import track_evaluation
    from eval.report.terminal import SplitProgress, print_results
    from wsol.runtime.memory import hand_back_freed_memory

    device = options.device if options.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    for name in options.log:
        import_tracker(name)  # before anything is computed
    process, torch_device = start_process(device)
    hand_back_freed_memory()
    try:
        with SplitProgress(visible=process.is_first) as progress:
            results = evaluate_methods(options.each_method(), process, torch_device, progress)
        if process.is_first:
            for one, single in zip(results, options.each_method(), strict=True):
                if options.log and single.output is not None:
                    track_evaluation(options.log, one, single)
            names = options.methods
            if len(names) > 1:
                results = [
                    {**one, "model": f"{one['model']}, {name}"} for one, name in zip(results, names, strict=True)
                ]
            print_results(results, options.output, names)
            if len(names) > 1 and options.output is not None:
                from eval.output.methods import methods_table

                console().print(methods_table(options.output, names, options.bootstrap))
    finally:
        end_process()


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

"""The command `wsol-bench`: many trainings, judged alike, on one page."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

import wsol.runtime.idle_threads  # noqa: F401 - what it does is done on import
from tdam.errors import UsageError, UserError, check_name, one_line_errors
from wsol.command_line.command import Command
from wsol.runtime.terminal import console, print_version

if TYPE_CHECKING:
    from eval.bench.description import Description
    from eval.bench.runs import Run
    from eval.bench.schedule import Outcome


class RunsFailedError(UserError):
    """Runs that could not be done; each has been told."""


@dataclass(frozen=True)
class ReportOptions:
    """Which comparison.

    Attributes:
        file: YAML file that describes the comparison.
        dataset: Dataset in place of the file's: a name, or the path of your own.
        data_root: Folder of the datasets. Default: the file's, $WSOL_DATA or ./data.
        output: Folder of everything that is written. Default: the file's, or runs/bench/NAME.
    """

    file: tyro.conf.Positional[Path]
    dataset: str | None = None
    data_root: Path | None = None
    output: Path | None = None


@dataclass(frozen=True)
class BenchOptions(ReportOptions):
    """Which comparison, and how it is done.

    Attributes:
        only: Do only these networks, methods, or runs as --show names them.
        show: Show what would run and what is done, and exit.
        processes: Runs at a time.
        gpus: Spread the processes over these GPUs, such as 0 1. Default: each process sees all.
        task: Number of this task in a job array, from 0. Default: SLURM's, in a SLURM job array.
        tasks: Number of tasks in the job array.
    """

    only: tuple[str, ...] = ()
    show: bool = False
    processes: int = 1
    gpus: tuple[str, ...] = ()
    task: int | None = None
    tasks: int | None = None


COMPARISON = ("file", "dataset", "data_root", "output")
BENCH = Command(
    "wsol-bench",
    "Train and judge what a YAML file describes, and write one page of results.",
    BenchOptions,
    {"": (*COMPARISON, "only", "show"), "processes": ("processes", "gpus", "task", "tasks")},
    examples=(
        "wsol-bench comparison.yaml --show          # what would run",
        "wsol-bench comparison.yaml --processes 2   # what is not done",
        "wsol-bench comparison.yaml --task 0 --tasks 4   # first of four shares",
    ),
    notes=(
        "Commands:",
        "  wsol-bench report FILE  Write the page of what is done.",
        "                          wsol-bench report --help",
    ),
)
REPORT = Command(
    "wsol-bench report",
    "Write the page of the runs that are done.",
    ReportOptions,
    {"": COMPARISON},
    examples=("wsol-bench report comparison.yaml",),
)


def report(arguments: Sequence[str]) -> None:
    """Write the page of what is done.

    Raises:
        UserError: If nothing is done.
    """
    description, runs = _opened(REPORT.parse(arguments))
    _write(description, runs)


def run(arguments: Sequence[str]) -> None:
    """Do what is not done, and write the page.

    Raises:
        UserError: If the comparison cannot be begun, or a run failed.
    """
    options = BENCH.parse(arguments)
    from eval.bench.schedule import Schedule, share_of_task, worker_command

    description, all_runs = _opened(options)
    chosen = share_of_task(_only(all_runs, options.only), options.task, options.tasks)
    if options.show:
        _show(description, chosen)
        return
    import torch

    from eval.bench.checks import check_comparison

    if options.gpus and not torch.cuda.is_available():
        raise UsageError("--gpus: no CUDA device is available here; leave it out")
    check_comparison(description, chosen)
    command = worker_command(options.file, options.dataset, options.data_root, options.output)
    outcomes = Schedule(description, command, options.processes, options.gpus).do(chosen, _print_outcome)
    if len(chosen) == len(all_runs) and any(outcome.done for outcome in outcomes):
        _write(description, all_runs)
    failed = [outcome for outcome in outcomes if not outcome.done]
    if failed:
        raise RunsFailedError(f"{len(failed)} of {len(chosen)} runs are not done; the command does these again")


def _opened(options: ReportOptions) -> tuple[Description, list[Run]]:
    from eval.bench.description import read_description
    from eval.bench.runs import expand

    description = read_description(options.file, options.dataset, options.data_root, options.output)
    return description, expand(description)


def _only(runs: Sequence[Run], names: Sequence[str]) -> list[Run]:
    """Runs that bear one of the names; all, if there are none.

    Raises:
        UnknownNameError: If nothing bears a name.
    """
    known = {name for run in runs for name in (run.network, run.method, run.name)}
    wanted = {check_name("network, method or run", name, known) for name in names} or known
    return [run for run in runs if wanted.intersection((run.network, run.method, run.name))]


def _show(description: Description, runs: Sequence[Run]) -> None:
    from rich import box
    from rich.table import Table

    from eval.bench.state import failure_of, state_of

    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("run", "state", "judged by", ""):
        table.add_column(heading, overflow="fold")
    for run in runs:
        judged_by = f"{', '.join(run.maps)} × {', '.join(description.protocols)}"
        table.add_row(run.name, state_of(run, description), judged_by, failure_of(run))
    console().print(table)


def _print_outcome(outcome: Outcome) -> None:
    words = "done" if outcome.done else f"not done: {outcome.words}"
    print(f"{outcome.run.name}: {words}", file=sys.stdout if outcome.done else sys.stderr, flush=True)


def _write(description: Description, runs: Sequence[Run]) -> None:
    from eval.bench.page import write_comparison

    page, table, *_ = write_comparison(description, runs)
    print(table.read_text(encoding="utf-8"))
    console().print(f"written: {description.output} (open {page} in a browser)", soft_wrap=True)


def main() -> None:
    """Entry point: exit code 0 if all runs are done, 2 for wrong usage, 1 for a failure."""
    arguments = sys.argv[1:]
    if print_version(None):
        return
    with one_line_errors("the same command goes on"):
        if arguments[:1] == ["report"]:
            report(arguments[1:])
        else:
            run(arguments)


if __name__ == "__main__":
    main()

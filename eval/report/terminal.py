"""What `wsol-eval` shows in the terminal: progress while it runs, the answer and the tables after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from eval.output.table import caption, headline_text, results_tables, threshold_table
from wsol.results import REPORT
from wsol.runtime.terminal import console


def print_results(all_results: Sequence[dict[str, Any]], output: Path | None, methods: Sequence[str] = ()) -> None:
    """Print one result or several of the same images: the answer, the table, what was wrong, where the files are.

    Args:
        all_results: Contents of results.json.
        output: Folder of the files, if any were written.
        methods: Map methods, where there are several, each with a folder of its own.
    """
    out = console()
    for results in all_results:
        out.print(headline_text(results))
        out.print()
    for table in results_tables(all_results, out.width):
        out.print(table)
        out.print()
    out.print(caption(all_results[0]))
    out.print()
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

"""The command `wsol-eval`.

wsol-eval --model resnet_mini_tdam --dataset minibirds --output out
wsol-eval --model resnet50_tdam --dataset cub --data-root data --checkpoint best.safetensors
wsol-eval --dataset cub --score-maps maps/                      # maps of any other program
torchrun --nproc-per-node 2 --no-python wsol-eval --model … --dataset … --output out
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import torch
import tyro
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from eval.distributed import end_process, start_process
from eval.options import EvaluationOptions
from eval.run import evaluate
from eval.table import results_table
from tdam.errors import UserError

TABLE_WIDTH = 120  # where the output is no terminal whose width could be asked


def run(arguments: Sequence[str] | None = None) -> None:
    """Evaluate as the arguments say, and print the table.

    Raises:
        UserError: If the evaluation cannot be done.
    """
    options = tyro.cli(EvaluationOptions, prog="wsol-eval", description=__doc__, args=arguments)
    device = options.device if options.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    process, torch_device = start_process(device)
    try:
        with SplitProgress(visible=process.is_first) as progress:
            results = evaluate(options, process, torch_device, progress)
        if process.is_first:
            console = Console(width=None if sys.stdout.isatty() else TABLE_WIDTH)
            if results["network"] is not None:
                console.print(f"weights: {results['network']['weights']}")
            for kind, images in results["faults"].items():
                if images:
                    console.print(f"{kind.replace('_', ' ')}: {len(images)}, e.g. {next(iter(images))}")
            console.print(results_table([results]))
            if options.output is not None:
                console.print(f"written: {options.output}")
    finally:
        end_process()


class SplitProgress:
    """Progress on stderr, one bar per split."""

    def __init__(self, visible: bool) -> None:
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
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
    try:
        run()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("error: stopped by the user; --resume continues where --output was given", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()

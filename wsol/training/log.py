"""What a person watches: progress bars, log.csv, experiment trackers."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tdam.files import write_text
from wsol.runtime.trackers import Tracker, open_trackers
from wsol.training.config import TrainingConfig

LOG_FILE = "log.csv"
# Columns in which an epoch is printed, where it has them.
PRINTED = ("train_loss", "train_top1", "top1_cls", "gt_known_loc", "top1_loc", "max_box_acc", "images_per_second")


class RunLog:
    """Progress on the terminal, one CSV row and one line of text per epoch, experiment trackers.

    Args:
        folder: Folder of the run.
        total_epochs: Epochs of the run.
        steps_per_epoch: Optimiser steps of one epoch.
        trackers: Experiment trackers that get the same figures; closed at the end.
        first_update: Optimizer steps done before, for a continued run.
        enabled: False in all processes but the main one, which then log nothing.
    """

    def __init__(
        self,
        folder: Path,
        total_epochs: int,
        steps_per_epoch: int,
        trackers: Sequence[Tracker] = (),
        first_update: int = 0,
        enabled: bool = True,
    ) -> None:
        self.folder = folder
        self.total_epochs = total_epochs
        self.steps_per_epoch = steps_per_epoch
        self.enabled = enabled
        self.console = Console(quiet=not enabled)
        self._trackers = trackers
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f} steps"),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=self.console,
            disable=not enabled,
        )
        total = total_epochs * steps_per_epoch
        self._task = self._progress.add_task("training", total=total, completed=first_update, note="")

    def __enter__(self) -> RunLog:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()
        for tracker in self._trackers:
            tracker.close()

    def step(self, epoch: int, step: int, loss: float, lr: float, images_per_second: float) -> None:
        """Show where the run is; `loss` is the mean over the epoch so far."""
        update = epoch * self.steps_per_epoch + step
        note = f"loss {loss:.3f}  lr {lr:.2g}  {images_per_second:.0f} images/s"
        description = f"epoch {epoch + 1}/{self.total_epochs}"
        self._progress.update(self._task, completed=update, description=description, note=note)
        for tracker in self._trackers:
            tracker.log({"train/loss": loss, "train/lr": lr}, update, "update")

    def epoch(self, rows: list[dict[str, float]]) -> None:
        """Record a finished epoch, the last of `rows`; the CSV is written anew, so it never holds an epoch twice.

        Raises:
            UserError: If the CSV cannot be written.
        """
        if not self.enabled:
            return
        row = rows[-1]
        parts = [f"{name} {row[name]:.4g}" for name in PRINTED if name in row]
        self.print(f"epoch {row['epoch']:.0f}/{self.total_epochs}  " + "  ".join(parts))
        write_text(self.folder / LOG_FILE, pd.DataFrame(rows).to_csv(index=False))
        for tracker in self._trackers:
            tracker.log({f"epoch/{name}": value for name, value in row.items()}, int(row["epoch"]), "epoch")

    def print(self, text: str) -> None:
        """One line of text, above the progress bar."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def open_run_trackers(config: TrainingConfig, folder: Path, first_update: int) -> list[Tracker]:
    """Trackers that a run's settings ask for, and TensorBoard where it is installed.

    Args:
        config: Settings of the run.
        folder: Folder of the run.
        first_update: Optimizer steps done before, for a continued run: later events of the killed one are dropped.

    Raises:
        UserError: If a package that was asked for is not installed.
    """
    names = list(config.log)
    if config.tensorboard and "tensorboard" not in names and find_spec("tensorboard") is not None:
        names.append("tensorboard")
    return open_trackers(names, folder, f"{config.model} on {config.dataset}", config.as_dict(), first_update)

"""What a person watches: progress bars, log.csv, TensorBoard."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tdam.files import write_text

LOG_FILE = "log.csv"
# Columns in which an epoch is printed, where it has them.
PRINTED = ("train_loss", "train_top1", "top1_cls", "gt_known_loc", "top1_loc", "max_box_acc", "images_per_second")


class RunLog:
    """Progress on the terminal, one CSV row and one line of text per epoch, TensorBoard events.

    Args:
        folder: Folder of the run.
        total_epochs: Epochs of the run.
        steps_per_epoch: Optimiser steps of one epoch.
        tensorboard: Write TensorBoard events where the package is installed.
        first_update: Optimiser steps done before, for a continued run: later events of the killed one are dropped.
        enabled: False in all processes but the main one, which then log nothing.
    """

    def __init__(
        self,
        folder: Path,
        total_epochs: int,
        steps_per_epoch: int,
        tensorboard: bool = True,
        first_update: int = 0,
        enabled: bool = True,
    ) -> None:
        self.folder = folder
        self.total_epochs = total_epochs
        self.steps_per_epoch = steps_per_epoch
        self.enabled = enabled
        self.console = Console(quiet=not enabled)
        self._writer: Any = _summary_writer(folder, first_update) if tensorboard and enabled else None
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
        if self._writer is not None:
            self._writer.close()

    def step(self, epoch: int, step: int, loss: float, lr: float, images_per_second: float) -> None:
        """Show where the run is; `loss` is the mean over the epoch so far."""
        update = epoch * self.steps_per_epoch + step
        note = f"loss {loss:.3f}  lr {lr:.2g}  {images_per_second:.0f} images/s"
        description = f"epoch {epoch + 1}/{self.total_epochs}"
        self._progress.update(self._task, completed=update, description=description, note=note)
        if self._writer is not None:
            self._writer.add_scalar("train/loss", loss, update)
            self._writer.add_scalar("train/lr", lr, update)

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
        if self._writer is not None:
            for name, value in row.items():
                self._writer.add_scalar(f"epoch/{name}", value, int(row["epoch"]))
            self._writer.flush()

    def print(self, text: str) -> None:
        """One line of text, above the progress bar."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _summary_writer(folder: Path, first_update: int) -> Any:
    """A TensorBoard writer, or None where tensorboard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=first_update or None)

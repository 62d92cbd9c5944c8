"""The figure of a run: loss, accuracies and localization over epochs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from wsol.draw.style import BLACK, BLUE, CYCLE, MARKERS, PAGE, STYLE, save

FIGURE_FILE = "curves.png"
PERCENTAGES = {
    "train_top1": "Top-1, training images",
    "top1_cls": "Top-1, val",
    "max_box_acc": "MaxBoxAcc, val",
    "top1_loc": "Top-1 Loc, val",
}


def training_curves(rows: Sequence[dict[str, float]], selected_epoch: float | None = None) -> Figure:
    """Draw the rows of a log.

    Args:
        rows: Figures of every epoch, as in log.csv; an epoch without validation lacks its figures.
        selected_epoch: Epoch of the best checkpoint, marked by a line.
    """
    style: Any = STYLE
    with mpl.rc_context(style):
        figure = Figure(figsize=(PAGE, 0.38 * PAGE), layout="constrained")
        loss_axes, percent_axes = figure.subplots(1, 2)
        loss_axes.plot([row["epoch"] for row in rows], [row["train_loss"] for row in rows], color=BLUE)
        loss_axes.set_ylabel("training loss")
        for (key, label), color, marker in zip(PERCENTAGES.items(), CYCLE, MARKERS, strict=False):
            points = [(row["epoch"], row[key]) for row in rows if key in row]
            if points:
                percent_axes.plot(*zip(*points, strict=True), color=color, marker=marker, markersize=3, label=label)
        percent_axes.set_ylabel("percent")
        percent_axes.set_ylim(0, 100)
        for axes in (loss_axes, percent_axes):
            axes.set_xlabel("epoch")
            if selected_epoch is not None:
                axes.axvline(selected_epoch, color=BLACK, linestyle=":", label="selected")
        percent_axes.legend()
    return figure


def write_training_curves(folder: Path, rows: Sequence[dict[str, float]], selected_epoch: float | None) -> None:
    """Write the figure into the folder of the run.

    Raises:
        UserError: If it cannot be written.
    """
    save(training_curves(rows, selected_epoch), folder / FIGURE_FILE)

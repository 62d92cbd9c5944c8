"""One picture of a figure: an image or overlay with its boxes and a title, placed to the tenth of a millimetre.

Figures of panels are laid out in inches from the top-left corner, row by row, because pictures of
unequal aspect leave ragged gaps in matplotlib's own grids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import matplotlib as mpl
import matplotlib.patheffects
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from wsol.draw.overlay import FULL_CHANGE, change_bar, score_bar
from wsol.draw.style import STYLE, VERMILLION

PREDICTED: Final = VERMILLION
TRUTH: Final = "white"

_GAP = 0.07
_MARGIN = 0.04
_TITLE = 0.16
_FOOT = 0.31
_HEADING = 0.14


@dataclass(frozen=True)
class Panel:
    """One picture with what is drawn on it.

    Attributes:
        picture: `(h, w, 3)` float RGB in [0, 1].
        size: Width and height in pixels of the frame the boxes are in.
        title: Text above the picture.
        predicted: `(4,)` predicted box x0 y0 x1 y1 in that frame, or None.
        truth: `(K, 4)` ground-truth boxes in that frame.
        title_colour: Colour of the title.
    """

    picture: npt.NDArray[np.float32]
    size: tuple[int, int]
    title: str = ""
    predicted: npt.NDArray[np.int64] | None = None
    truth: npt.NDArray[np.int64] | None = None
    title_colour: str = "black"


def draw_box(axes: Axes, box: Sequence[int] | npt.NDArray[np.int64], colour: str, dashed: bool = False) -> None:
    """Draw a box with a dark rim, so that it shows on any background.

    Args:
        axes: Axes whose data coordinates are pixels of the image.
        box: x0 y0 x1 y1; pixels x0 … x1 and y0 … y1 belong to the box, as its IoU counts them.
        colour: Line colour.
        dashed: Draw dashes: ground truth must stay apart from predictions without colour, too.
    """
    x0, y0, x1, y1 = (int(value) for value in box)
    rim = mpl.patheffects.withStroke(linewidth=2.4, foreground="black", alpha=0.75)
    axes.add_patch(
        Rectangle(
            (x0, y0),
            x1 - x0 + 1,
            y1 - y0 + 1,
            fill=False,
            edgecolor=colour,
            linewidth=1.3,
            linestyle=(0, (4, 2.2)) if dashed else "solid",
            joinstyle="miter",
            path_effects=[rim],
            clip_on=False,
        )
    )


def draw_panel(axes: Axes, panel: Panel) -> None:
    """Draw a panel on axes of its own.

    Args:
        axes: Empty axes.
        panel: What to draw.
    """
    width, height = panel.size
    axes.imshow(panel.picture, extent=(0, width, height, 0), interpolation="antialiased", aspect="auto")
    axes.set_axis_off()
    for box in panel.truth if panel.truth is not None else ():
        draw_box(axes, box, TRUTH, dashed=True)
    if panel.predicted is not None:
        draw_box(axes, panel.predicted, PREDICTED)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)


def compose(
    rows: Sequence[Sequence[Panel]],
    width: float,
    headings: Sequence[str] = (),
    colour_bar: str | None = "score",
    tallest: float = 1.6,
) -> Figure:
    """A figure of rows of panels with one legend and one colour bar below them.

    Args:
        rows: Panels row by row; every row has as many panels as the first.
        width: Width of the figure in inches.
        headings: Text above each column.
        colour_bar: "score", "change", or None for none.
        tallest: Greatest height of a panel over its width; taller images are drawn narrower.

    Returns:
        The figure.
    """
    columns = len(rows[0])
    cell = (width - 2 * _MARGIN - (columns - 1) * _GAP) / columns
    heights = [cell * min(tallest, max(panel.size[1] / panel.size[0] for panel in row)) for row in rows]
    titles = [_TITLE * max(panel.title.count("\n") + 1 if panel.title else 0 for panel in row) for row in rows]
    foot = _FOOT if colour_bar or _has_boxes(rows) else 0.0
    top = _MARGIN + (_HEADING if headings else 0.0)
    total = top + sum(heights) + sum(titles) + (len(rows) - 1) * 1.3 * _GAP + foot + _MARGIN

    figure = Figure(figsize=(width, total))
    for column, heading in enumerate(headings):
        x = _MARGIN + column * (cell + _GAP)
        figure.text(x / width, 1 - _MARGIN / total, heading, weight="bold", va="top", size=STYLE["axes.titlesize"])
    for row, height, title in zip(rows, heights, titles, strict=True):
        top += title
        for column, panel in enumerate(row):
            x = _MARGIN + column * (cell + _GAP)
            panel_width = min(cell, height * panel.size[0] / panel.size[1])
            panel_height = panel_width * panel.size[1] / panel.size[0]
            axes = figure.add_axes(
                (x / width, 1 - (top + panel_height) / total, panel_width / width, panel_height / total)
            )
            draw_panel(axes, panel)
            figure.text(
                x / width,
                1 - (top - 0.035) / total,
                panel.title,
                va="bottom",
                color=panel.title_colour,
                linespacing=1.1,
            )
        top += height + 1.3 * _GAP
    _draw_legend(figure, rows, width, total)
    if colour_bar:
        _draw_colour_bar(figure, colour_bar, width, total)
    return figure


def _has_boxes(rows: Sequence[Sequence[Panel]]) -> bool:
    return any(panel.predicted is not None or panel.truth is not None for row in rows for panel in row)


def _draw_legend(figure: Figure, rows: Sequence[Sequence[Panel]], width: float, total: float) -> None:
    """Say what the solid and the dashed box are, if drawn."""
    rim = [mpl.patheffects.withStroke(linewidth=2.4, foreground="black", alpha=0.75)]
    lines = []
    if any(panel.predicted is not None for row in rows for panel in row):
        lines.append(Line2D([], [], color=PREDICTED, linewidth=1.3, path_effects=rim, label="predicted"))
    if any(panel.truth is not None for row in rows for panel in row):
        lines.append(
            Line2D([], [], color=TRUTH, linewidth=1.3, dashes=(2.2, 1.2), path_effects=rim, label="ground truth")
        )
    if lines:
        figure.legend(
            handles=lines,
            loc="center left",
            bbox_to_anchor=(_MARGIN / width, 0.195 / total),
            ncols=2,
            borderpad=0,
            borderaxespad=0,
            handlelength=2.2,
            columnspacing=1.2,
        )


def _draw_colour_bar(figure: Figure, kind: str, width: float, total: float) -> None:
    """A bar in the very colours of the overlay, as they look on a mid-grey picture."""
    length = min(1.3, 0.4 * width)
    axes = figure.add_axes(((width - _MARGIN - 0.2 - length) / width, 0.16 / total, length / width, 0.07 / total))
    low, high, colours, label = (
        (0.0, 1.0, score_bar(), "score")
        if kind == "score"
        else (-FULL_CHANGE, FULL_CHANGE, change_bar(), "change of score")
    )
    ticks = [low, (low + high) / 2, high]
    bar = figure.colorbar(
        ScalarMappable(Normalize(low, high), colours), cax=axes, orientation="horizontal", ticks=ticks
    )
    bar.ax.set_xticklabels(["0", "0.5", "1"] if kind == "score" else [f"≤ −{high:g}", "0", f"≥ +{high:g}"])
    bar.outline.set_linewidth(0.4)
    axes.tick_params(length=1.5, pad=1, labelsize=6)
    figure.text(axes.get_position().x0 - 0.06 / width, 0.195 / total, label, ha="right", va="center", size=7)

"""One picture of a figure: an image or overlay with its boxes and a title, placed to the tenth of a millimetre.

Figures of panels are laid out in inches from the top-left corner, row by row, because pictures of
unequal aspect leave ragged gaps in matplotlib's own grids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import matplotlib.patheffects
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon, Rectangle

from wsol.draw.overlay import FULL_CHANGE, change_bar, score_bar
from wsol.draw.style import PREDICTED, STYLE, TRUTH

_GAP = 0.07
_MARGIN = 0.04
_TITLE = 0.16
_FOOT = 0.31
_HEADING = 0.15
_TALLEST = 1.6  # greatest height of a panel over its width; taller images are drawn narrower
_ONE_LINE = {False: 4.6, True: 6.6}  # width in inches that holds legend and colour bars side by side


@dataclass(frozen=True)
class Panel:
    """One picture with what is drawn on it.

    Attributes:
        picture: `(h, w, 3)` float RGB in [0, 1].
        size: Width and height in pixels of the frame the boxes are in.
        title: Text above the picture.
        predicted: `(4,)` predicted box x0 y0 x1 y1 in that frame, or None.
        truth: `(K, 4)` ground-truth boxes in that frame.
        contour: `(N, 2)` corners x y of the threshold's outline in that frame, or None.
    """

    picture: npt.NDArray[np.float32]
    size: tuple[int, int]
    title: str = ""
    predicted: npt.NDArray[np.int64] | None = None
    truth: npt.NDArray[np.int64] | None = None
    contour: npt.NDArray[np.float64] | None = None


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
    if panel.contour is not None:
        rim = mpl.patheffects.withStroke(linewidth=1.7, foreground="black", alpha=0.6)
        axes.add_patch(
            Polygon(panel.contour, closed=True, fill=False, edgecolor=PREDICTED, linewidth=0.8, path_effects=[rim])
        )
    if panel.predicted is not None:
        draw_box(axes, panel.predicted, PREDICTED)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)


def compose(
    rows: Sequence[Sequence[Panel]],
    width: float,
    headings: Sequence[Sequence[str]] = (),
    caption: str = "",
    change: bool = False,
) -> Figure:
    """A figure of rows of panels with one legend and the colour bars below them.

    Args:
        rows: Panels row by row; no row has more panels than the first.
        width: Width of the figure in inches.
        headings: Text above each panel of the first row, or one such list for every row.
        caption: Text above everything, such as the network's name.
        change: Explain the colours of change as well as those of score.

    Returns:
        The figure.
    """
    headed = dict(enumerate(headings))
    cell, heights = _cell(rows, width), _heights(rows, width)
    titles = [_title_height(row) for row in rows]
    foot = _foot(width, change)
    total = rows_height(rows, width, len(headed), bool(caption), change)
    top = _MARGIN

    figure = Figure(figsize=(width, total))
    if caption:
        figure.text(_MARGIN / width, 1 - top / total, caption, va="top", size=STYLE["axes.titlesize"], color="0.3")
        top += _HEADING
    for number, (row, height, title) in enumerate(zip(rows, heights, titles, strict=True)):
        for column, heading in enumerate(headed.get(number, ())):
            x = _MARGIN + column * (cell + _GAP)
            figure.text(x / width, 1 - top / total, heading, weight="bold", va="top", size=STYLE["axes.titlesize"])
        top += (_HEADING if number in headed else 0.0) + title
        for column, panel in enumerate(row):
            x = _MARGIN + column * (cell + _GAP)
            panel_width = min(cell, height * panel.size[0] / panel.size[1])
            panel_height = panel_width * panel.size[1] / panel.size[0]
            axes = figure.add_axes(
                (x / width, 1 - (top + panel_height) / total, panel_width / width, panel_height / total)
            )
            draw_panel(axes, panel)
            figure.text(x / width, 1 - (top - 0.05) / total, panel.title, va="baseline", linespacing=1.1)
        top += height + 1.3 * _GAP
    _draw_legend(figure, rows, width, total, foot)
    _draw_colour_bar(figure, "score", width, total, place=int(change))
    if change:
        _draw_colour_bar(figure, "change", width, total, place=0)
    return figure


def rows_height(
    rows: Sequence[Sequence[Panel]], width: float, headings: int = 1, caption: bool = True, change: bool = True
) -> float:
    """Height in inches of a figure that `compose` makes."""
    pictures = sum(_heights(rows, width)) + sum(_title_height(row) for row in rows) + (len(rows) - 1) * 1.3 * _GAP
    return 2 * _MARGIN + (headings + caption) * _HEADING + pictures + _foot(width, change)


def _cell(rows: Sequence[Sequence[Panel]], width: float) -> float:
    columns = len(rows[0])
    return (width - 2 * _MARGIN - (columns - 1) * _GAP) / columns


def _heights(rows: Sequence[Sequence[Panel]], width: float) -> list[float]:
    cell = _cell(rows, width)
    return [cell * min(_TALLEST, max(panel.size[1] / panel.size[0] for panel in row)) for row in rows]


def _title_height(row: Sequence[Panel]) -> float:
    lines = max(panel.title.count("\n") + 1 if panel.title else 0 for panel in row)
    return _TITLE * lines if lines < 2 else _TITLE + 0.115 * (lines - 1)


def _foot(width: float, change: bool) -> float:
    """Height of the legend and the colour bars; they stand in two lines where one is too narrow."""
    return _FOOT if width >= _ONE_LINE[change] else 2 * _FOOT


def _draw_legend(figure: Figure, rows: Sequence[Sequence[Panel]], width: float, total: float, foot: float) -> None:
    """Say what the lines are that are drawn."""
    rim = [mpl.patheffects.withStroke(linewidth=2.4, foreground="black", alpha=0.75)]
    panels = [panel for row in rows for panel in row]
    lines = []
    if any(panel.predicted is not None for panel in panels):
        has_contour = any(panel.contour is not None for panel in panels)
        label = "predicted: contour at the threshold and its box" if has_contour else "predicted box"
        lines.append(Line2D([], [], color=PREDICTED, linewidth=1.3, path_effects=rim, label=label))
    if any(panel.truth is not None for panel in panels):
        lines.append(
            Line2D([], [], color=TRUTH, linewidth=1.3, dashes=(2.2, 1.2), path_effects=rim, label="ground truth")
        )
    if lines:
        figure.legend(
            handles=lines,
            loc="center left",
            bbox_to_anchor=(_MARGIN / width, (foot - _FOOT + 0.195) / total),
            ncols=2,
            borderpad=0,
            borderaxespad=0,
            handlelength=2.2,
            columnspacing=1.2,
        )


def _draw_colour_bar(figure: Figure, kind: str, width: float, total: float, place: int) -> None:
    """A bar in the very colours of the overlay, as they look on mid-grey; `place` counts from the right."""
    length = 0.8
    right = width - _MARGIN - 0.15 - place * (length + 0.85)
    axes = figure.add_axes(((right - length) / width, 0.16 / total, length / width, 0.07 / total))
    low, high, colours = (0.0, 1.0, score_bar()) if kind == "score" else (-FULL_CHANGE, FULL_CHANGE, change_bar())
    ticks = [low, (low + high) / 2, high]
    bar = figure.colorbar(
        ScalarMappable(Normalize(low, high), colours), cax=axes, orientation="horizontal", ticks=ticks
    )
    bar.ax.set_xticklabels(["0", "0.5", "1"] if kind == "score" else [f"−{high:g}", "0", f"+{high:g}"])
    bar.outline.set_linewidth(0.4)
    axes.tick_params(length=1.5, pad=1, labelsize=6)
    figure.text(axes.get_position().x0 - 0.06 / width, 0.195 / total, kind, ha="right", va="center", size=7)

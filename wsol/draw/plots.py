"""Plots of measured accuracies: curves over the threshold, kinds of error, IoU histograms, comparison of networks.

They take plain arrays, so that they draw any program's numbers.
"""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wsol.draw.style import COLUMN, CYCLE, MARKERS, STYLE

HEIGHT = 2.2
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++++")
DASHES = ("solid", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)), (0, (3, 1)), (0, (8, 2)))


@mpl.rc_context(STYLE)
def threshold_curves(
    thresholds: npt.ArrayLike,
    curves: Mapping[str, npt.ArrayLike],
    marks: Mapping[str, float] | None = None,
    y_label: str = "GT-known Loc (%)",
    width: float = COLUMN,
) -> Figure:
    """Accuracy over the score-map threshold, one curve per step or network.

    Args:
        thresholds: `(n,)` thresholds in [0, 1].
        curves: Name -> `(n,)` accuracy in percent at each of them.
        marks: Name -> threshold to mark on that curve, such as the one chosen on a validation split.
        y_label: What the accuracy is.
        width: Width in inches.

    Returns:
        The figure.

    Raises:
        ValueError: If there are no curves, a curve has another length, or a mark belongs to none.
    """
    if not curves:
        raise ValueError("no curves to draw")
    if unknown := set(marks or {}) - set(curves):
        raise ValueError(f"marks of no curve: {', '.join(sorted(unknown))}")
    figure, axes = _figure(width)
    x = np.asarray(thresholds, dtype=np.float64)
    for number, (name, values) in enumerate(curves.items()):
        y = np.asarray(values, dtype=np.float64)
        if y.shape != x.shape:
            raise ValueError(f"curve {name!r} has {y.shape}, the thresholds {x.shape}")
        colour = CYCLE[number % len(CYCLE)]
        axes.plot(x, y, color=colour, linestyle=DASHES[number % len(DASHES)], label=name)
        if marks and name in marks:
            place = int(np.abs(x - marks[name]).argmin())
            marker = MARKERS[number % len(MARKERS)]
            axes.plot(x[place], y[place], marker, color=colour, markersize=5, markeredgecolor="white", clip_on=False)
    axes.set(xlabel="score-map threshold", ylabel=y_label, xlim=(0, 1), ylim=(0, None))
    axes.legend()
    return figure


@mpl.rc_context(STYLE)
def error_bars(rows: Mapping[str, Mapping[str, float]], width: float = COLUMN) -> Figure:
    """Kinds of outcome as parts of one bar per step or network.

    Args:
        rows: Name of the bar -> kind -> percent of the images; every bar has the same kinds.
        width: Width in inches.

    Returns:
        The figure.

    Raises:
        ValueError: If there are no bars or their kinds differ.
    """
    if not rows:
        raise ValueError("no bars to draw")
    kinds = list(next(iter(rows.values())))
    if any(list(parts) != kinds for parts in rows.values()):
        raise ValueError("all bars must have the same kinds in the same order")
    legend_rows = -(-len(kinds) // 2)
    figure, axes = _figure(width, 0.55 + 0.3 * len(rows) + 0.17 * legend_rows)
    left = np.zeros(len(rows))
    names = list(rows)
    for number, kind in enumerate(kinds):
        values = np.array([rows[name][kind] for name in names])
        bars = axes.barh(
            names,
            values,
            left=left,
            height=0.7,
            color=CYCLE[number % len(CYCLE)],
            edgecolor="white",
            linewidth=0.6,
            hatch=HATCHES[number % len(HATCHES)],
            label=kind,
        )
        texts = [f"{value:.0f}" if value >= 6 else "" for value in values]
        box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
        axes.bar_label(bars, texts, label_type="center", fontsize=6.5, bbox=None)
        for text in axes.texts[-len(texts) :]:
            if text.get_text():
                text.set_bbox(box)
        left += values
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set(xlabel="percent of images", xlim=(0, 100))
    figure.legend(loc="outside lower left", ncols=2, handlelength=1.4)
    return figure


@mpl.rc_context(STYLE)
def iou_histogram(
    ious: Mapping[str, npt.ArrayLike], demanded: float = 0.5, bins: int = 20, width: float = COLUMN
) -> Figure:
    """How the IoU of boxes with the ground truth is spread, one outline per step or network.

    Args:
        ious: Name -> `(N,)` IoU of each image's box.
        demanded: IoU from which on a box counts as right; marked.
        bins: Number of equal bins over [0, 1].
        width: Width in inches.

    Returns:
        The figure.

    Raises:
        ValueError: If there are no values, or one lies outside [0, 1].
    """
    if not ious or any(np.size(values) == 0 for values in ious.values()):
        raise ValueError("no IoU to draw")
    figure, axes = _figure(width)
    edges = np.linspace(0, 1, bins + 1)
    for number, (name, values) in enumerate(ious.items()):
        array = np.asarray(values, dtype=np.float64)
        if not ((array >= 0) & (array <= 1)).all():
            raise ValueError(f"IoU of {name!r} must lie in [0, 1]")
        counts, _ = np.histogram(array, edges)
        right = 100 * float((array >= demanded).mean())
        axes.stairs(
            100 * counts / array.size,
            edges,
            color=CYCLE[number % len(CYCLE)],
            linestyle=DASHES[number % len(DASHES)],
            linewidth=1.2,
            label=f"{name}: {right:.1f} % ≥ {demanded:g}",
        )
    axes.axvline(demanded, color="0.35", linewidth=0.8)
    axes.set(xlabel="IoU of the box with the ground truth", ylabel="percent of images", xlim=(0, 1))
    figure.legend(loc="outside upper left", ncols=2)
    return figure


@mpl.rc_context(STYLE)
def network_comparison(
    figures: Mapping[str, Mapping[str, tuple[float, float, float]]], width: float = COLUMN
) -> Figure:
    """Several networks' figures with their intervals, side by side.

    Args:
        figures: Name of the network -> name of the figure -> (value, lower end, upper end) in percent; all networks
            have the same figures.
        width: Width in inches.

    Returns:
        The figure: points with error bars, since a bar's foot at zero would hide the differences.

    Raises:
        ValueError: If there are no networks or their figures differ.
    """
    if not figures:
        raise ValueError("no networks to compare")
    names = list(next(iter(figures.values())))
    if any(list(one) != names for one in figures.values()):
        raise ValueError("all networks must have the same figures in the same order")
    figure, axes = _figure(width, 0.75 + 0.34 * len(names) + 0.15 * len(figures))
    offsets = (np.arange(len(figures)) - (len(figures) - 1) / 2) * 0.62 / max(len(figures), 2)
    for number, (network, values) in enumerate(figures.items()):
        table = np.array([values[name] for name in names])
        errors = np.abs(table[:, 1:] - table[:, :1]).T
        axes.errorbar(
            table[:, 0],
            np.arange(len(names)) + offsets[number],
            xerr=errors,
            fmt=MARKERS[number % len(MARKERS)],
            color=CYCLE[number % len(CYCLE)],
            markersize=4,
            elinewidth=1,
            capsize=2,
            label=network,
        )
    axes.set_yticks(np.arange(len(names)), names)
    axes.invert_yaxis()
    axes.margins(y=0.12)
    axes.set(xlabel="percent, with 95 % intervals")
    figure.legend(loc="outside lower left", ncols=2, handlelength=1.4)
    return figure


def _figure(width: float, height: float = HEIGHT) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()

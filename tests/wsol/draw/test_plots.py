"""Plots hold the numbers they are given: values are read back from the drawn artists."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.patches import Rectangle, StepPatch

from wsol import draw

THRESHOLDS = np.arange(0, 1, 0.01)


def test_threshold_curves_hold_their_values_and_marks(tmp_path: Path) -> None:
    curves = {"step 1": 50 * (1 - THRESHOLDS), "step 2": 60 * (1 - THRESHOLDS)}
    figure = draw.threshold_curves(THRESHOLDS, curves, marks={"step 2": 0.25})
    (axes,) = figure.axes
    lines = {line.get_label(): line for line in axes.lines}
    for name, values in curves.items():
        assert np.array_equal(lines[name].get_ydata(), values)
    (mark,) = [line for line in axes.lines if len(line.get_xdata()) == 1]
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == pytest.approx((0.25, 45))
    styles = {lines[name].get_linestyle() for name in curves}
    assert len(styles) == 2, "told apart without colour, too"
    draw.save(figure, tmp_path / "curves.pdf")


def test_error_bars_add_up(tmp_path: Path) -> None:
    rows = {
        "step 1": {"right": 60.0, "small": 30.0, "else": 10.0},
        "step 2": {"right": 70.0, "small": 5.0, "else": 25.0},
    }
    figure = draw.error_bars(rows)
    bars = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    widths = np.array([bar.get_width() for bar in bars]).reshape(3, 2).T
    assert widths.tolist() == [list(parts.values()) for parts in rows.values()]
    ends = np.array([bar.get_x() + bar.get_width() for bar in bars]).reshape(3, 2)
    assert ends[-1].tolist() == [100, 100]
    assert len({bar.get_hatch() for bar in bars}) == 3
    draw.save(figure, tmp_path / "bars.svg")


def test_iou_histogram_counts_every_image_and_names_the_share(tmp_path: Path) -> None:
    ious = {"step 1": [0.0, 0.2, 0.5, 1.0], "step 2": [0.5, 0.6, 0.7, 0.1]}
    figure = draw.iou_histogram(ious)
    outlines = [patch for patch in figure.axes[0].patches if isinstance(patch, StepPatch)]
    assert [outline.get_data().values.sum() for outline in outlines] == pytest.approx([100, 100])
    assert [outline.get_label() for outline in outlines] == ["step 1: 50.0 % ≥ 0.5", "step 2: 75.0 % ≥ 0.5"]
    draw.save(figure, tmp_path / "histogram.png")


def test_comparison_draws_values_and_intervals(tmp_path: Path) -> None:
    figure = draw.network_comparison(
        {"a": {"x": (50, 45, 56), "y": (20, 10, 30)}, "b": {"x": (60, 55, 65), "y": (1, 0, 9)}}
    )
    containers = figure.axes[0].containers
    assert [line.get_xdata().tolist() for line, _, _ in containers] == [[50, 20], [60, 1]]
    segments = containers[0].lines[2][0].get_segments()
    assert [segment[:, 0].tolist() for segment in segments] == [[45, 56], [10, 30]]
    draw.save(figure, tmp_path / "comparison.png")


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (draw.threshold_curves, (THRESHOLDS, {})),
        (draw.threshold_curves, (THRESHOLDS, {"a": [1, 2]})),
        (draw.threshold_curves, (THRESHOLDS, {"a": THRESHOLDS}, {"b": 0.2})),
        (draw.error_bars, ({},)),
        (draw.error_bars, ({"a": {"x": 1}, "b": {"y": 1}},)),
        (draw.iou_histogram, ({"a": []},)),
        (draw.iou_histogram, ({"a": [float("nan")]},)),
        (draw.network_comparison, ({"a": {"x": (1, 0, 2)}, "b": {}},)),
    ],
)
def test_what_cannot_be_drawn_is_refused(function, arguments) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        function(*arguments)


def test_plots_leave_matplotlib_as_it_was() -> None:
    before = dict(mpl.rcParams)
    draw.iou_histogram({"a": [0.5]})
    assert dict(mpl.rcParams) == before

"""Charts of the report as inline SVG, coloured by the page's own light or dark style.

Text is escaped by `markupsafe`; colours and fonts come from `report.css` through class names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

WIDTH: Final = 480
HEIGHT: Final = 290
LEFT, RIGHT, TOP, BOTTOM = 48, 14, 12, 44
LEGEND_ROW: Final = 19
MOST_POINTS: Final = 250


@dataclass(frozen=True)
class Series:
    """One line of a chart.

    Attributes:
        name: Shown in the legend below the plot and in tooltips.
        x: Positions.
        y: Values, as many as positions.
        marks: Points set off on the line: (x, y, what it is).
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    marks: tuple[tuple[float, float, str], ...] = ()


def line_chart(
    title: str,
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    y_top: float | None = None,
    steps: bool = False,
) -> Markup:
    """Lines over [0, 1].

    Args:
        title: Says what is seen, for readers who cannot see it.
        series: The lines.
        x_label: Label of the horizontal axis.
        y_label: Label of the vertical axis.
        y_top: Upper end of the vertical axis; by default a round number above all values.
        steps: Draw stairs, for counts in bins whose left ends are the positions.

    Returns:
        An `svg` element.
    """
    top = y_top or _round_above(max((max(one.y, default=0) for one in series), default=0))
    parts = [_axes(x_label, y_label, top)]
    for number, one in enumerate(series, start=1):
        parts.append(
            Markup('<path class="line series-{}" d="{}"><title>{}</title></path>').format(
                number, _path(one, top, steps), one.name
            )
        )
        for x, y, what in one.marks:
            parts.append(
                Markup(
                    '<circle class="mark series-{}" cx="{:.1f}" cy="{:.1f}" r="4"><title>{}</title></circle>'
                ).format(number, _x(x), _y(y, top), what)
            )
    parts.append(_legend([one.name for one in series]))
    return _svg(title, HEIGHT + LEGEND_ROW * len(series), parts)


def stacked_bars(title: str, rows: Mapping[str, Mapping[str, float]]) -> Markup:
    """Horizontal bars of parts in percent, one bar per row, equal parts in equal colours.

    Args:
        title: Says what is seen, for readers who cannot see it.
        rows: Name of the bar -> name of the part -> percent.

    Returns:
        An `svg` element.
    """
    bar, gap = 26, 12
    names = list(dict.fromkeys(part for parts in rows.values() for part in parts))
    height = len(rows) * (bar + gap) + 8
    parts: list[Markup] = []
    for row, (name, values) in enumerate(rows.items()):
        y, x = row * (bar + gap) + 4, 90.0
        parts.append(
            Markup('<text class="tick" x="82" y="{}" text-anchor="end">{}</text>').format(y + bar / 2 + 4, name)
        )
        for part, percent in values.items():
            width = percent / 100 * (WIDTH - 94)
            rectangle = Markup(
                '<rect class="part part-{}" x="{:.2f}" y="{}" width="{:.2f}" height="{}"><title>{}</title></rect>'
            )
            tooltip = f"{name}, {part}: {percent:.1f} %"
            parts.append(rectangle.format(names.index(part) + 1, x, y, max(width, 0), bar, tooltip))
            if width > 34:
                parts.append(
                    Markup('<text class="in-bar part-{}" x="{:.1f}" y="{}" text-anchor="middle">{:.1f}</text>').format(
                        names.index(part) + 1, x + width / 2, y + bar / 2 + 4, percent
                    )
                )
            x += width
    return _svg(title, height, parts)


def _legend(names: Sequence[str]) -> Markup:
    """The lines' names below the plot, one a row: names of networks are long."""
    rows = []
    for number, name in enumerate(names, start=1):
        y = HEIGHT + LEGEND_ROW * (number - 0.5)
        rows.append(
            Markup(
                '<path class="line series-{}" d="M{},{:.1f}h28"/><text class="tick" x="{}" y="{:.1f}">{}</text>'
            ).format(number, LEFT, y, LEFT + 36, y + 4, name)
        )
    return Markup("").join(rows)


def _svg(title: str, height: float, parts: Sequence[Markup]) -> Markup:
    return Markup('<svg class="chart" role="img" aria-label="{}" viewBox="0 0 {} {:.0f}">{}</svg>').format(
        title, WIDTH, height, Markup("").join(parts)
    )


def _x(value: float) -> float:
    return LEFT + value * (WIDTH - LEFT - RIGHT)


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)


def _path(one: Series, top: float, steps: bool) -> str:
    points = [(_x(x), _y(y, top)) for x, y in zip(one.x, one.y, strict=True)]
    if steps:
        width = _x(1.0) - _x(1.0 - 1.0 / len(points))
        stairs = [(x + side * width, y) for x, y in points for side in (0, 1)]
        return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in stairs)
    stride = max(1, len(points) // MOST_POINTS)
    kept = [*points[::stride], points[-1]]
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in kept)


def _axes(x_label: str, y_label: str, top: float) -> Markup:
    parts = []
    ticks = round(top / _round_step(top))
    for number in range(ticks + 1):
        value = top * number / ticks
        parts.append(
            Markup(
                '<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>'
                '<text class="tick" x="{}" y="{:.1f}" text-anchor="end">{:g}</text>'
            ).format(LEFT, WIDTH - RIGHT, _y(value, top), _y(value, top), LEFT - 6, _y(value, top) + 4, round(value, 2))
        )
    for number in range(6):
        parts.append(
            Markup('<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{:g}</text>').format(
                _x(number / 5), HEIGHT - BOTTOM + 17, number / 5
            )
        )
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        Markup(
            '<text class="axis" x="{:.1f}" y="{}" text-anchor="middle">{}</text>'
            '<text class="axis" transform="translate(12 {:.1f}) rotate(-90)" text-anchor="middle">{}</text>'
        ).format(_x(0.5), HEIGHT - 6, x_label, middle, y_label)
    )
    return Markup("").join(parts)


def _round_step(top: float) -> float:
    """Distance of ticks from 0 to `top`: 1, 2 or 5 times a power of ten, four to eight of them where it divides.

    >>> [_round_step(top) for top in (5, 10, 30, 40, 60, 80, 100, 200)]
    [1, 2, 5, 10, 10, 20, 20, 50]
    """
    for power in range(-1, 6):
        for digit in (1, 2, 5):
            step = digit * 10.0**power
            if top / step <= 6 and abs(top / step - round(top / step)) < 1e-9:
                return int(step) if step >= 1 else step
    return top / 5


def _round_above(value: float) -> float:
    """The next of 5, 10, 20, … 100, 200, … at or above a value.

    >>> [_round_above(value) for value in (0, 3, 41, 100, 130)]
    [5, 5, 50, 100, 200]
    """
    for scale in (1, 10, 100, 1000, 10_000, 100_000):
        for step in (5, 10, 20, 30, 40, 50, 60, 80, 100):
            if step * scale >= value and (scale == 1 or step >= 20):
                return step * scale
    return value

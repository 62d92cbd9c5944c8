"""The figures of a comparison as text: CSV for programs, LaTeX for papers, Markdown and cells for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pandas as pd

from eval.bench.description import FIGURES
from eval.bench.figures import CONFIGURATION
from eval.bench.over_seeds import AGAINST
from eval.output.compare import FIGURES as FIGURE_NAMES

COST_NAMES: Final = {
    "train_seconds": "train min",
    "evaluation_seconds": "judge s",
    "parameters": "M parameters",
    "macs": "GMACs",
}
_COST_SCALES: Final = {"train_seconds": (60, 1), "evaluation_seconds": (1, 1), "parameters": (1e6, 2), "macs": (1e9, 3)}
_LATEX: Final = {
    "&": r"\&",
    "%": r"\%",
    "_": r"\_",
    "#": r"\#",
    "$": r"\$",
    "±": r"$\pm$",
    "−": "$-$",
    "\\": r"\textbackslash{}",
}


def shown_figures(table: pd.DataFrame) -> list[str]:
    """Figures that at least one configuration has."""
    return [figure for figure in FIGURES if table[figure].notna().any()]


def shown_names(table: pd.DataFrame) -> list[str]:
    """Parts of a configuration's name in which the rows differ; the network where they differ in none."""
    names = [name for name in CONFIGURATION if name != "protocol" and table[name].nunique() > 1]
    return names or ["network"]


def name_of(row: pd.Series, names: Sequence[str]) -> str:
    """A configuration in words."""
    return ", ".join(str(row[name]) for name in names)


def with_half(value: Any, half: Any, sign: bool = False) -> str:
    """A mean with half its interval.

    >>> with_half(61.24, 3.26), with_half(-1.5, None, sign=True), with_half(None, None)
    ('61.2 ± 3.3', '−1.5', '–')
    """
    if value is None or pd.isna(value):
        return "–"
    text = f"{value:{'+' if sign else ''}.1f}".replace("-", "−")
    return text if half is None or pd.isna(half) else f"{text} ± {half:.1f}"


def difference(value: Any, half: Any, low: Any, high: Any) -> str:
    """A difference with its interval: ± over seeds, in brackets over images.

    >>> difference(1.24, 0.5, None, None), difference(-1.24, None, -2.0, 0.5)
    ('+1.2 ± 0.5', '−1.2 [−2.0, +0.5]')
    """
    text = with_half(value, half, sign=True)
    return text if low is None or pd.isna(low) else text + f" [{low:+.1f}, {high:+.1f}]".replace("-", "−")


def cost(row: pd.Series, name: str) -> str:
    """A cost in the unit of its heading."""
    scale, digits = _COST_SCALES[name]
    return "–" if row[name] is None or pd.isna(row[name]) else f"{row[name] / scale:.{digits}f}"


def cells(table: pd.DataFrame, figure: str) -> pd.DataFrame:
    """The table that people read, one row per configuration of one protocol.

    Args:
        table: Rows of `eval.bench.over_seeds.summary` of one protocol.
        figure: The figure whose difference to the baseline is shown.
    """
    names, figures = shown_names(table), shown_figures(table)
    lines = []
    for _, row in table.iterrows():
        line = {name: row[name] for name in names} | {"seeds": str(row["seeds"])}
        against = difference(*(row[f"{figure}_against{end}"] for end in AGAINST))
        line[f"{FIGURE_NAMES[figure]} − baseline"] = "baseline" if row["is_baseline"] else against
        line |= {FIGURE_NAMES[key]: with_half(row[key], row[f"{key}_half"]) for key in figures}
        lines.append(line | {heading: cost(row, key) for key, heading in COST_NAMES.items()})
    return pd.DataFrame(lines)


def markdown(table: pd.DataFrame) -> str:
    """Cells as a table in Markdown."""
    lines: list[list[str]] = table.astype(str).values.tolist()
    rows = [[str(heading) for heading in table], ["---"] * len(table.columns), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def latex(table: pd.DataFrame, caption: str) -> str:
    """Cells as a table for LaTeX with booktabs."""
    escaped = table.astype(str).map(_escaped)
    escaped.columns = [_escaped(str(name)) for name in table]
    names = sum(heading in CONFIGURATION for heading in table)
    return escaped.to_latex(
        index=False,
        escape=False,
        caption=_escaped(caption),
        column_format="l" * names + "r" * (len(table.columns) - names),
    )


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)

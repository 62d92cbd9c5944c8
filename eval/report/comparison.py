"""The report that sets several evaluations of the same images side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.output.compare import FIGURES, Comparison, compare_all, result_names
from eval.output.table import caption
from eval.report.charts import Series, line_chart
from eval.report.data import Report, headline_rows, read_report
from eval.report.page import COLUMNS, run_facts
from eval.report.template import render, signed, write_page

VERDICTS = {
    1: "better beyond chance",
    0: "the interval holds zero, so these images do not tell them apart",
    -1: "worse beyond chance",
}


def write_comparison(folders: Sequence[str | Path], output: str | Path) -> Path:
    """Write a page that compares evaluations; the others are compared with the first.

    Args:
        folders: At least two results folders of the same dataset, split and protocol.
        output: File to write.

    Returns:
        Path of the page.

    Raises:
        UserError: If they cannot be compared; the message says why.
    """
    comparisons = compare_all([Path(folder) for folder in folders])
    reports = [read_report(Path(folder)) for folder in folders]
    names = result_names([report.results for report in reports], folders)
    named = list(zip(names, reports, strict=True))
    compared = list(zip(names[1:], comparisons, strict=True))
    html = render(
        "comparison.html.j2",
        results=reports[0].results,
        sentences=[_sentence(names[0], name, comparison) for name, comparison in compared],
        columns=COLUMNS,
        figure_names=FIGURES,
        groups=[(name, headline_rows(report)) for name, report in named],
        policies=[(name, caption(report.results)) for name, report in named],
        comparisons=compared,
        curve_charts=_curve_charts(named),
        reproduce=[(name, run_facts(report.results)) for name, report in named],
    )
    return write_page(Path(output), html)


def _sentence(first: str, name: str, comparison: Comparison) -> str:
    """The difference in GT-known Loc, in words."""
    rows = [one for one in comparison.differences if one.figure == "gt_known_loc"]
    if not rows:
        return f"{name} against {first}: no image has a box, so only their pixels can be compared."
    (row,) = rows
    verdict = VERDICTS[row.verdict]
    ends = "" if row.low is None or row.high is None else f" [{signed(row.low)}, {signed(row.high)}]"
    return f"{name} against {first}: {signed(row.difference)} points GT-known Loc{ends}; {verdict}."


def _curve_charts(named: Sequence[tuple[str, Report]]) -> list[tuple[str, Any]]:
    series = []
    for name, report in named:
        if report.curves.empty:
            continue
        rows = report.curves[report.curves["step"] == report.steps[-1]]
        series.append(Series(name, rows["threshold"].tolist(), rows["gt_known_loc"].tolist()))
    if not series:
        return []
    title = "GT-known Loc of the last step (IoU ≥ 0.5)"
    return [(title, line_chart(title, series, "score-map threshold", "percent of images"))]

"""The report that sets several evaluations of the same images side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from eval.attention_shift import Z_95
from eval.gallery import IOU_HIT
from eval.report.charts import Series, line_chart
from eval.report.data import Report, headline_rows, policy_sentence, read_report, signed
from eval.report.page import COLUMNS, run_facts
from eval.report.template import render, write_page
from tdam.errors import UserError


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
    if len(folders) < 2:
        raise UserError("a comparison needs at least two results folders")
    reports = [read_report(Path(folder)) for folder in folders]
    _check_comparable(reports, folders)
    names = network_names(reports, folders)
    first = reports[0]
    differences = [
        {"name": name, **last_step_difference(first.predictions, report.predictions)}
        for name, report in zip(names[1:], reports[1:], strict=True)
    ]
    html = render(
        "comparison.html.j2",
        results=first.results,
        sentences=[_sentence(names[0], row) for row in differences],
        columns=COLUMNS,
        groups=[(name, headline_rows(report)) for name, report in zip(names, reports, strict=True)],
        policies=[(name, policy_sentence(report.results)) for name, report in zip(names, reports, strict=True)],
        differences=differences,
        curve_charts=_curve_charts(names, reports),
        reproduce=[(name, run_facts(report.results)) for name, report in zip(names, reports, strict=True)],
    )
    return write_page(Path(output), html)


def network_names(reports: Sequence[Report], folders: Sequence[str | Path]) -> list[str]:
    """Names to tell the results apart: the network's, with the folder's where a network comes twice.

    Args:
        reports: Contents of the folders.
        folders: The folders.

    Returns:
        One name each.
    """
    models = [report.results["model"] for report in reports]
    return [
        model if models.count(model) == 1 else f"{model} ({Path(folder).name})"
        for model, folder in zip(models, folders, strict=True)
    ]


def last_step_difference(first: pd.DataFrame, other: pd.DataFrame) -> dict[str, Any]:
    """Difference of GT-known Loc of two networks' last steps on the same images.

    Args:
        first: Rows of predictions.csv.
        other: Rows of predictions.csv of the same images.

    Returns:
        `difference` (other − first), `low` and `high` (95 %, normal, paired) in points; `only_this` and `only_first`,
        images only one of them localizes; `p` of the exact two-sided McNemar test.
    """
    hits = pd.DataFrame({"first": _last_hits(first), "other": _last_hits(other)})
    only_this = int((hits["other"] & ~hits["first"]).sum())
    only_first = int((hits["first"] & ~hits["other"]).sum())
    mean = (only_this - only_first) / len(hits)
    half = Z_95 * (((only_this + only_first) / len(hits) - mean**2) / len(hits)) ** 0.5
    return {
        "difference": 100 * mean,
        "low": 100 * (mean - half),
        "high": 100 * (mean + half),
        "only_this": only_this,
        "only_first": only_first,
        "p": mcnemar(only_this, only_first),
    }


def mcnemar(only_a: int, only_b: int) -> float:
    """P value of the exact two-sided McNemar test (McNemar, 1947): a sign test on the images that differ.

    Args:
        only_a: Images only the one gets right.
        only_b: Images only the other gets right.

    Returns:
        Probability in (0, 1].

    >>> mcnemar(0, 0), mcnemar(5, 5), mcnemar(10, 0)
    (1.0, 1.0, 0.001953125)
    """
    count = only_a + only_b
    ways = tail = 1  # choices of 0 images out of all
    for chosen in range(min(only_a, only_b)):
        ways = ways * (count - chosen) // (chosen + 1)
        tail += ways
    return min(1.0, 2 * tail / 2**count)


def _last_hits(predictions: pd.DataFrame) -> pd.Series:
    last = predictions[predictions["step"] == predictions["step"].max()]
    return last.set_index("image")["iou"].ge(IOU_HIT)


def _check_comparable(reports: Sequence[Report], folders: Sequence[str | Path]) -> None:
    first = reports[0].results
    for report, folder in zip(reports[1:], folders[1:], strict=True):
        for name in ("dataset", "protocol"):
            if report.results[name] != first[name]:
                raise UserError(
                    f"{folder} is of {name} {report.results[name]}, {folders[0]} of {first[name]}: "
                    "only results of the same can be compared"
                )
        if set(report.predictions["image"]) != set(reports[0].predictions["image"]):
            raise UserError(
                f"{folder} judged other images than {folders[0]}: evaluate both on the same split and limit"
            )


def _sentence(first: str, row: dict[str, Any]) -> str:
    verdict = "the interval holds zero, so these images do not tell them apart"
    if row["low"] > 0:
        verdict = "better beyond chance"
    if row["high"] < 0:
        verdict = "worse beyond chance"
    return (
        f"{row['name']} against {first}: {signed(row['difference'])} points GT-known Loc "
        f"[{signed(row['low'])}, {signed(row['high'])}]; {verdict}."
    )


def _curve_charts(names: Sequence[str], reports: Sequence[Report]) -> list[tuple[str, Any]]:
    series = []
    for name, report in zip(names, reports, strict=True):
        if report.curves.empty:
            continue
        rows = report.curves[report.curves["step"] == report.steps[-1]]
        series.append(Series(name, rows["threshold"].tolist(), rows["gt_known_loc"].tolist()))
    if not series:
        return []
    title = "GT-known Loc of the last step (IoU ≥ 0.5)"
    return [(title, line_chart(title, series, "score-map threshold", "percent of images"))]

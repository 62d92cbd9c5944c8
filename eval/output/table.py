"""Results as tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich.table import Table

from eval.analysis.curves import ANY_STEP
from eval.analysis.object_sizes import SIZE_FIGURES
from eval.judging.hits import LOC_FIGURES

BASELINES = {"centre_box": "centre box (oracle size)", "full_image": "full image"}
COLUMNS = {
    "top1_cls": "Top-1 cls",
    "top5_cls": "Top-5 cls",
    "gt_known_loc": "GT-known",
    "top1_loc": "Top-1 Loc",
    "top5_loc": "Top-5 Loc",
    "max_box_acc": "MaxBoxAcc",
    "max_box_acc_v2": "V2",
    "pxap": "PxAP",
    "size_balanced": "size-bal.",
    "centre_box_fails": "centre fails",
}


@dataclass(frozen=True)
class ResultRow:
    """One row of a results.json.

    Attributes:
        key: Its name there: a step, a fusion, or "any".
        kind: "step", "last" (the last of several steps, or the only one), "fusion" or "oracle".
        label: What people read.
        figures: Its figures.
    """

    key: str
    kind: Literal["step", "last", "fusion", "oracle"]
    label: str
    figures: dict[str, Any]


def rows_of_results(results: dict[str, Any]) -> list[ResultRow]:
    """Every row of a results.json: steps, fusions, and the any-step oracle."""
    *earlier, last = results["steps"]
    rows = [ResultRow(step, "step", f"step {step}", results["steps"][step]) for step in earlier]
    rows.append(ResultRow(last, "last", f"step {last}" + (" (last)" if earlier else ""), results["steps"][last]))
    rows += [ResultRow(name, "fusion", f"fusion {name}", figures) for name, figures in results["fusions"].items()]
    if results["any_step_oracle"] is not None:
        rows.append(ResultRow(ANY_STEP, "oracle", "any step (oracle)", results["any_step_oracle"]))
    return rows


def headline_values(figures: dict[str, Any], policy: str) -> dict[str, float | None]:
    """The figures of a row that tables show, those that depend on a threshold at that of a policy.

    Args:
        figures: Figures of a row of results.json.
        policy: "val" or "fixed".
    """
    by_policy = (*LOC_FIGURES, *SIZE_FIGURES)
    return {name: figures[name][policy] if name in by_policy else figures[name] for name in COLUMNS}


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _cells(figures: dict[str, Any], policy: str) -> list[str]:
    return [_percent(value) for value in headline_values(figures, policy).values()]


def caption(results: dict[str, Any]) -> str:
    """Which threshold each column was read at, in words."""
    thresholds = results["thresholds"]
    if thresholds["headline"] == "val":
        loc = f"Loc columns: threshold of each row chosen on {thresholds['chosen_on']}."
    else:
        loc = f"Loc columns: fixed threshold {thresholds['fixed']:g}; no validation split was used."
    oracle = (
        "MaxBoxAcc and V2 take the best threshold on the scored images themselves (oracle, as the field reports them)."
    )
    sizes = "size-bal.: GT-known averaged over object sizes; centre fails: where the best centred box misses."
    return f"{loc} {oracle} {sizes} IoU 0.5; protocol {results['protocol']}; {results['images']} images."


CHOICES = {
    "fixed": "fixed, as published",
    "selection": "chosen on val by selection boxes",
    "val": "chosen on val by its boxes",
    "oracle": "best on the scored images (oracle)",
}
LOOKED_AT = {"none": "none", "selection": "selection, val", "val": "true, val", "test": "true, scored"}


def threshold_table(results: dict[str, Any]) -> Table | None:
    """The last step under each way to come by a threshold, from no box to the oracle; None without boxes."""
    choices = results["threshold_choices"]
    if choices is None:
        return None
    table = Table(title="How the threshold was come by, last step, percent", title_justify="left")
    for name in ("threshold", "boxes looked at", "GT-known", "Top-1 Loc", "Top-5 Loc", "below oracle"):
        table.add_column(name, justify="left" if name in ("threshold", "boxes looked at") else "right")
    for way in choices:
        name = CHOICES.get(way["choice"], f"{way['choice']}, each map's own")
        figures = [_percent(way[figure]) for figure in (*LOC_FIGURES, "below_oracle")]
        table.add_row(name, LOOKED_AT[way["boxes"]], *figures)
    return table


def results_table(all_results: Sequence[dict[str, Any]]) -> Table:
    """One table of one or more results, step by step.

    Args:
        all_results: Contents of results.json, of the same dataset and protocol.
    """
    first = all_results[0]
    table = Table(
        title=f"{first['dataset']} {first['data']['split']}, percent", caption=caption(first), caption_justify="left"
    )
    table.add_column("network", no_wrap=True)
    table.add_column("row", no_wrap=True)
    for column in COLUMNS.values():
        table.add_column(column, justify="right")
    for results in all_results:
        policy = results["thresholds"]["headline"]
        for number, row in enumerate(rows_of_results(results)):
            table.add_row(results["model"] if number == 0 else "", row.label, *_cells(row.figures, policy))
        table.add_section()
    for name, figure in (first["baselines"] or {}).items():
        cells = [_percent(figure.get(column)) for column in COLUMNS]
        table.add_row("baseline", BASELINES[name], *cells)
    return table

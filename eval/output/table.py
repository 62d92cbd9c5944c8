"""Results as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table

BASELINES = {"centre_box": "centre box (oracle size)", "full_image": "full image"}
COLUMNS = ("Top-1 cls", "Top-5 cls", "GT-known", "Top-1 Loc", "Top-5 Loc", "MaxBoxAcc", "V2", "PxAP")


def rows_of_results(results: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Label and figures of every row of a results.json: steps, fusions, and the any-step oracle."""
    for step, figures in results["steps"].items():
        last = " (last)" if len(results["steps"]) > 1 and step == list(results["steps"])[-1] else ""
        yield f"step {step}{last}", figures
    for fusion, figures in results["fusions"].items():
        yield f"fusion {fusion}", figures
    if results["any_step_oracle"] is not None:
        yield "any step (oracle)", results["any_step_oracle"]


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _cells(figures: dict[str, Any], policy: str) -> list[str]:
    values = [
        figures["top1_cls"],
        figures["top5_cls"],
        *(figures[name][policy] for name in ("gt_known_loc", "top1_loc", "top5_loc")),
        figures["max_box_acc"],
        figures["max_box_acc_v2"],
        figures["pxap"],
    ]
    return [_percent(value) for value in values]


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
    return f"{loc} {oracle} IoU 0.5; protocol {results['protocol']}; {results['images']} images."


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
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for results in all_results:
        policy = results["thresholds"]["headline"]
        for number, (label, figures) in enumerate(rows_of_results(results)):
            table.add_row(results["model"] if number == 0 else "", label, *_cells(figures, policy))
        table.add_section()
    for name, figure in (first["baselines"] or {}).items():
        cells = [_percent(figure["gt_known_loc"] if column == "GT-known" else None) for column in COLUMNS]
        table.add_row("baseline", BASELINES[name], *cells)
    return table

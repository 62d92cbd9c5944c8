"""Results as tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich import box
from rich.table import Table

from eval.analysis.curves import ANY_STEP
from eval.analysis.object_sizes import SIZE_FIGURES
from eval.judging.hits import LOC_FIGURES

BASELINES = {"centre_box": "centre box (oracle)", "full_image": "full image"}
# Headings of two lines, so that eight figures stand side by side in 80 characters.
COLUMNS = {
    "top1_cls": "Top-1\ncls",
    "top5_cls": "Top-5\ncls",
    "gt_known_loc": "GT-\nknown",
    "top1_loc": "Top-1\nLoc",
    "top5_loc": "Top-5\nLoc",
    "max_box_acc": "MaxBox\nAcc",
    "max_box_acc_v2": "MaxBox\nAccV2",
    "pxap": "PxAP",
    "size_balanced": "by\nsize",
    "centre_box_fails": "centre\nfails",
}
FIGURE_WIDTH = 6  # "100.00"
LABEL_WIDTH = 24  # longer labels go on in the next line


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


def threshold_words(results: dict[str, Any]) -> str:
    """Where the thresholds of the Loc figures come from, in words.

    >>> threshold_words({"thresholds": {"headline": "fixed", "fixed": 0.2, "chosen_on": None}})
    'fixed threshold 0.2'
    """
    thresholds = results["thresholds"]
    if thresholds["headline"] == "val":
        return f"thresholds chosen on {thresholds['chosen_on']}"
    why = f" ({thresholds['chosen_on']})" if thresholds["chosen_on"] else ""
    return f"fixed threshold {thresholds['fixed']:g}{why}"


def iou_words(results: dict[str, Any]) -> str:
    """The IoU that a hit demands under the protocol, in words: "IoU ≥ 0.5" or "IoU > 0.5"."""
    return "IoU > 0.5" if results["conventions"]["gt_known_strict"] else "IoU ≥ 0.5"


def caption(results: dict[str, Any]) -> str:
    """How the columns are to be read, in words."""
    thresholds = results["thresholds"]
    source = thresholds.get("fixed_from")
    sentences = [
        f"Loc columns: {threshold_words(results)}.",
        *([f"Fixed threshold {thresholds['fixed']:g}: {source}."] if source else []),
        "MaxBoxAcc and MaxBoxAccV2: at the best threshold for the scored images (an oracle, as papers report them).",
    ]
    if results["metrics"].get("size_balanced"):
        sentences.append(
            "By size: GT-known Loc averaged over object sizes. Centre fails: GT-known Loc of the images where the best "
            "centred box misses."
        )
    sentences.append(f"{iou_words(results)}; protocol {results['protocol']}; {results['images']} images.")
    return " ".join(sentences)


CHOICES = {
    "fixed": "fixed, as published",
    "selection": "chosen by selection boxes",
    "val": "chosen on val",
    "oracle": "best on the scored images (oracle)",
}
LOOKED_AT = {"none": "none", "selection": "selection", "val": "val", "test": "scored images"}


def threshold_table(results: dict[str, Any]) -> Table | None:
    """The last step under each way to come by a threshold, from no box to the oracle; None without boxes."""
    choices = results["threshold_choices"]
    if choices is None:
        return None
    title = f"{results['model']}, last step: percent for each choice of threshold"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("threshold")
    table.add_column("boxes\nused")
    for name in ("GT-\nknown", "Top-1\nLoc", "Top-5\nLoc", "below\noracle"):
        table.add_column(name, justify="right", no_wrap=True)
    for way in choices:
        name = CHOICES.get(way["choice"], f"{way['choice']} (per map)")
        figures = [_percent(way[figure]) for figure in (*LOC_FIGURES, "below_oracle")]
        table.add_row(name, LOOKED_AT[way["boxes"]], *figures)
    return table


def _threshold_sentence(results: dict[str, Any]) -> str:
    thresholds, value = results["thresholds"], results["headline"]["threshold"]
    if thresholds["headline"] == "val":
        return f"threshold {value:g}, chosen on {thresholds['chosen_on']}"
    return threshold_words(results)


def headline_text(results: dict[str, Any]) -> str:
    """The answer in plain words: figure, interval, protocol, threshold and what a box scores that saw no image."""
    headline = results["headline"]
    where = f"{results['dataset']} {results['data']['split']}"
    images = results["images"] - results["data"]["without_box"]
    if headline["gt_known_loc"] is None:
        if headline["pxap"] is None:
            return f"{results['model']} on {where}: Top-1 cls {headline['top1_cls']:.1f} %; no image has a box or mask."
        return f"{results['model']} on {where}: PxAP {headline['pxap']:.1f} % over {results['images']:,} images."
    low, high = headline["gt_known_loc_low"], headline["gt_known_loc_high"]
    interval = "" if low is None else f", 95 % interval [{low:.1f}, {high:.1f}]"
    sentences = [
        f"{results['model']} finds the object in {headline['gt_known_loc']:.1f} % of {images:,} images of {where} "
        f"(GT-known Loc, {iou_words(results)}{interval}).",
        f"Protocol {results['protocol']}; {_threshold_sentence(results)}.",
    ]
    if headline["centre_box_gt_known_loc"] is not None:
        sentences.append(
            f"The best centred box, which sees no image, scores {headline['centre_box_gt_known_loc']:.1f} %."
        )
    return " ".join(sentences)


def results_tables(all_results: Sequence[dict[str, Any]], width: int = 80) -> list[Table]:
    """Results step by step; where the figures do not fit side by side, in several tables below each other.

    Figures that no result has are left out.

    Args:
        all_results: Contents of results.json, of the same dataset and protocol.
        width: Characters of a line.
    """
    first = all_results[0]
    rows: list[tuple[str, dict[str, float | None], bool]] = []
    for results in all_results:
        several = len(all_results) > 1
        policy = results["thresholds"]["headline"]
        if several:
            rows.append((results["model"], {}, False))
        rows += [
            ("  " * several + row.label, headline_values(row.figures, policy), False)
            for row in rows_of_results(results)
        ]
        label, values, _ = rows[-1]
        rows[-1] = (label, values, True)
    for name, figures in (first["baselines"] or {}).items():
        rows.append((BASELINES[name], {key: figures.get(key) for key in COLUMNS}, False))
    shown = [key for key in COLUMNS if any(values.get(key) is not None for _, values, _ in rows)]
    label_width = min(max(len(label) for label, _, _ in rows), LABEL_WIDTH)
    most = max((width - label_width) // (FIGURE_WIDTH + 1), 1)
    return [_table(rows, shown[start : start + most], label_width) for start in range(0, max(len(shown), 1), most)]


def _table(
    rows: Sequence[tuple[str, dict[str, float | None], bool]], columns: Sequence[str], label_width: int
) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False)
    table.add_column("percent", width=label_width, overflow="fold")
    for column in columns:
        table.add_column(COLUMNS[column], justify="right", no_wrap=True, width=FIGURE_WIDTH)
    for label, values, ends in rows:
        if values and all(values.get(column) is None for column in columns):
            if ends:
                table.add_section()
            continue
        table.add_row(label, *(_percent(values.get(column)) if values else "" for column in columns), end_section=ends)
    return table

"""The content of results.json, gathered from what was counted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from eval.analysis.baselines import baselines
from eval.analysis.curves import ANY_STEP, Counts
from eval.analysis.figures import row_figures
from eval.analysis.object_sizes import SIZE_FIGURES, object_size_figures
from eval.analysis.summary import breakdown_figures, interval_figures
from eval.judging.hits import CLS_FIGURES, LOC_FIGURES
from eval.judging.split import JudgedSplit
from eval.output.environment import environment
from wsol.results import SCHEMA

BOX_FIGURES = (
    "breakdown",
    "mean_iou",
    "iou_histogram",
    "candidates",
    "per_class",
    "per_size",
    "intervals",
    "object_sizes",
)
DIGITS = 6  # of thresholds: 0.293, not 0.29300000000000004


def results_document(
    judged: JudgedSplit,
    counts: Counts,
    *,
    model: str,
    command: str,
    map_size: tuple[int, int],
    network: Mapping[str, Any] | None,
    limit: int | None,
    replicates: int,
) -> dict[str, Any]:
    """Everything that results.json says.

    Args:
        judged: The judged split.
        counts: What was counted from its records.
        model: Name of what was judged.
        command: The command line that gives the same figures again.
        map_size: Height and width of the score maps.
        network: Facts of the network; None where maps were given.
        limit: The user's limit of images.
        replicates: Resamples of the intervals; 0 leaves them out.
    """
    figures = {row: row_figures(judged, counts, row) for row in judged.rows}
    if ANY_STEP in counts.curves or ANY_STEP in counts.classification:
        figures[ANY_STEP] = row_figures(judged, counts, ANY_STEP)
    found_baselines = _baselines(judged, counts, map_size)
    box_figures = _box_figures(judged, counts, found_baselines, map_size, replicates)
    for row, of_row in figures.items():
        of_row |= _by_policy(box_figures["object_sizes"], row)
    truth, protocol, steps = judged.ground_truth, judged.protocol, judged.steps
    names = truth.image_ids
    document = {
        "schema": SCHEMA,
        "model": model,
        "dataset": truth.dataset,
        "protocol": protocol.name,
        "environment": environment(),
        "command": command,
        "images": len(truth),
        "metrics": figures[steps[-1]],
        "steps": {step: figures[step] for step in steps},
        "fusions": {row: figures[row] for row in judged.rows if row not in steps},
        "any_step_oracle": figures.get(ANY_STEP),
        "any_step_after_filter_oracle": None if judged.filtered_steps is None else judged.filtered_steps.compute(),
        "thresholds": _thresholds(judged, counts),
        **box_figures,
        "threshold_choices": threshold_choices(figures[steps[-1]]),
        "attention_shift": None if judged.attention_shift is None else judged.attention_shift.compute(),
        "network": None if network is None else dict(network),
        "data": {
            "split": truth.split,
            "classes": truth.num_classes,
            "limit": limit,
            "several_objects": sum(len(boxes) > 1 for boxes in truth.boxes),
            "without_box": sum(len(boxes) == 0 for boxes in truth.boxes),
        },
        "conventions": dataclasses.asdict(protocol),
        "faults": {
            "unreadable": {names[place]: judged.faults[names[place]] for place in counts.unreadable},
            "degenerate_maps": [names[place] for place in counts.degenerate],
        },
        "baselines": found_baselines,
    }
    return document | {"headline": headline(document)}


def headline(results: Mapping[str, Any]) -> dict[str, Any]:
    """The answer in one flat object: the last step's figures at the headline's threshold policy.

    Args:
        results: Content of results.json.

    Returns:
        ``step``, ``threshold_policy``, ``threshold``, the ten figures, the interval of GT-known Loc (``…_low``,
        ``…_high``) and the GT-known Loc of the centre box, which has seen no image; None for what is not known.
    """
    step = list(results["steps"])[-1]
    thresholds, metrics = results["thresholds"], results["metrics"]
    policy = thresholds["headline"]
    rows = results["intervals"]["rows"] if results["intervals"] else {}
    low, high = rows[step]["gt_known_loc"][policy] if rows else (None, None)
    centre = results["baselines"]["centre_box"]["gt_known_loc"] if results["baselines"] else None
    return {
        "step": step,
        "threshold_policy": policy,
        "threshold": thresholds["fixed"] if policy == "fixed" else thresholds["val"][step],
        **{figure: metrics[figure] for figure in CLS_FIGURES},
        **{figure: metrics[figure][policy] for figure in (*LOC_FIGURES, *SIZE_FIGURES)},
        **{figure: metrics[figure] for figure in ("max_box_acc", "max_box_acc_v2", "pxap")},
        "gt_known_loc_low": low,
        "gt_known_loc_high": high,
        "centre_box_gt_known_loc": centre,
    }


def threshold_choices(figures: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """A row's localization by each way to come by a threshold, side by side, from no box at all to the oracle.

    Args:
        figures: Figures of a row of results.json.

    Returns:
        One entry per way: ``choice``, ``boxes`` (which boxes were looked at: "none", "selection", "val" or "test"),
        the three Loc figures, and ``below_oracle``, how many points of GT-known Loc it gives up; None where no image
        has a box.
    """
    if figures["by_rule"] is None:
        return None
    ways = [(rule, "none", found) for rule, found in figures["by_rule"].items()]
    for choice, boxes in (("fixed", "none"), ("selection", "selection"), ("val", "val"), ("oracle", "test")):
        ways.append((choice, boxes, {name: figures[name].get(choice) for name in LOC_FIGURES}))
    best = figures["gt_known_loc"]["oracle"]
    return [
        {"choice": choice, "boxes": boxes, **found, "below_oracle": best - found["gt_known_loc"]}
        for choice, boxes, found in ways
        if found["gt_known_loc"] is not None
    ]


def _thresholds(judged: JudgedSplit, counts: Counts) -> dict[str, Any]:
    thresholds = judged.thresholds
    return {
        "fixed": round(thresholds.fixed, DIGITS),
        "fixed_from": thresholds.fixed_from or None,
        "val": None if thresholds.val is None else _rounded(thresholds.val),
        "oracle": _rounded({row: curves.best_threshold for row, curves in counts.curves.items()}),
        "chosen_on": thresholds.chosen_on,
        "selection": None if thresholds.selection is None else _rounded(thresholds.selection),
        "selected_on": thresholds.selected_on,
        "rules": list(thresholds.rules),
        "headline": thresholds.policy,
    }


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {row: round(value, DIGITS) for row, value in values.items()}


def _box_figures(
    judged: JudgedSplit,
    counts: Counts,
    found_baselines: Mapping[str, Any] | None,
    map_size: tuple[int, int],
    replicates: int,
) -> dict[str, Any]:
    """Intervals, kinds of error and results per group; None each where no image has a box."""
    if not counts.curves or found_baselines is None:
        return dict.fromkeys(BOX_FIGURES)
    height, width = map_size
    x0, y0, x1, y1 = found_baselines["centre_box"]["box"]
    sizes = object_size_figures(judged, (x0, y0, x1, y1), (width, height), replicates)
    intervals = None
    if replicates:
        intervals = interval_figures(judged, replicates)
        for step in judged.steps:
            intervals["rows"][step] |= {figure: sizes[step][figure]["intervals"] for figure in SIZE_FIGURES}
    for of_row in sizes.values():
        for figure in SIZE_FIGURES:
            del of_row[figure]["intervals"]  # they stand with the others
    return breakdown_figures(judged) | {"intervals": intervals, "object_sizes": sizes}


def _by_policy(sizes: Mapping[str, Any] | None, row: str) -> dict[str, dict[str, float | None]]:
    """The figures by object size of a row, as its Loc figures: one value under each threshold policy."""
    found = {} if sizes is None else sizes.get(row, {})
    return {
        figure: {policy: found.get(figure, {}).get(policy) for policy in ("fixed", "val", "oracle")}
        for figure in SIZE_FIGURES
    }


def _baselines(judged: JudgedSplit, counts: Counts, map_size: tuple[int, int]) -> dict[str, Any] | None:
    """What boxes score that never saw an image; None where no image has a box."""
    if not counts.curves:
        return None
    height, width = map_size
    found = baselines(judged.ground_truth, judged.protocol, (width, height))
    return {name: {"gt_known_loc": figure.percent, "box": list(figure.box)} for name, figure in found.items()}

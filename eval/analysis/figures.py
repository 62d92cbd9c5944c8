"""Figures of a judged split under the keys of results.json."""

from __future__ import annotations

from typing import Any

import numpy as np

from eval.analysis.curves import ANY_STEP, Counts, Curves
from eval.judging.hits import LOC_FIGURES
from eval.judging.split import JudgedSplit


def row_figures(judged: JudgedSplit, counts: Counts, row: str) -> dict[str, Any]:
    """All figures of one row.

    A figure is None where what it takes is not known: no class scores, no boxes, no masks.

    Args:
        judged: The judged split.
        counts: What was counted from its records.
        row: A step, a fusion or "any".
    """
    classification = counts.classification.get(row, {})
    pixels = judged.pixel_metrics.get(row)
    curves = counts.curves.get(row)
    rules = judged.thresholds.rules
    figures: dict[str, Any] = {
        "top1_cls": classification.get("top1_cls"),
        "top5_cls": classification.get("top5_cls"),
        **{name: _at_thresholds(judged, counts, row, name) for name in LOC_FIGURES},
        "max_box_acc": None,
        "max_box_acc_v2": None,
        "pxap": None if pixels is None else pixels.compute(),
        "by_rule": None,
    }
    if curves is None:
        return figures
    known = LOC_FIGURES if judged.has_logits else LOC_FIGURES[:1]
    figures["by_rule"] = {
        rule: {name: curves.at_policy[rule][name] if name in known else None for name in LOC_FIGURES} for rule in rules
    }
    by_iou, by_iou_v2 = curves.max_box_acc(), curves.max_box_acc_v2()
    return figures | {
        "max_box_acc": by_iou[0.5],
        "max_box_acc_v2": float(np.mean(list(by_iou_v2.values()))),
        "max_box_acc_by_iou": {str(iou): value for iou, value in by_iou.items()},
        "max_box_acc_v2_by_iou": {str(iou): value for iou, value in by_iou_v2.items()},
    }


def _at_thresholds(judged: JudgedSplit, counts: Counts, row: str, figure: str) -> dict[str, float | None]:
    """One localization figure under each threshold policy; "selection" where selection boxes were given."""
    curves = counts.curves.get(row)
    selection = judged.thresholds.selection
    found: dict[str, float | None] = dict.fromkeys(("fixed", "val", "oracle"))
    if selection is not None:
        found["selection"] = None
    if curves is None or (figure != "gt_known_loc" and not judged.has_logits):
        return found
    found["fixed"] = curves.at_policy["fixed"][figure]
    found["val"] = _at_val(judged, curves, row, figure)
    found["oracle"] = float(curves.localization[figure].max())
    if selection is not None and row in selection:
        found["selection"] = curves.at(selection[row])[figure]
    return found


def _at_val(judged: JudgedSplit, curves: Curves, row: str, figure: str) -> float | None:
    """The figure at the row's threshold chosen on val, if there is one."""
    val = judged.thresholds.val
    if val is None or row not in val:
        return None
    # "Any step" has one threshold for all steps, at which no record keeps its hits.
    return curves.at(val[row])[figure] if row == ANY_STEP else curves.at_policy["headline"][figure]

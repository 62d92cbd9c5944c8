"""Where the thresholds of an evaluation come from: fixed, chosen on val, or read from earlier results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from eval.analysis.curves import count_split
from eval.judging.split import JudgedSplit
from eval.judging.thresholds import Thresholds
from eval.maps.opened import Opened
from eval.run import Run, judge
from wsol.data import DatasetError
from wsol.results import read_results
from wsol.sweep import cam_thresholds


def choose_thresholds(runs: Sequence[Run]) -> list[Thresholds]:
    """For every run the fixed threshold, and those chosen on the validation split where there is one with boxes.

    Raises:
        UserError: If earlier results cannot be read.
    """
    options, opened = runs[0].options, runs[0].opened
    fixed = options.threshold
    if fixed is None:
        fixed = opened.protocol.threshold_for(opened.dataset.ground_truth.dataset)

    def without(reason: str) -> list[Thresholds]:
        return [Thresholds(fixed, chosen_on=f"no threshold was chosen on val: {reason}")] * len(runs)

    if options.val_results is not None:
        return [_earlier_thresholds(fixed, run.options.val_results) for run in runs if run.options.val_results]
    if not options.val:
        return without("--no-val was given")
    if options.split != "test":
        return without(f"{options.split} is judged")
    if opened.network is None and options.val_score_maps is None:
        return without("its maps come with --val-score-maps DIR")
    try:
        dataset = opened.split("val")
    except DatasetError as error:
        if options.selection_boxes is not None:
            raise
        return without(str(error))
    truth, path = dataset.ground_truth, options.selection_boxes
    selection = None if path is None else truth.with_boxes(path)
    has_boxes = any(len(boxes) for boxes in truth.boxes)
    if not has_boxes and selection is None:
        return without("the split has no boxes")
    chosen = []
    process = runs[0].process
    for judged in judge(runs, dataset, [Thresholds(fixed)] * len(runs), selection):
        of_run = Thresholds(fixed, chosen_on="no threshold was chosen on val: the split has no boxes")
        if has_boxes:
            best = process.first_only(partial(_best_thresholds, judged))
            of_run = Thresholds(fixed, best, f"{truth.dataset} val, {len(dataset)} images")
        if selection is not None:
            boxed = sum(len(boxes) > 0 for boxes in selection.boxes)
            selected_on = f"boxes of {path} for {boxed} of {len(dataset)} images of {truth.dataset} val"
            best = process.first_only(partial(_best_thresholds, judged.by_selection()))
            of_run = replace(of_run, selection=best, selected_on=selected_on)
        chosen.append(of_run)
    return chosen


def fixed_from_words(opened: Opened) -> str:
    """Where the fixed threshold comes from, in words."""
    if opened.options.threshold is not None:
        return "given with --threshold"
    return opened.protocol.threshold_source(opened.dataset.ground_truth.dataset)


def _best_thresholds(judged: JudgedSplit) -> dict[str, float]:
    return {row: curves.best_threshold for row, curves in count_split(judged).curves.items()}


def _earlier_thresholds(fixed: float, path: Path) -> Thresholds:
    """Thresholds that an earlier evaluation chose, or found best on its own images."""
    earlier = read_results(path).content
    candidates = cam_thresholds()
    # results.json rounds; the threshold itself decides the last bit of a cut.
    chosen = {
        row: float(candidates[np.abs(candidates - threshold).argmin()])
        for row, threshold in (earlier["thresholds"]["val"] or earlier["thresholds"]["oracle"]).items()
    }
    return Thresholds(fixed, chosen, f"{earlier['dataset']} val, read from {path}")

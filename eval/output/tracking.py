"""The headline of an evaluation at experiment trackers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.options import EvaluationOptions
from wsol.command_line.values import plain
from wsol.runtime.trackers import TrackerName, open_trackers


def track_evaluation(names: Sequence[TrackerName], results: Mapping[str, Any], options: EvaluationOptions) -> None:
    """Record the numbers of the headline object, as ``headline/gt_known_loc`` and so on.

    Args:
        names: Trackers, by name.
        results: Content of results.json.
        options: What was evaluated; files of the trackers go to its output.

    Raises:
        UserError: If a tracker's package is not installed.
    """
    settings = {name: plain(value) for name, value in vars(options).items() if value is not None}
    title = f"{results['model'] or 'score maps'} on {results['dataset']} {results['data']['split']}"
    values = {f"headline/{name}": float(value) for name, value in results["headline"].items() if _is_number(value)}
    for tracker in open_trackers(names, options.output or Path(), title, settings):
        tracker.log(values, 0, "evaluation")
        tracker.close()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

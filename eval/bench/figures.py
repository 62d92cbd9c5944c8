"""What the finished runs of a comparison found, as one table: a row for each run, protocol and map method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from eval.bench.description import FIGURES, Description
from eval.bench.runs import Run
from eval.bench.state import read_record, read_seconds
from tdam.errors import UserError
from wsol.results import read_results
from wsol.training.log import LOG_FILE

CONFIGURATION = ("protocol", "network", "method", "map")
COSTS = ("train_seconds", "evaluation_seconds", "parameters", "macs")


def finished_rows(description: Description, runs: Sequence[Run]) -> pd.DataFrame:
    """Figures and costs of finished runs.

    Args:
        description: The comparison.
        runs: Those of its runs that are finished.

    Returns:
        Columns `CONFIGURATION`, ``seed``, the figures (percent, the last step at the headline's threshold),
        ``threshold``, ``policy``, ``centre_box``, and `COSTS`: seconds of training without validation, seconds of
        judging val and test, parameters, multiply-accumulates of one image. ``low`` and ``high`` are the 95 % interval
        of GT-known Loc over images, ``folder`` that of the results.

    Raises:
        UserError: If there is none, or results are damaged.
    """
    rows = [
        _row(description, run, protocol, name)
        for run in runs
        for protocol in description.protocols
        for name in run.maps
    ]
    if not rows:
        raise UserError(f"{description.output}: no run of {description.name} is finished yet")
    return pd.DataFrame(rows)


def mean_curves(description: Description, runs: Sequence[Run], figure: str = "gt_known_loc") -> pd.DataFrame:
    """A figure over the threshold, mean over seeds: columns `CONFIGURATION`, ``threshold`` and the figure.

    Args:
        description: The comparison.
        runs: Those of its runs that are finished.
        figure: A column of curves.csv.
    """
    tables = []
    for run in runs:
        for protocol in description.protocols:
            for name in run.maps:
                results = read_results(run.evaluation_folder(protocol, name))
                if results.curves.empty:
                    continue
                last = results.curves[results.curves["step"] == list(results.content["steps"])[-1]]
                configuration = dict(zip(CONFIGURATION, (protocol, run.network, run.method, name), strict=True))
                tables.append(last[["threshold", figure]].assign(**configuration))
    if not tables:
        return pd.DataFrame()
    return pd.concat(tables).groupby([*CONFIGURATION, "threshold"], sort=False, as_index=False)[figure].mean()


def _row(description: Description, run: Run, protocol: str, map_method: str) -> dict[str, Any]:
    folder = run.evaluation_folder(protocol, map_method)
    content = read_results(folder).content
    headline = content["headline"]
    record = read_record(run, description.evaluation)
    assert record is not None
    return {
        **dict(zip(CONFIGURATION, (protocol, run.network, run.method, map_method), strict=True)),
        "seed": run.seed,
        **{figure: headline.get(figure) for figure in FIGURES},
        "threshold": headline["threshold"],
        "policy": headline["threshold_policy"],
        "centre_box": headline["centre_box_gt_known_loc"],
        "train_seconds": _train_seconds(run, record.images),
        "evaluation_seconds": read_seconds(run, protocol, map_method),
        "parameters": record.parameters or (content["network"] or {}).get("parameters"),
        "macs": record.macs,
        "low": headline["gt_known_loc_low"],
        "high": headline["gt_known_loc_high"],
        "folder": str(folder),
    }


def _train_seconds(run: Run, images: int | None) -> float | None:
    """Seconds of all epochs at the median epoch's speed.

    What a run lost by being killed does not count, and an epoch that other programs slowed counts little.
    """
    path = run.folder / LOG_FILE
    if images is None or not path.is_file():
        return None
    speeds = pd.read_csv(path)["images_per_second"]
    return float(len(speeds) * images / speeds.median())

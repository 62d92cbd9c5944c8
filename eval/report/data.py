"""What the report shows, gathered from a results folder: numbers, words and pictures, without any HTML."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from eval.output.gallery import Gallery
from eval.output.results import Evaluation
from eval.output.table import BASELINES, COLUMNS, headline_values, iou_words, rows_of_results
from eval.report.template import percent, signed


@dataclass(frozen=True)
class Report:
    """What the report shows.

    Attributes:
        evaluation: Results and curves.
        gallery: Chosen images.
    """

    evaluation: Evaluation
    gallery: Gallery

    @property
    def results(self) -> dict[str, Any]:
        """Content of results.json."""
        return self.evaluation.results

    @property
    def curves(self) -> pd.DataFrame:
        """Rows of curves.csv, empty where no image has a box."""
        return self.evaluation.curves

    @property
    def steps(self) -> list[str]:
        """Names of the steps."""
        return self.evaluation.steps

    @property
    def policy(self) -> str:
        """Threshold policy of the headline figures: "val" or "fixed"."""
        return self.evaluation.policy


def read_report(folder: Path) -> Report:
    """Read a results folder.

    Args:
        folder: Folder that `wsol-eval --output` wrote.

    Returns:
        Its contents.

    Raises:
        UserError: If a file is missing, damaged or of another schema.
    """
    return Report(Evaluation.read(folder), Gallery.read(folder))


def shown_gallery(gallery: Gallery) -> list[dict[str, Any]]:
    """Entries of a gallery with their pictures as data URLs."""
    return [
        entry
        | {
            "photo": _data_url(gallery.pictures[entry["photo"]]),
            "steps": [step | {"map": _data_url(gallery.pictures[step["map"]])} for step in entry["steps"]],
        }
        for entry in gallery.entries
    ]


def _data_url(webp: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(webp).decode('ascii')}"


def headline_sentences(report: Report) -> Iterator[str]:
    """The answer in words.

    Args:
        report: Contents of a results folder.

    Yields:
        One to three sentences.
    """
    results, policy = report.results, report.policy
    last = results["headline"]["gt_known_loc"]
    if last is None:
        yield f"{results['model']} is scored by its pixels: {percent(results['metrics']['pxap'])} PxAP."
        return
    images = results["images"] - results["data"]["without_box"]
    yield (
        f"{results['model']} localizes {percent(last)} of {images:,} images of {results['dataset']} "
        f"{results['data']['split']} (GT-known Loc, {iou_words(results)})"
        + (
            f" and classifies {percent(results['metrics']['top1_cls'])} correctly."
            if results["metrics"]["top1_cls"] is not None
            else "."
        )
    )
    yield from _baseline_sentence(results, last)
    if len(report.steps) == 1:
        return
    first = results["steps"][report.steps[0]]["gt_known_loc"][policy]
    change = last - first
    words = "the same as" if abs(change) < 0.05 else f"{abs(change):.1f} points {'above' if change > 0 else 'below'}"
    sentence = f"Its last step is {words} its first ({percent(first)})"
    net = _net_gain(results)
    yield sentence + (
        f"; image by image the change is {signed(100 * net['mean'])} points, 95\u00a0% interval "
        f"[{signed(100 * net['low'])}, {signed(100 * net['high'])}]: {_verdict(net)}."
        if net
        else "."
    )
    several = _net_gain(results, "several_objects")
    if net and several and _verdict(several) != _verdict(net):
        yield (
            f"In images with several objects the change is {signed(100 * several['mean'])} points "
            f"[{signed(100 * several['low'])}, {signed(100 * several['high'])}]: {_verdict(several)}."
        )


def _baseline_sentence(results: dict[str, Any], last: float) -> Iterator[str]:
    """What the figure is worth against a box that saw no image."""
    if not results["baselines"]:
        return
    centre = results["baselines"]["centre_box"]["gt_known_loc"]
    change = last - centre
    words = "as much as" if abs(change) < 0.05 else f"{abs(change):.1f} points {'more' if change > 0 else 'less'} than"
    yield f"That is {words} one centred box of the best size, the same in every image ({percent(centre)})."


def _net_gain(results: dict[str, Any], group: str = "all") -> dict[str, float] | None:
    shift = results.get("attention_shift")
    pairs = shift["groups"][group]["pairs"] if shift else {}
    return pairs[list(pairs)[-1]].get("net_gain") if pairs else None


def _verdict(figure: dict[str, float]) -> str:
    if figure["low"] > 0:
        return "the last step is the better one"
    if figure["high"] < 0:
        return "the last step is the worse one"
    return "these images do not tell the two apart"


def headline_rows(report: Report) -> list[dict[str, Any]]:
    """Rows of the headline table: steps, fusions, and the any-step oracle.

    Args:
        report: Contents of a results folder.

    Returns:
        Per row `name`, `kind` ("step", "last", "fusion" or "oracle") and `cells`, each with `value` in percent or None
        and `interval`, (low, high) or None. Baselines come last, of kind "baseline".
    """
    rows: list[dict[str, Any]] = []
    for row in rows_of_results(report.results):
        cells = [
            {
                "value": value,
                "interval": _interval(report.results, row.key, key, report.policy) if value is not None else None,
            }
            for key, value in headline_values(row.figures, report.policy).items()
        ]
        name = row.label if len(report.steps) > 1 else "result"
        rows.append({"name": name, "kind": row.kind, "cells": cells})
    for name, figures in (report.results["baselines"] or {}).items():
        cells = [{"value": figures.get(column), "interval": None} for column in COLUMNS]
        rows.append({"name": BASELINES[name], "kind": "baseline", "cells": cells})
    return rows


def _interval(results: dict[str, Any], row: str, figure: str, policy: str) -> tuple[float, float] | None:
    """The interval of a figure, if one was computed."""
    intervals = results.get("intervals")
    found = intervals["rows"].get(row, {}).get(figure) if intervals else None
    if isinstance(found, dict):  # Loc figures have one per threshold policy
        found = found.get(policy)
    return None if found is None else (found[0], found[1])


def error_kinds(report: Report) -> dict[str, dict[str, float]]:
    """Kinds of error of every step (`eval.measures.outcomes.Outcome`), in percent of the images.

    Args:
        report: Contents of a results folder.

    Returns:
        Step -> kind -> percent; empty where no image has a box.
    """
    counts = report.results["breakdown"]
    if not counts:
        return {}
    return {
        step: {kind: 100 * count / sum(counts[step].values()) for kind, count in counts[step].items()}
        for step in report.steps
    }


def class_rows(report: Report) -> list[dict[str, Any]]:
    """Figures of every class at the headline thresholds.

    Args:
        report: Contents of a results folder.

    Returns:
        Per class its `name`, `images`, `top1_cls`, `first` and `last` (GT-known Loc of the first and the last step),
        `change` and `mean_iou` of the last step; all but name and images in percent.
    """
    rows = []
    for row in report.results["per_class"] or []:
        first, last = row["first_step"], row["gt_known_loc"]
        rows.append(
            {
                "name": row["class"],
                "images": row["images"],
                "top1_cls": row["top1_cls"],
                "first": first,
                "last": last,
                "change": None if last is None else last - first,
                "mean_iou": row["mean_iou"],
            }
        )
    return rows


def iou_histograms(report: Report) -> dict[str, list[float]]:
    """How the IoU of each step's box is spread, in percent of the images.

    Args:
        report: Contents of a results folder.

    Returns:
        Step -> percent in each of equally wide bins over [0, 1].
    """
    return {
        step: [100 * count / sum(counts) for count in counts]
        for step, counts in (report.results["iou_histogram"] or {}).items()
    }

"""What the report shows, gathered from a results folder: numbers, words and pictures, without any HTML."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from eval.output.gallery import FOLDER, INDEX, IOU_HIT, read_predictions
from eval.output.results import CURVES, PREDICTIONS, read_results
from eval.output.table import caption, rows_of_results
from eval.report.template import percent, signed
from tdam.errors import UserError

MEDIA_TYPES: Final = {".webp": "image/webp", ".png": "image/png", ".jpg": "image/jpeg"}
HISTOGRAM_BINS: Final = 20


@dataclass(frozen=True)
class Report:
    """Contents of a results folder.

    Attributes:
        results: Content of results.json.
        predictions: Rows of predictions.csv.
        curves: Rows of curves.csv, empty where no image has a box.
        gallery: Entries of the gallery, pictures as data URLs.
    """

    results: dict[str, Any]
    predictions: pd.DataFrame
    curves: pd.DataFrame
    gallery: list[dict[str, Any]]

    @property
    def steps(self) -> list[str]:
        """Names of the steps."""
        return list(self.results["steps"])

    @property
    def policy(self) -> str:
        """Threshold policy of the headline figures: "val" or "fixed"."""
        return str(self.results["thresholds"]["headline"])


def read_report(folder: Path) -> Report:
    """Read a results folder.

    Args:
        folder: Folder that `wsol-eval --output` wrote.

    Returns:
        Its contents.

    Raises:
        UserError: If a file is missing, damaged or of another schema.
    """
    results = read_results(folder)
    try:
        predictions = read_predictions(folder / PREDICTIONS)
        curves = _read_curves(folder / CURVES)
        gallery = read_gallery(folder)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{folder}: cannot be read as a results folder ({error}); evaluate again") from error
    return Report(results, predictions, curves, gallery)


def _read_curves(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype={"step": str})
    except pd.errors.EmptyDataError:  # a split without boxes has no curves
        return pd.DataFrame()


def read_gallery(folder: Path) -> list[dict[str, Any]]:
    """Entries of a results folder's gallery with their pictures as data URLs; none if there is no gallery.

    Args:
        folder: Results folder.

    Returns:
        Entries as `eval.output.gallery.write_gallery` wrote them, names of files replaced by data URLs.
    """
    index = folder / FOLDER / INDEX
    if not index.is_file():
        return []
    entries = json.loads(index.read_text(encoding="utf-8"))
    for entry in entries:
        entry["photo"] = _data_url(index.parent / Path(entry["photo"]).name)
        for step in entry["steps"]:
            step["map"] = _data_url(index.parent / Path(step["map"]).name)
    return entries


def _data_url(path: Path) -> str:
    encoded = base64.b64encode(path.read_bytes()).decode("ascii")
    return f"data:{MEDIA_TYPES[path.suffix]};base64,{encoded}"


def headline_sentences(report: Report) -> Iterator[str]:
    """The answer in words.

    Args:
        report: Contents of a results folder.

    Yields:
        One to three sentences.
    """
    results, policy = report.results, report.policy
    last = results["metrics"]["gt_known_loc"][policy]
    if last is None:
        yield f"{results['model']} is scored by its pixels: {percent(results['metrics']['pxap'])} PxAP."
        return
    yield (
        f"{results['model']} localizes {percent(last)} of {results['images']:,} images of {results['dataset']} "
        f"{results['data']['split']} (GT-known Loc, IoU ≥ 0.5)"
        + (
            f" and names {percent(results['metrics']['top1_cls'])}."
            if results["metrics"]["top1_cls"] is not None
            else "."
        )
    )
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


def policy_sentence(results: dict[str, Any]) -> str:
    """Which thresholds the figures were read at, in words.

    Args:
        results: Content of results.json.

    Returns:
        Sentences.
    """
    return caption(results)


def headline_rows(report: Report) -> list[dict[str, Any]]:
    """Rows of the headline table: steps, fusions, and the any-step oracle.

    Args:
        report: Contents of a results folder.

    Returns:
        Per row `name`, `kind` ("step", "last", "fusion" or "oracle") and `cells`, each with `value` in percent or None
        and `interval`, (low, high) or None.
    """
    rows = []
    for name, figures in rows_of_results(report.results):
        row = name.split()[1]  # "step 1", "fusion mean", "any step (oracle)"
        kind = {"any": "oracle", "fusion": "fusion", "step": "step"}[name.split()[0]]
        if row == report.steps[-1]:
            kind = "last"
        values = {
            "top1_cls": figures["top1_cls"],
            "top5_cls": figures["top5_cls"],
            **{key: figures[key][report.policy] for key in ("gt_known_loc", "top1_loc", "top5_loc")},
            "max_box_acc": figures["max_box_acc"],
            "max_box_acc_v2": figures["max_box_acc_v2"],
            "pxap": figures["pxap"],
        }
        cells = [
            {
                "value": value,
                "interval": _interval(report.results, row, key, report.policy) if value is not None else None,
            }
            for key, value in values.items()
        ]
        rows.append({"name": name, "kind": kind, "cells": cells})
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
    images = report.results["images"]
    return {
        step: {kind.replace("_", " "): 100 * count / images for kind, count in counts[step].items()}
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
    predictions = report.predictions
    first, last = (predictions[predictions["step"] == int(step)] for step in (report.steps[0], report.steps[-1]))
    before = first.groupby("label")["iou"].agg(lambda iou: 100 * iou.ge(IOU_HIT).mean())
    rows = []
    for label, of_class in last.groupby("label"):
        found = 100 * float(of_class["iou"].ge(IOU_HIT).mean())
        rows.append(
            {
                "name": of_class["label_name"].iloc[0],
                "images": len(of_class),
                "top1_cls": 100 * float(of_class["top1_correct"].mean()),
                "first": float(before[label]),
                "last": found,
                "change": found - float(before[label]),
                "mean_iou": 100 * float(of_class["iou"].mean()),
            }
        )
    return rows


def iou_histograms(report: Report) -> dict[str, list[float]]:
    """How the IoU of each step's box is spread, in percent of the images.

    Args:
        report: Contents of a results folder.

    Returns:
        Step -> percent in each of `HISTOGRAM_BINS` equal bins over [0, 1].
    """
    spread = {}
    for step, rows in report.predictions.groupby("step"):
        counts, _ = np.histogram(rows["iou"].fillna(0), bins=HISTOGRAM_BINS, range=(0, 1))
        spread[str(step)] = (100 * counts / len(rows)).tolist()
    return spread

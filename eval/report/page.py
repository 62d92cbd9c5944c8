"""The report of one evaluation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from eval.output.gallery import Gallery
from eval.output.results import Evaluation
from eval.output.table import caption
from eval.report.charts import Series, line_chart, stacked_bars
from eval.report.data import (
    Report,
    class_rows,
    error_kinds,
    headline_rows,
    headline_sentences,
    iou_histograms,
    read_report,
    shown_gallery,
)
from eval.report.template import render, write_page
from wsol.results import REPORT

COLUMNS: Final = (
    ("Top-1 cls", "share of images whose class is predicted first"),
    ("Top-5 cls", "share of images whose class is among the first five"),
    ("GT-known Loc", "share of images whose box of the ground-truth class has IoU ≥ 0.5"),
    ("Top-1 Loc", "GT-known Loc and Top-1 cls at once"),
    ("Top-5 Loc", "GT-known Loc and Top-5 cls at once"),
    ("MaxBoxAcc", "GT-known Loc at the best threshold for the scored images (oracle)"),
    ("V2", "MaxBoxAccV2: best box of all contours, mean over IoU 0.3, 0.5, 0.7 (oracle)"),
    ("PxAP", "pixel average precision against masks"),
    ("size-balanced", "GT-known Loc averaged over the buckets of object size"),
    ("centre fails", "GT-known Loc of the images on which the best centred box of the split is no hit"),
)


@dataclass(frozen=True)
class Column:
    """How a figure of `results.json` is shown.

    Attributes:
        name: Heading.
        meaning: What it means, in words.
        key: Key of the figure.
        scale: Factor from the stored to the shown value.
        digits: Digits after the point.
        signed: Always show the sign.
    """

    name: str
    meaning: str
    key: str
    scale: float = 1
    digits: int = 3
    signed: bool = False


MOVES: Final = (
    Column("box IoU", "IoU of the two steps' boxes", "box_iou"),
    Column("region IoU", "IoU of the thresholded maps", "region_iou"),
    Column("rank correlation", "Spearman's rank correlation of the maps", "rank_correlation"),
    Column("JS distance", "Jensen–Shannon distance of the maps: 0 equal, 1 disjoint", "js_distance"),
    Column("centre moved %", "shift of the centre of mass, percent of the diagonal", "centroid_shift", 100, 1),
)
EFFECTS: Final = (
    Column("class changed %", "share of images with another predicted class", "class_changed", 100, 1),
    Column("confidence", "change of the predicted class's probability", "confidence_change", signed=True),
    Column("gained %", "wrong at the first, right at the second step", "gained", 100, 1),
    Column("lost %", "right at the first, wrong at the second step", "lost", 100, 1),
    Column("net %", "gained minus lost, image by image", "net_gain", 100, 1, signed=True),
)
OF_STEPS: Final = (
    Column("localized %", "share of images whose box has IoU ≥ 0.5", "localized", 100, 1),
    Column("energy in boxes %", "share of the map's mass inside the ground-truth boxes", "energy_in_boxes", 100, 1),
    Column("energy in mask %", "share of the map's mass on the ground-truth mask", "energy_in_mask", 100, 1),
    Column("box area %", "area of the box in percent of the image", "box_area", 100, 1),
    Column("confidence", "probability of the predicted class", "confidence"),
)
CLASSES: Final = (
    ("class", "name of the class"),
    ("images", "images of the class"),
    ("Top-1 cls %", "classified right by the last step"),
    ("first step %", "GT-known Loc of the first step"),
    ("last step %", "GT-known Loc of the last step"),
    ("change", "last minus first step, in points"),
    ("mean IoU %", "mean IoU of the last step's box"),
)
# Words for the kinds of `eval.measures.outcomes.Outcome`, and what they mean; the first that applies.
ERROR_KINDS: Final = {
    "correct": ("correct", "class and box are right"),
    "wrong_class": ("classification error", "the class is wrong"),
    "several_objects": ("multi-instance error", "the box spans several objects"),
    "part": ("localization part error", "more than half of the box lies inside the object: it covers a part"),
    "more": ("localization more error", "the object lies inside the box: it covers background too"),
    "missed": ("other error", "none of these: the box misses the object"),
    "unreadable": ("unreadable", "the image could not be read and counts as a miss"),
}
GROUP_NAMES: Final = {"all": "all images", "one_object": "one object", "several_objects": "several objects"}
OUTCOMES: Final = {
    "gained": "gained: wrong, then right",
    "lost": "lost: right, then wrong",
    "correct": "right at first and last step",
    "wrong": "wrong at first and last step",
}
SINGLE_STEP_OUTCOMES: Final = {"correct": "right", "wrong": "wrong"}


def write_report(folder: str | Path, output: str | Path | None = None) -> Path:
    """Write the report of a results folder.

    Args:
        folder: Folder that `wsol-eval --output` wrote: results.json, predictions.csv, curves.csv and, for the gallery,
            what `eval.output.gallery.Gallery.write` wrote.
        output: File to write; by default report.html in the folder.

    Returns:
        Path of the report.

    Raises:
        UserError: If the folder holds no results or the file cannot be written.
    """
    folder = Path(folder)
    return write_page(Path(output or folder / REPORT), report_page(read_report(folder)))


def write_evaluation(folder: Path, evaluation: Evaluation, gallery: Gallery) -> Path:
    """Write the report of an evaluation that is at hand into its results folder.

    Args:
        folder: Results folder.
        evaluation: What was found.
        gallery: Chosen images.

    Returns:
        Path of the report.
    """
    return write_page(folder / REPORT, report_page(Report(evaluation, gallery)))


def report_page(report: Report) -> str:
    """The report as HTML.

    Args:
        report: Contents of a results folder.

    Returns:
        One self-contained page.
    """
    results, steps = report.results, report.steps
    several_steps = len(steps) > 1
    words = OUTCOMES if several_steps else SINGLE_STEP_OUTCOMES
    gallery = shown_gallery(report.gallery)
    has_boxes = not report.curves.empty
    return render(
        "report.html.j2",
        results=results,
        several_steps=several_steps,
        sentences=list(headline_sentences(report)),
        policy=caption(results),
        columns=COLUMNS,
        rows=headline_rows(report),
        curve_charts=curve_charts(report),
        mark_words="threshold of the headline and, where another, the best one for these images (oracle)",
        breakdown=_breakdown(report) if has_boxes else None,
        histogram=_histogram(report) if has_boxes else None,
        shift=_shift(results),
        moves=MOVES,
        effects=EFFECTS,
        of_steps=OF_STEPS,
        classes=class_rows(report) if has_boxes else [],
        class_columns=[column for number, column in enumerate(CLASSES) if several_steps or number not in (3, 5)],
        gallery=gallery,
        gallery_outcomes=list(words.items()),
        outcome_words={kind: text.split(":")[0].split(" at ")[0] for kind, text in words.items()},
        gallery_classes=sorted({entry["class_name"] for entry in gallery}),
        reproduce=run_facts(results),
        environment=_flat(results["environment"]),
        results_json=json.dumps(results, indent=1, ensure_ascii=False),
    )


def curve_charts(report: Report) -> list[tuple[str, Any]]:
    """Accuracy over threshold, one line per step.

    Args:
        report: Contents of a results folder.

    Returns:
        Title and chart of each figure; none where no image has a box.
    """
    if report.curves.empty:
        return []
    figures = [("GT-known Loc (IoU ≥ 0.5)", "gt_known_loc"), ("MaxBoxAcc at IoU 0.7", "max_box_acc_0.7")]
    if report.results["metrics"]["top1_loc"][report.policy] is not None:
        figures.insert(1, ("Top-1 Loc (IoU ≥ 0.5)", "top1_loc"))
    charts = []
    for title, column in figures:
        series = [_curve(report, step, column, marked=column == "gt_known_loc") for step in report.steps]
        chart = line_chart(f"{title} over the threshold", series, "score-map threshold", "percent of images")
        charts.append((title, chart))
    return charts


def _step_name(report: Report, step: str) -> str:
    """What a line or bar of a step is called: a network of one step has a name and no step 1."""
    return f"step {step}" if len(report.steps) > 1 else str(report.results["model"])


def _curve(report: Report, step: str, column: str, marked: bool) -> Series:
    rows = report.curves[report.curves["step"] == step]
    x, y = rows["threshold"].to_numpy(), rows[column].to_numpy()
    name = _step_name(report, step)
    marks = []
    if marked:
        thresholds = report.results["thresholds"]
        headline = thresholds["fixed"] if thresholds["val"] is None else thresholds["val"][step]
        for threshold, what in ((headline, "headline"), (thresholds["oracle"][step], "oracle")):
            value = float(y[abs(x - threshold).argmin()])
            marks.append((threshold, value, f"{name}, {what} threshold {threshold:g}: {value:.2f} %"))
    return Series(name, x.tolist(), y.tolist(), tuple(marks))


def _histogram(report: Report) -> Any:
    series = [
        Series(_step_name(report, step), [number / len(bins) for number in range(len(bins))], bins)
        for step, bins in iou_histograms(report).items()
    ]
    return line_chart("Histogram of IoU", series, "IoU of the box", "percent of images", steps=True)


def _breakdown(report: Report) -> dict[str, Any] | None:
    """Chart and legend of the kinds of error."""
    kinds = error_kinds(report)
    if not kinds:
        return None
    shown = [kind for kind in ERROR_KINDS if kind != "unreadable" or any(parts[kind] for parts in kinds.values())]
    rows = {
        _step_name(report, step): {ERROR_KINDS[kind][0]: parts[kind] for kind in shown} for step, parts in kinds.items()
    }
    return {
        "chart": stacked_bars("Kinds of error, percent of images", rows),
        "parts": [ERROR_KINDS[kind] for kind in shown],
    }


def _shift(results: Mapping[str, Any]) -> dict[str, Any] | None:
    """The attention-shift figures in the order they are shown."""
    shift = results.get("attention_shift")
    if not shift or len(results["steps"]) < 2:
        return None
    groups = [
        {"name": GROUP_NAMES[key], **{part: group[part] for part in ("images", "pairs", "steps")}}
        for key, group in shift["groups"].items()
        if group["images"]
    ]
    several = shift["groups"]["several_objects"]
    objects = several["objects"]
    steps = list(results["steps"])
    shown = []
    if objects:
        shown = [(f"step {step}, one box", objects[f"step_{step}"], False) for step in steps]
        shown += [
            (f"last step, its {len(steps)} largest contours", objects["last_step_as_many_boxes"], False),
            (f"all {len(steps)} steps, one box each", objects["all_steps"], False),
            ("all steps − last step", objects["gain_over_last_step"], True),
            (f"all steps − {len(steps)} contours of the last step", objects["gain_over_as_many_boxes"], True),
        ]
    return {
        "thresholds": shift["thresholds"],
        "groups": groups,
        "several": several["images"],
        "objects": shown,
        "verdict": _object_verdict(objects) if objects else "",
    }


def _object_verdict(objects: Mapping[str, Any]) -> str:
    gain = objects["gain_over_as_many_boxes"]
    if gain["low"] > 0:
        return (
            "The steps' boxes cover more objects than as many boxes of the last step alone: "
            "attention shifts to other objects."
        )
    if gain["high"] < 0:
        return (
            "The steps' boxes cover fewer objects than as many boxes of the last step alone: "
            "looking again is no substitute for cutting one map into pieces."
        )
    return (
        "Against as many boxes of the last step alone, the steps' boxes cover neither clearly more nor fewer objects: "
        "no shift from object to object is shown."
    )


def run_facts(results: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What a reader needs to run the same again.

    Args:
        results: Content of results.json.

    Returns:
        Names and values.
    """
    data = results["data"]
    facts: list[tuple[str, Any]] = [("command", results["command"])] if "command" in results else []
    facts += _flat({**(results["network"] or {}), **{f"data: {key}": value for key, value in data.items()}})
    return facts + [(f"protocol: {name}", value) for name, value in _flat(results["conventions"])]


def _flat(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Names and values, one level of nesting spelled out."""
    pairs: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            pairs += [(f"{name}: {inner}", each) for inner, each in value.items()]
        else:
            pairs.append((name.replace("_", " "), value))
    return [(name, "–" if value is None else value) for name, value in pairs]

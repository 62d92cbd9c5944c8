"""Tables and sentences of results that are written down here."""

from __future__ import annotations

import io
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from eval.options import EvaluationOptions
from eval.output import environment as module
from eval.output.command import command_line
from eval.output.environment import PACKAGES, environment
from eval.output.table import (
    COLUMNS,
    caption,
    headline_text,
    headline_values,
    results_tables,
    rows_of_results,
    threshold_table,
    threshold_words,
)

BY_POLICY = ("gt_known_loc", "top1_loc", "top5_loc", "size_balanced", "centre_box_fails")


def figures(base, **changes):
    found = {name: base + place for place, name in enumerate(COLUMNS)}
    for name in BY_POLICY:
        found[name] = {"fixed": base + 0.25, "val": base + 0.5, "oracle": base + 0.75}
    return found | changes


def results_with(**changes):
    return {
        "model": "net",
        "dataset": "cub",
        "protocol": "bas",
        "images": 1240,
        "data": {"split": "test", "without_box": 6},
        "conventions": {"gt_known_strict": True},
        "thresholds": {"headline": "val", "fixed": 0.25, "chosen_on": "cub val", "fixed_from": None},
        "metrics": figures(20.0),
        "steps": {"1": figures(10.0), "2": figures(20.0)},
        "fusions": {"mean": figures(30.0)},
        "any_step_oracle": figures(40.0),
        "baselines": {"centre_box": {"gt_known_loc": 59.66}, "full_image": {"gt_known_loc": 41.0}},
        "headline": {
            "gt_known_loc": 61.26,
            "gt_known_loc_low": 59.04,
            "gt_known_loc_high": 63.96,
            "threshold": 0.35,
            "centre_box_gt_known_loc": 59.66,
            "top1_cls": 70.04,
            "pxap": None,
        },
        "threshold_choices": None,
    } | changes


def printed(*tables, width=200):
    console = Console(file=io.StringIO(), width=width)
    for table in tables:
        console.print(table)
    return [line.split() for line in console.file.getvalue().splitlines()]


def test_rows_are_steps_fusions_and_the_oracle():
    rows = rows_of_results(results_with())
    assert [(row.key, row.kind, row.label) for row in rows] == [
        ("1", "step", "step 1"),
        ("2", "last", "step 2 (last)"),
        ("mean", "fusion", "fusion mean"),
        ("any", "oracle", "any step (oracle)"),
    ]
    assert [row.figures["top1_cls"] for row in rows] == [10.0, 20.0, 30.0, 40.0]
    (alone,) = rows_of_results(results_with(steps={"1": figures(1.0)}, fusions={}, any_step_oracle=None))
    assert (alone.kind, alone.label) == ("last", "step 1")


@pytest.mark.parametrize(("policy", "part"), [("fixed", 0.25), ("val", 0.5)])
def test_values_that_depend_on_a_threshold_are_the_policys(policy, part):
    values = headline_values(figures(10.0), policy)
    assert list(values) == list(COLUMNS)
    assert values == {name: 10.0 + (part if name in BY_POLICY else place) for place, name in enumerate(COLUMNS)}


def test_words_of_thresholds():
    assert threshold_words(results_with()) == "thresholds chosen on cub val"
    fixed = {"headline": "fixed", "fixed": 0.25, "chosen_on": "no val split"}
    assert threshold_words({"thresholds": fixed}) == "fixed threshold 0.25 (no val split)"
    assert threshold_words({"thresholds": fixed | {"chosen_on": None}}) == "fixed threshold 0.25"


def test_the_caption_says_how_columns_are_to_be_read():
    oracle = (
        "MaxBoxAcc and MaxBoxAccV2: at the best threshold for the scored images (an oracle, as papers report them)."
    )
    sizes = (
        "By size: GT-known Loc averaged over object sizes. Centre fails: GT-known Loc of the images where the best "
        "centred box misses."
    )
    end = "IoU > 0.5; protocol bas; 1240 images."
    assert caption(results_with()) == f"Loc columns: thresholds chosen on cub val. {oracle} {sizes} {end}"
    thresholds = {"headline": "fixed", "fixed": 0.25, "chosen_on": None, "fixed_from": "the one of the protocol"}
    told = caption(results_with(thresholds=thresholds, metrics={}, conventions={"gt_known_strict": False}))
    assert told == (
        f"Loc columns: fixed threshold 0.25. Fixed threshold 0.25: the one of the protocol. {oracle} "
        "IoU ≥ 0.5; protocol bas; 1240 images."
    )


def test_the_answer_in_one_line():
    assert headline_text(results_with()) == (
        "net finds the object in 61.3 % of 1,234 images of cub test (GT-known Loc, IoU > 0.5, 95 % interval "
        "[59.0, 64.0]). Protocol bas; threshold 0.35, chosen on cub val. "
        "The best centred box, which sees no image, scores 59.7 %."
    )
    plain = results_with()["headline"] | {"gt_known_loc_low": None, "centre_box_gt_known_loc": None}
    assert headline_text(results_with(headline=plain)) == (
        "net finds the object in 61.3 % of 1,234 images of cub test (GT-known Loc, IoU > 0.5). "
        "Protocol bas; threshold 0.35, chosen on cub val."
    )
    pixels = plain | {"gt_known_loc": None, "pxap": 55.55}
    assert headline_text(results_with(headline=pixels)) == "net on cub test: PxAP 55.5 % over 1,240 images."
    classes = pixels | {"pxap": None}
    assert headline_text(results_with(headline=classes)) == (
        "net on cub test: Top-1 cls 70.0 %; no image has a box or mask."
    )


def test_tables_hold_every_row_and_the_baselines():
    (table,) = results_tables([results_with()], width=200)
    lines = printed(table)
    assert lines[1] == ["percent", "cls", "cls", "known", "Loc", "Loc", "Acc", "AccV2", "PxAP", "size", "fails"]
    row = ["11.00", "10.50", "10.50", "10.50", "15.00", "16.00", "17.00", "10.50", "10.50"]
    assert ["step", "1", "10.00", *row] in lines
    assert ["centre", "box", "(oracle)", "–", "–", "59.66", *["–"] * 7] in lines
    assert ["full", "image", "–", "–", "41.00", *["–"] * 7] in lines
    ends = [row.end_section for row in table.rows]
    assert ends == [False, False, False, True, False, False], "a gap sets the baselines apart"


def test_a_width_of_eighty_splits_the_figures_and_none_is_lost():
    tables = results_tables([results_with()], width=80)
    assert [len(table.columns) for table in tables] == [9, 3]
    assert [len(table.columns) for table in results_tables([results_with()], width=10)] == [2] * 10
    headings = [column.header for table in tables for column in table.columns[1:]]
    assert headings == list(COLUMNS.values())
    assert {table.columns[0].header for table in tables} == {"percent"}
    assert {column.width for table in tables for column in table.columns[1:]} == {6}


def test_rows_without_a_figure_are_left_out_of_a_part():
    gone = {name: dict.fromkeys(("fixed", "val", "oracle")) for name in ("size_balanced", "centre_box_fails")}
    first, second = results_tables([results_with(any_step_oracle=figures(40.0, **gone))], width=80)
    labels = [[cell.rstrip() for cell in table.columns[0].cells] for table in (first, second)]
    assert labels[0][-3:] == ["any step (oracle)", "centre box (oracle)", "full image"]
    assert labels[1] == ["step 1", "step 2 (last)", "fusion mean"]
    assert [row.end_section for row in first.rows][-3:] == [True, False, False]


def test_figures_that_no_result_has_are_left_out():
    lacking = {name: None for name in COLUMNS if name not in BY_POLICY} | {
        name: dict.fromkeys(("fixed", "val", "oracle")) for name in BY_POLICY
    }
    only = lacking | {"top1_cls": 12.0}
    bare = {"fusions": {}, "any_step_oracle": None, "baselines": None}
    (table,) = results_tables([results_with(steps={"1": only}, **bare)], width=200)
    assert [column.header for column in table.columns] == ["percent", "Top-1\ncls"]
    (nothing,) = results_tables([results_with(steps={"1": lacking}, **bare)], width=200)
    assert len(nothing.columns) == 1


def test_several_results_stand_below_their_names():
    bare = {"fusions": {}, "any_step_oracle": None, "baselines": None}
    two = [results_with(model=name, steps={"1": figures(base)}, **bare) for name, base in (("a", 10.0), ("b", 50.0))]
    (table,) = results_tables(two, width=200)
    labels = [cell.rstrip() for cell in table.columns[0].cells]
    assert labels == ["a", "  step 1", "b", "  step 1"]
    assert list(table.columns[1].cells) == ["", "10.00", "", "50.00"]
    assert [row.end_section for row in table.rows] == [False, True, False, True]


def test_ways_to_a_threshold_as_a_table():
    ways = [
        {
            "choice": "otsu",
            "boxes": "none",
            "gt_known_loc": 50.0,
            "top1_loc": 40.0,
            "top5_loc": None,
            "below_oracle": 9.5,
        },
        {
            "choice": "fixed",
            "boxes": "none",
            "gt_known_loc": 51.0,
            "top1_loc": 41.0,
            "top5_loc": 42.0,
            "below_oracle": 8.5,
        },
        {
            "choice": "selection",
            "boxes": "selection",
            "gt_known_loc": 52.0,
            "top1_loc": 1.0,
            "top5_loc": 2.0,
            "below_oracle": 7.5,
        },
        {"choice": "val", "boxes": "val", "gt_known_loc": 53.0, "top1_loc": 1.0, "top5_loc": 2.0, "below_oracle": 6.5},
        {
            "choice": "oracle",
            "boxes": "test",
            "gt_known_loc": 59.5,
            "top1_loc": 1.0,
            "top5_loc": 2.0,
            "below_oracle": 0.0,
        },
    ]
    table = threshold_table(results_with(threshold_choices=ways))
    assert table.title == "net, last step: percent for each choice of threshold"
    assert [column.header for column in table.columns] == [
        *("threshold", "boxes\nused", "GT-\nknown", "Top-1\nLoc", "Top-5\nLoc", "below\noracle")
    ]
    assert [column.justify for column in table.columns] == ["left"] * 2 + ["right"] * 4
    cells = list(zip(*(column.cells for column in table.columns), strict=True))
    assert cells[0] == ("otsu (per map)", "none", "50.00", "40.00", "–", "9.50")
    assert [row[:2] for row in cells[1:]] == [
        ("fixed, as published", "none"),
        ("chosen by selection boxes", "selection"),
        ("chosen on val", "val"),
        ("best on the scored images (oracle)", "scored images"),
    ]
    assert cells[3][2:] == ("53.00", "1.00", "2.00", "6.50")
    assert threshold_table(results_with()) is None


def test_the_environment_is_that_of_this_machine():
    told = environment()
    assert told["python"] == platform.python_version()
    assert told["platform"] == platform.platform()
    assert told["cores"] == os.cpu_count()
    assert list(told["packages"]) == list(PACKAGES)
    age = datetime.now(UTC) - datetime.fromisoformat(told["time"])
    assert 0 <= age.total_seconds() < 60
    assert told["time"].endswith("+00:00")
    assert "." not in told["time"], "whole seconds"


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("vendor_id: x\nmodel name\t: A: fast one \nmodel name\t: B\n", "A: fast one"),
        ("vendor_id: x\n", "machine"),
        (None, "processor"),
    ],
)
def test_the_processor_is_named_as_well_as_is_known(monkeypatch, tmp_path, content, name):
    if content is not None:
        (tmp_path / "cpuinfo").write_text(content)
    monkeypatch.setattr(module, "Path", lambda path: {"/proc/cpuinfo": tmp_path / "cpuinfo"}[path])
    monkeypatch.setattr(platform, "processor", lambda: "processor")
    monkeypatch.setattr(platform, "machine", lambda: "machine")
    assert environment()["processor"] == name
    monkeypatch.setattr(platform, "processor", lambda: "")
    assert environment()["processor"] == (name if content else "machine")


def test_a_package_that_is_not_here_has_no_version(monkeypatch):
    monkeypatch.setattr(module, "PACKAGES", ("numpy", "no-such-package-here"))
    packages = environment()["packages"]
    assert packages["no-such-package-here"] is None
    assert packages["numpy"][0].isdigit()


def test_a_command_names_only_what_was_chosen(monkeypatch):
    monkeypatch.delenv("WSOL_DATA", raising=False)
    options = EvaluationOptions(dataset="cub", model="a net", val=False, threshold_rules=("otsu", "mean+0.5std"))
    assert command_line(options) == (
        "wsol-eval --dataset cub --model 'a net' --no-val --threshold-rules otsu mean+0.5std"
    )
    monkeypatch.setenv("WSOL_DATA", "/data")
    assert "--data-root /data" in command_line(options)
    named = EvaluationOptions(dataset="cub", model="m", data_root=Path("/mine"), checkpoint=Path("own.pt"))
    assert "--data-root /mine" in command_line(named)
    assert "--checkpoint own.pt" in command_line(named, Path("found.pt"))
    assert "--data-root" not in command_line(EvaluationOptions(dataset="minibirds", model="m"))
    anew = EvaluationOptions(dataset="minibirds", model="m", output=Path("out"), restart=True)
    assert command_line(anew) == "wsol-eval --dataset minibirds --model m --output out", (
        "how a run was begun is no option"
    )

"""What the report says, word by word and number by number, of results that are written down here."""

from __future__ import annotations

import pandas as pd
import pytest

from eval.output.gallery import Gallery
from eval.output.results import Evaluation
from eval.output.table import COLUMNS
from eval.report.data import (
    Report,
    class_rows,
    error_kinds,
    headline_rows,
    headline_sentences,
    iou_histograms,
    shown_gallery,
)

POLICIES = ("fixed", "val", "oracle")
BY_POLICY = ("gt_known_loc", "top1_loc", "top5_loc", "size_balanced", "centre_box_fails")


def figures(base):
    """Figures of a row, all different: those under a policy are `base` + 10 per figure + 0, 1, 2."""
    found = {name: base + 10 * place for place, name in enumerate(COLUMNS)}
    return found | {
        name: {policy: base + 10 * list(COLUMNS).index(name) + n for n, policy in enumerate(POLICIES)}
        for name in BY_POLICY
    }


def results_with(**changes):
    first, last = figures(0.25), figures(1.0)
    first["gt_known_loc"]["val"], last["gt_known_loc"]["val"] = 55.0, 61.26
    last["top1_cls"] = 70.04
    return {
        "model": "net",
        "dataset": "cub",
        "images": 1240,
        "data": {"split": "test", "without_box": 6},
        "conventions": {"gt_known_strict": False},
        "thresholds": {"headline": "val", "fixed": 0.2, "chosen_on": "cub val"},
        "headline": {"gt_known_loc": 61.26},
        "metrics": last,
        "steps": {"1": first, "2": last},
        "fusions": {"mean": figures(2.0)},
        "any_step_oracle": figures(3.0),
        "baselines": {"centre_box": {"gt_known_loc": 59.66}, "full_image": {"gt_known_loc": 41.0}},
        "intervals": None,
        "attention_shift": None,
        "breakdown": None,
        "per_class": None,
        "iou_histogram": None,
    } | changes


def report_with(**changes):
    results = results_with(**changes)
    gallery = Gallery([], {})
    return Report(Evaluation(results, pd.DataFrame({"step": ["1"]}), list), gallery)


def sentences(**changes):
    return [one.replace("\u00a0", " ") for one in headline_sentences(report_with(**changes))]


def shift(low, high, several=(-1, 1), mean=0.626):
    def pairs(ends):
        gain = {"mean": mean, "low": ends[0] / 100, "high": ends[1] / 100}
        return {"pairs": {"1-2": {"net_gain": {"mean": 0.9, "low": 0.8, "high": 1.0}}, "1-3": {"net_gain": gain}}}

    return {"groups": {"all": pairs((low, high)), "one_object": {"pairs": {}}, "several_objects": pairs(several)}}


def test_a_report_hands_on_what_the_evaluation_holds():
    report = report_with()
    assert report.steps == ["1", "2"]
    assert report.policy == "val"
    assert report.results["model"] == "net"
    assert report.curves["step"].tolist() == ["1"]


def test_the_answer_in_words():
    assert sentences() == [
        "net localizes 61.3 % of 1,234 images of cub test (GT-known Loc, IoU ≥ 0.5) and classifies 70.0 % correctly.",
        "That is 1.6 points more than one centred box of the best size, the same in every image (59.7 %).",
        "Its last step is 6.3 points above its first (55.0 %).",
    ]


def test_a_strict_protocol_and_maps_alone_are_said_so():
    bare = results_with()["metrics"] | {"top1_cls": None}
    (first, *_) = sentences(conventions={"gt_known_strict": True}, metrics=bare)
    assert first == "net localizes 61.3 % of 1,234 images of cub test (GT-known Loc, IoU > 0.5)."


def test_pixels_alone_are_the_answer_where_there_is_no_box():
    told = sentences(headline={"gt_known_loc": None}, metrics={"pxap": 55.56})
    assert told == ["net is scored by its pixels: 55.6 % PxAP."]


@pytest.mark.parametrize(
    ("centre", "words"),
    [(61.30, "as much as"), (61.22, "as much as"), (61.20, "0.1 points more than"), (61.40, "0.1 points less than")],
)
def test_the_centre_box_is_more_or_less_or_the_same(centre, words):
    told = sentences(baselines={"centre_box": {"gt_known_loc": centre}})[1]
    assert told.startswith(f"That is {words} one centred box of the best size")
    assert len(sentences(baselines=None)) == 2


@pytest.mark.parametrize(
    ("first", "words"), [(61.25, "the same as"), (61.0, "0.3 points above"), (70.0, "8.7 points below")]
)
def test_the_last_step_is_above_or_below_the_first(first, words):
    steps = results_with()["steps"]
    steps["1"]["gt_known_loc"]["val"] = first
    assert sentences(steps=steps)[-1] == f"Its last step is {words} its first ({first:.1f} %)."
    alone = {"1": steps["2"]}
    assert len(sentences(steps=alone)) == 2, "one step has nothing to be compared with"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (2, 8, "the last step is the better one"),
        (-8, -2, "the last step is the worse one"),
        (-2, 8, "these images do not tell the two apart"),
        (0, 8, "these images do not tell the two apart"),
        (-8, 0, "these images do not tell the two apart"),
    ],
)
def test_the_paired_interval_says_what_is_known(low, high, verdict):
    signs = [f"{end:+.1f}".replace("-", "−") for end in (low, high)]
    told = sentences(attention_shift=shift(low, high, several=(low, high)))
    assert told[2:] == [
        "Its last step is 6.3 points above its first (55.0 %); image by image the change is +62.6 points, "
        f"95 % interval [{signs[0]}, {signs[1]}]: {verdict}."
    ], "several objects are told of only where they differ"


def test_several_objects_are_told_of_where_they_differ():
    told = sentences(attention_shift=shift(2, 8, several=(-90, -30), mean=-0.5))
    assert told[3] == (
        "In images with several objects the change is −50.0 points [−90.0, −30.0]: the last step is the worse one."
    )
    none = shift(2, 8)
    none["groups"]["several_objects"] = {"pairs": {}}
    assert len(sentences(attention_shift=none)) == 3
    none["groups"]["all"] = {"pairs": {"1-2": {}}}
    assert sentences(attention_shift=none)[2] == "Its last step is 6.3 points above its first (55.0 %)."


def test_rows_of_the_headline_table():
    rows = headline_rows(report_with())
    assert [(row["name"], row["kind"]) for row in rows] == [
        ("step 1", "step"),
        ("step 2 (last)", "last"),
        ("fusion mean", "fusion"),
        ("any step (oracle)", "oracle"),
        ("centre box (oracle)", "baseline"),
        ("full image", "baseline"),
    ]
    for row, base in zip(rows[2:4], (2.0, 3.0), strict=True):
        values = [cell["value"] for cell in row["cells"]]
        assert values == [base + 10 * place + (name in BY_POLICY) for place, name in enumerate(COLUMNS)]
        assert all(cell["interval"] is None for cell in row["cells"])
    known = dict(zip(COLUMNS, rows[4]["cells"], strict=True))
    assert known.pop("gt_known_loc") == {"value": 59.66, "interval": None}
    assert all(cell == {"value": None, "interval": None} for cell in known.values())
    assert [row["kind"] for row in headline_rows(report_with(baselines=None))][-1] == "oracle"
    alone = headline_rows(report_with(steps={"1": figures(0.0)}, fusions={}, any_step_oracle=None, baselines=None))
    assert [(row["name"], row["kind"]) for row in alone] == [("result", "last")]


def test_intervals_stand_beside_their_figures():
    rows = {
        "1": {"top1_cls": [1.0, 2.0], "gt_known_loc": {"fixed": [3.0, 4.0], "val": [5.0, 6.0]}},
        "mean": {"gt_known_loc": {"fixed": [7.0, 8.0]}, "pxap": [9.0, 9.5]},
    }
    changed = figures(2.0) | {"pxap": None}
    found = headline_rows(report_with(intervals={"rows": rows}, fusions={"mean": changed}))
    first, last, mean, *_ = [dict(zip(COLUMNS, row["cells"], strict=True)) for row in found]
    assert first["top1_cls"]["interval"] == (1.0, 2.0)
    assert first["gt_known_loc"]["interval"] == (5.0, 6.0)
    assert first["top1_loc"]["interval"] is None
    assert last["gt_known_loc"]["interval"] is None
    assert mean["gt_known_loc"]["interval"] is None, "none under this policy"
    assert mean["pxap"] == {"value": None, "interval": None}


def test_kinds_of_error_are_shares_of_the_images():
    counts = {
        "1": {"correct": 3, "part": 1, "missed": 0},
        "2": {"correct": 1, "part": 0, "missed": 1},
        "mean": {"correct": 2, "part": 0, "missed": 0},
    }
    assert error_kinds(report_with(breakdown=counts)) == {
        "1": {"correct": 75.0, "part": 25.0, "missed": 0.0},
        "2": {"correct": 50.0, "part": 0.0, "missed": 50.0},
    }
    assert error_kinds(report_with()) == {}


def test_rows_of_classes():
    row = {"class": "cup", "images": 4, "top1_cls": 75.0, "first_step": 25.0, "gt_known_loc": 65.0, "mean_iou": 51.5}
    unboxed = row | {"class": "kite", "first_step": None, "gt_known_loc": None, "mean_iou": None}
    assert class_rows(report_with(per_class=[row, unboxed])) == [
        {
            "name": "cup",
            "images": 4,
            "top1_cls": 75.0,
            "first": 25.0,
            "last": 65.0,
            "change": 40.0,
            "mean_iou": 51.5,
        },
        {
            "name": "kite",
            "images": 4,
            "top1_cls": 75.0,
            "first": None,
            "last": None,
            "change": None,
            "mean_iou": None,
        },
    ]
    assert class_rows(report_with()) == []


def test_histograms_are_in_percent():
    assert iou_histograms(report_with(iou_histogram={"1": [1, 3], "2": [2, 0]})) == {
        "1": [25.0, 75.0],
        "2": [100.0, 0.0],
    }
    assert iou_histograms(report_with()) == {}


def test_pictures_of_the_gallery_become_data():
    entries = [{"image": "a", "photo": "0.webp", "steps": [{"step": 1, "map": "0-1.webp"}]}]
    shown = shown_gallery(Gallery(entries, {"0.webp": b"\x00\xff", "0-1.webp": b"map"}))
    assert shown == [
        {
            "image": "a",
            "photo": "data:image/webp;base64,AP8=",
            "steps": [{"step": 1, "map": "data:image/webp;base64,bWFw"}],
        }
    ]
    assert entries[0]["photo"] == "0.webp", "the gallery itself is as it was"

"""results.json as a document: every figure stands under its key, and what is not known is None."""

from __future__ import annotations

import dataclasses
import json

import pytest
from tiny_source import HEIGHT, PROTOCOL, WIDTH, ArraySource, mask_of, tiny_split

from eval.analysis.baselines import baselines
from eval.analysis.curves import count_split
from eval.analysis.figures import row_figures
from eval.analysis.object_sizes import object_size_figures
from eval.analysis.summary import breakdown_figures, interval_figures
from eval.judging.split import judge_split
from eval.judging.thresholds import Thresholds
from eval.output.document import results_document, threshold_choices
from eval.protocols import get_protocol

ROWS = ("1", "2", "mean", "max", "confidence")
VAL = dict(zip(ROWS, (0.35123456, 0.45, 0.5, 0.55, 0.6), strict=True))
THRESHOLDS = Thresholds(0.2 + 1e-9, VAL, "tiny val", {"1": 0.3, "2": 0.38}, "boxes", ("otsu",), "the protocol's")
SIZE_FIGURES = ("size_balanced", "centre_box_fails")
BOX_FIGURES = ("breakdown", "mean_iou", "iou_histogram", "candidates", "per_class", "per_size")
FACTS = {
    "model": "net",
    "command": "wsol-eval --model net",
    "map_size": (HEIGHT, WIDTH),
    "network": {"method": "cam"},
    "limit": 20,
    "replicates": 15,
}


def split(folder, thresholds=THRESHOLDS, boxes=True, classes=True, steps=2, protocol=PROTOCOL, **options):
    """A split with two images without a box, an unreadable and a degenerate one."""
    truth, maps, logits = tiny_split(num_images=20, steps=steps, seed=2)
    kept = [one if boxes and image not in (2, 9) else one[:0] for image, one in enumerate(truth.boxes)]
    truth = dataclasses.replace(truth, boxes=tuple(kept))
    source = ArraySource(maps, logits if classes else None, unreadable=[4], degenerate=[(0, 6)])
    return judge_split(source, truth, protocol, thresholds, folder, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judged")
    judged = split(folder, mask_of=mask_of, with_attention_shift=True)
    return judged, results_document(judged, count_split(judged), **FACTS)


def test_facts_of_the_run(whole):
    judged, found = whole
    truth = judged.ground_truth
    assert json.loads(json.dumps(found, allow_nan=False)) == json.loads(json.dumps(found))
    assert found["schema"] == "wsol-results/1"
    assert {key: found[key] for key in ("model", "dataset", "protocol", "command", "images", "network")} == {
        "model": "net",
        "dataset": "tiny",
        "protocol": "wsolevaluation",
        "command": "wsol-eval --model net",
        "images": 20,
        "network": {"method": "cam"},
    }
    assert found["data"] == {
        "split": "test",
        "classes": 7,
        "limit": 20,
        "several_objects": sum(len(one) == 2 for one in truth.boxes),
        "without_box": 2,
    }
    assert 0 < found["data"]["several_objects"] < 18
    assert found["conventions"] == dataclasses.asdict(PROTOCOL)
    assert found["faults"] == {"unreadable": {"4.png": "truncated"}, "degenerate_maps": ["6.png"]}
    assert found["environment"].keys() >= {"python", "platform", "processor", "cores", "packages", "time"}
    assert found["attention_shift"] == judged.attention_shift.compute()
    assert found["any_step_after_filter_oracle"] is None


def test_every_row_holds_its_own_figures(whole):
    judged, found = whole
    counts = count_split(judged)
    told = {**found["steps"], **found["fusions"], "any": found["any_step_oracle"]}
    assert list(found["steps"]) == ["1", "2"]
    assert list(found["fusions"]) == ["mean", "max", "confidence"]
    height_first = baselines(judged.ground_truth, PROTOCOL, (WIDTH, HEIGHT))["centre_box"].box
    sizes = object_size_figures(judged, height_first, (WIDTH, HEIGHT), 15)
    for row, figures in told.items():
        by_size = {name: figures[name] for name in SIZE_FIGURES}
        assert figures == row_figures(judged, counts, row) | by_size
        for name, of_policy in by_size.items():
            known = sizes[row][name] if row in sizes else {}
            assert of_policy == {policy: known.get(policy) for policy in ("fixed", "val", "oracle")}
    assert found["steps"]["2"]["size_balanced"]["val"] is not None
    assert found["metrics"] == found["steps"]["2"] != found["steps"]["1"]
    assert found["threshold_choices"] == threshold_choices(found["metrics"])


def test_figures_of_boxes_stand_where_they_are_looked_for(whole):
    judged, found = whole
    assert {key: found[key] for key in BOX_FIGURES} == breakdown_figures(judged)
    known = baselines(judged.ground_truth, PROTOCOL, (WIDTH, HEIGHT))
    assert found["baselines"] == {
        name: {"gt_known_loc": figure.percent, "box": list(figure.box)} for name, figure in known.items()
    }
    sizes = object_size_figures(judged, known["centre_box"].box, (WIDTH, HEIGHT), 15)
    intervals = interval_figures(judged, 15)
    for step in ("1", "2"):
        for name in SIZE_FIGURES:
            intervals["rows"][step][name] = sizes[step][name]["intervals"]
    assert found["intervals"] == intervals
    for of_row in sizes.values():
        for name in SIZE_FIGURES:
            del of_row[name]["intervals"]
    assert found["object_sizes"] == sizes


def test_thresholds_are_rounded_and_say_where_they_come_from(whole):
    judged, found = whole
    curves = count_split(judged).curves
    assert found["thresholds"] == {
        "fixed": 0.2,
        "fixed_from": "the protocol's",
        "val": {**VAL, "1": 0.351235},
        "oracle": {row: round(of_row.best_threshold, 6) for row, of_row in curves.items()},
        "chosen_on": "tiny val",
        "selection": {"1": 0.3, "2": 0.38},
        "selected_on": "boxes",
        "rules": ["otsu"],
        "headline": "val",
    }


def test_the_headline_is_the_last_steps(whole):
    _, found = whole
    last, interval = found["steps"]["2"], found["intervals"]["rows"]["2"]["gt_known_loc"]["val"]
    assert interval != found["intervals"]["rows"]["2"]["gt_known_loc"]["fixed"]
    assert found["headline"] == {
        "step": "2",
        "threshold_policy": "val",
        "threshold": 0.45,
        **{name: last[name] for name in ("top1_cls", "top5_cls")},
        **{name: last[name]["val"] for name in ("gt_known_loc", "top1_loc", "top5_loc", *SIZE_FIGURES)},
        **{name: last[name] for name in ("max_box_acc", "max_box_acc_v2", "pxap")},
        "gt_known_loc_low": interval[0],
        "gt_known_loc_high": interval[1],
        "centre_box_gt_known_loc": found["baselines"]["centre_box"]["gt_known_loc"],
    }


def test_without_val_the_headline_is_the_fixed_threshold(tmp_path):
    judged = split(tmp_path, Thresholds(0.25))
    facts = FACTS | {"network": None, "limit": None, "replicates": 0}
    found = results_document(judged, count_split(judged), **facts)
    assert found["thresholds"]["headline"] == found["headline"]["threshold_policy"] == "fixed"
    assert found["headline"]["threshold"] == found["thresholds"]["fixed"] == 0.25
    assert found["headline"]["gt_known_loc"] == found["steps"]["2"]["gt_known_loc"]["fixed"]
    for key in ("val", "selection", "fixed_from", "chosen_on", "selected_on"):
        assert found["thresholds"][key] is None
    assert found["intervals"] is found["network"] is found["attention_shift"] is found["data"]["limit"] is None
    assert found["headline"]["gt_known_loc_low"] is found["headline"]["gt_known_loc_high"] is None
    assert found["per_class"] is not None


def test_without_boxes_all_figures_of_boxes_are_none(tmp_path):
    judged = split(tmp_path, boxes=False)
    found = results_document(judged, count_split(judged), **FACTS)
    for key in (*BOX_FIGURES, "intervals", "object_sizes", "baselines", "threshold_choices"):
        assert found[key] is None, key
    assert found["thresholds"]["oracle"] == {}
    assert found["any_step_oracle"]["top1_cls"] is not None
    assert found["data"]["without_box"] == 20
    assert found["metrics"]["size_balanced"] == dict.fromkeys(("fixed", "val", "oracle"))
    for key in ("gt_known_loc", "gt_known_loc_low", "gt_known_loc_high", "centre_box_gt_known_loc", "size_balanced"):
        assert found["headline"][key] is None, key


def test_maps_alone_still_have_any_step(tmp_path):
    judged = split(tmp_path, classes=False)
    found = results_document(judged, count_split(judged), **FACTS)
    assert found["any_step_oracle"]["gt_known_loc"]["fixed"] is not None
    assert list(found["fusions"]) == ["mean", "max"]
    assert found["headline"]["top1_cls"] is None


def test_one_step_has_no_oracle_over_steps(tmp_path):
    judged = split(tmp_path, Thresholds(0.2), steps=1)
    found = results_document(judged, count_split(judged), **FACTS)
    assert found["any_step_oracle"] is None
    assert found["fusions"] == {}


def test_the_authors_filter_stands_beside_the_oracle(tmp_path):
    judged = split(tmp_path, steps=3, thresholds=Thresholds(0.2), protocol=get_protocol("tdam"))
    found = results_document(judged, count_split(judged), **FACTS)
    assert found["any_step_after_filter_oracle"] == judged.filtered_steps.compute()


def test_ways_to_a_threshold_go_from_no_box_to_the_oracle():
    def under(**values):
        return dict.fromkeys(("fixed", "val", "oracle", "selection")) | values

    figures = {
        "by_rule": {"otsu": {"gt_known_loc": 50.0, "top1_loc": 40.0, "top5_loc": 45.0}},
        "gt_known_loc": under(fixed=60.0, oracle=80.0, selection=70.0),
        "top1_loc": under(fixed=30.0, oracle=35.0, selection=33.0),
        "top5_loc": under(fixed=31.0, oracle=36.0, selection=34.0),
    }
    told = [tuple(way.values()) for way in threshold_choices(figures)]
    assert list(threshold_choices(figures)[0]) == [
        *("choice", "boxes", "gt_known_loc", "top1_loc", "top5_loc", "below_oracle")
    ]
    assert told == [
        ("otsu", "none", 50.0, 40.0, 45.0, 30.0),
        ("fixed", "none", 60.0, 30.0, 31.0, 20.0),
        ("selection", "selection", 70.0, 33.0, 34.0, 10.0),
        ("oracle", "test", 80.0, 35.0, 36.0, 0.0),
    ]
    assert threshold_choices({**figures, "by_rule": None}) is None

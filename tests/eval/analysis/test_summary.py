"""Intervals and groups of a judged split against plain loops and pandas."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from tiny_source import PROTOCOL, ArraySource, judge, tiny_split

from eval.analysis.curves import count_split
from eval.analysis.intervals import poisson_counts
from eval.analysis.summary import breakdown_figures, interval_figures
from eval.judging.split import judge_split
from eval.judging.thresholds import Thresholds

REPLICATES = 60


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    truth, maps, logits = tiny_split(num_images=40, classes=5)
    folder = tmp_path_factory.mktemp("judged")
    thresholds = Thresholds(0.5, dict.fromkeys(("1", "2", "mean", "max", "confidence"), 0.7), "val")
    return judge_split(ArraySource(maps, logits, unreadable=[3]), truth, PROTOCOL, thresholds, folder)


def intervals_of(judged, **changes):
    protocol = dataclasses.replace(judged.protocol, **changes)
    return interval_figures(dataclasses.replace(judged, protocol=protocol), REPLICATES)["rows"]


def ends(replicated):
    return pytest.approx(np.percentile(replicated, [2.5, 97.5]).tolist(), abs=1e-9)


def test_intervals_are_those_of_a_plain_loop(judged):
    rows = intervals_of(judged)
    (records,) = judged.records()
    weights = poisson_counts(np.arange(40), REPLICATES)
    readable = ~records["unreadable"]
    for number, row in enumerate(judged.rows):
        top1 = records["in_top1"][:, number]
        assert rows[row]["top1_cls"] == ends([100 * np.average(top1, weights=w) for w in weights])
        hit = (records["reached_largest"][:, number, int(0.7 * 255)] >= 3) & readable
        assert rows[row]["top1_loc"]["val"] == ends([100 * np.average(hit & top1, weights=w) for w in weights])
    curve = (records["reached_largest"][:, 0] >= 3) & readable[:, None]
    assert rows["1"]["max_box_acc"] == ends([max(100 * np.average(curve[:, :255], axis=0, weights=w)) for w in weights])
    curves = [(records["reached_all"][:, 0, :255] >= level) & readable[:, None] for level in (1, 3, 5)]
    best = [np.mean([max(100 * np.average(curve, axis=0, weights=w)) for curve in curves]) for w in weights]
    assert rows["1"]["max_box_acc_v2"] == ends(best)
    assert "max_box_acc" not in rows["mean"]


def test_macro_means_weigh_classes_alike(judged):
    rows = intervals_of(judged, macro=True)
    (records,) = judged.records()
    labels = judged.ground_truth.labels
    weights = poisson_counts(np.arange(40), REPLICATES) / np.bincount(labels)[labels]
    replicated = [100 * np.average(records["in_top1"][:, 0], weights=w) for w in weights]
    assert rows["1"]["top1_cls"] == ends(replicated)


def test_kinds_of_error_add_up_to_the_figures(judged):
    figures = breakdown_figures(judged)
    (records,) = judged.records()
    curves = count_split(judged).curves
    for number, row in enumerate(judged.rows):
        kinds = figures["breakdown"][row]
        assert sum(kinds.values()) == 40
        assert kinds["unreadable"] == 1
        assert kinds["wrong_class"] == 39 - records["in_top1"][:, number].sum()
        assert kinds["correct"] == round(curves[row].at_policy["headline"]["top1_loc"] * 0.4)
        assert figures["mean_iou"][row]["headline"] == pytest.approx(records["iou"][:, number].mean(), abs=1e-6)
        assert figures["candidates"][row] == records["candidates"][:, number].mean()


def test_groups_are_those_of_pandas(judged):
    figures = breakdown_figures(judged)
    (records,) = judged.records()
    truth = judged.ground_truth
    table = pd.DataFrame(
        {
            "name": [truth.class_names[label] for label in truth.labels],
            "hit": (records["iou"][:, 1] >= 0.5) & ~records["unreadable"],
            "top1": records["in_top1"][:, 1],
        }
    )
    by_class = table.groupby("name").agg(images=("hit", "size"), hit=("hit", "mean"), top1=("top1", "mean"))
    assert len(figures["per_class"]) == len(by_class)
    for row in figures["per_class"]:
        expected = by_class.loc[row["class"]]
        assert row["images"] == expected["images"]
        assert row["gt_known_loc"] == pytest.approx(100 * expected["hit"])
        assert row["top1_cls"] == pytest.approx(100 * expected["top1"])
    assert sum(row["images"] for row in figures["per_size"]) == 40


def test_without_classes_there_is_no_wrong_class(tmp_path):
    truth, maps, _ = tiny_split(num_images=12)
    judged = judge(tmp_path, ArraySource(maps, None), truth)
    figures = breakdown_figures(judged)
    assert figures["breakdown"]["2"]["wrong_class"] == 0
    assert figures["breakdown"]["2"]["correct"] == round(count_split(judged).curves["2"].at(0.2)["gt_known_loc"] * 0.12)
    assert figures["per_class"][0]["top1_cls"] is None

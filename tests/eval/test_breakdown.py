"""Kinds of error by hand-made boxes and by counting pixels; groups against pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_source import PROTOCOL, ArraySource, judge, tiny_split

from eval.breakdown import OUTCOMES, SIZES, Breakdown, box_outcomes, size_bucket

ONE, TWO = [[20, 20, 59, 59]], [[10, 10, 29, 29], [40, 10, 59, 29]]


@pytest.mark.parametrize(
    ("box", "truth", "hit", "right", "expected"),
    [
        ([20, 20, 59, 59], ONE, True, True, "correct"),
        ([20, 20, 59, 59], ONE, True, False, "wrong_class"),
        ([30, 30, 39, 39], ONE, False, True, "part"),
        ([0, 0, 99, 99], ONE, False, True, "more"),
        ([0, 0, 9, 9], ONE, False, True, "missed"),
        ([50, 20, 99, 59], ONE, False, True, "missed"),
        ([10, 10, 59, 29], TWO, False, True, "several_objects"),
        ([12, 12, 16, 16], TWO, False, False, "part"),
    ],
)
def test_examples(box, truth, hit, right, expected):
    (found,) = box_outcomes(np.array([box]), [np.array(truth)], np.array([hit]), np.array([right]))
    assert OUTCOMES[found] == expected


def test_without_classes_a_hit_is_correct():
    (found,) = box_outcomes(np.array([ONE[0]]), [np.array(ONE)], np.array([True]), None)
    assert OUTCOMES[found] == "correct"


corner = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(0, 7), st.integers(0, 7)).map(
    lambda v: (v[0], v[1], v[0] + v[2], v[1] + v[3])
)


@settings(max_examples=200, deadline=None)
@given(box=corner, truth=st.lists(corner, min_size=1, max_size=3))
def test_kinds_are_those_of_counted_pixels(box, truth):
    def pixels(x0, y0, x1, y1):
        return {(x, y) for x in range(x0, x1 + 1) for y in range(y0, y1 + 1)}

    mine, objects = pixels(*box), [pixels(*one) for one in truth]
    over_truth = [len(mine & one) / len(one) for one in objects]
    over_box = [len(mine & one) / len(mine) for one in objects]
    if sum(share > 0.3 for share in over_truth) > 1:
        expected = "several_objects"
    elif max(over_box) > 0.5:
        expected = "part"
    else:
        expected = "more" if max(over_truth) > 0.7 else "missed"
    (found,) = box_outcomes(np.array([box]), [np.array(truth)], np.array([False]), None)
    assert OUTCOMES[found] == expected


@pytest.mark.parametrize(
    ("side", "expected"), [(9, "small"), (10, "medium"), (30, "large"), (60, "whole"), (100, "whole")]
)
def test_size_buckets_hold_their_lower_end(side, expected):
    assert size_bucket(np.array([[0, 0, side, 100], [0, 0, 1, 1]]), np.array([100, 100])) == expected
    assert expected in SIZES


def test_counts_add_up_and_groups_are_those_of_pandas(tmp_path):
    truth, maps, logits = tiny_split(num_images=40)
    judged = judge(tmp_path, ArraySource(maps, logits, unreadable=[3]), truth)
    (records,) = judged.records()
    breakdown = Breakdown(judged.rows, truth, PROTOCOL, has_logits=True)
    for start in range(0, 40, 9):
        breakdown.count(records[start : start + 9])
    figures = breakdown.compute()
    for row in judged.rows:
        assert sum(figures["breakdown"][row].values()) == 40
        hits = figures["breakdown"][row]["correct"] + figures["breakdown"][row]["wrong_class"]
        assert hits == round(judged.curves[row].at(0.2)["gt_known_loc"] * 0.4)
        assert figures["breakdown"][row]["correct"] == round(judged.curves[row].at(0.2)["top1_loc"] * 0.4)
    table = pd.DataFrame(
        {
            "name": [truth.class_names[label] for label in truth.labels],
            "hit": (records["iou"][:, 1] >= 0.5) & ~records["unreadable"],
            "iou": records["iou"][:, 1],
        }
    )
    by_class = table.groupby("name").agg(images=("hit", "size"), hit=("hit", "mean"), iou=("iou", "mean"))
    assert len(figures["per_class"]) == len(by_class)
    for row in figures["per_class"]:
        expected = by_class.loc[row["class"]]
        assert row["images"] == expected["images"]
        assert row["gt_known_loc"] == pytest.approx(100 * expected["hit"])
        assert row["mean_iou"] == pytest.approx(expected["iou"], abs=1e-6)
    assert sum(row["images"] for row in figures["per_size"]) == 40
    assert figures["mean_iou"]["2"]["headline"] == pytest.approx(records["iou"][:, 1].mean(), abs=1e-6)
    assert figures["candidates"]["1"] >= 1

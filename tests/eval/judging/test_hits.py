"""Hits: levels answer every IoU demand of every protocol, at the map's own maximum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.judging.hits import IOU_THRESHOLDS, decide_hits, demanded_level, iou_levels, kept_hits, row_hits
from eval.judging.records import record_type
from eval.protocols import PROTOCOLS, get_protocol

LOOSE, STRICT = get_protocol("wsolevaluation"), get_protocol("bas")


@given(iou=st.one_of(st.floats(0, 1), st.sampled_from([0.3, 0.5, 0.7, np.nextafter(0.5, 0), np.nextafter(0.5, 1)])))
def test_levels_answer_at_least_and_above(iou):
    (level,) = iou_levels(np.array([iou]))
    for threshold in IOU_THRESHOLDS:
        assert (level >= demanded_level(LOOSE, iou_threshold=threshold)) == (iou >= threshold)
        assert (level >= demanded_level(STRICT, iou_threshold=threshold)) == (iou > threshold)


def test_strictness_differs_by_figure():
    (half,) = iou_levels(np.array([0.5]))
    decided = {
        name: [bool(half >= demanded_level(protocol, figure)) for figure in ("gt_known_loc", "top1_loc", "top5_loc")]
        for name, protocol in PROTOCOLS.items()
    }
    assert decided["wsolevaluation"] == decided["sat"] == [True] * 3
    assert decided["ts-cam"] == [True, False, False]
    assert decided["psol"] == decided["bas"] == [False] * 3


def test_hits_follow_the_maps_own_maximum_and_the_classes():
    records = np.zeros(3, record_type(1))
    records["maximum"] = [[255], [100], [0]]
    records["reached_largest"][:2, 0, :50] = 3
    records["in_top1"][:, 0] = [True, False, True]
    records["in_top5"][:, 0] = True
    thresholds = np.array([0.1, 0.3, 0.49])
    hits = row_hits(records, 0, thresholds, LOOSE)
    assert hits["gt_known_loc"].tolist() == [[True, False, False], [True, True, True], [False] * 3]
    assert hits["top1_loc"].tolist() == [[True, False, False], [False] * 3, [False] * 3]
    assert not row_hits(records, 0, thresholds, STRICT)["gt_known_loc"].any()
    records["hit"][:, 0] = decide_hits(records, 0, (0.3, 0.1), LOOSE)
    assert kept_hits(records, 0).tolist() == [False, True, False]
    assert kept_hits(records, 0, policy="fixed").tolist() == [True, True, False]
    assert kept_hits(records, 0, "top1_loc", "fixed").tolist() == [True, False, False]


@pytest.mark.parametrize("name", ["ts-cam", "bas"])
def test_top_k_hits_demand_their_own_iou(name):
    records = np.zeros(1, record_type(1))
    records["maximum"], records["reached_largest"] = 255, 3
    records["in_top1"] = records["in_top5"] = True
    hits = row_hits(records, 0, np.array([0.2]), get_protocol(name))
    assert hits["gt_known_loc"].item() == (name == "ts-cam")
    assert not hits["top5_loc"].item()

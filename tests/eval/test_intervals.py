"""Bootstrap intervals against plain loops, theory, and each other."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_source import PROTOCOL, ArraySource, judge, tiny_split

from eval.evaluate import Thresholds
from eval.intervals import BootstrapIntervals, bootstrap_weights, interval, paired_difference


@settings(max_examples=20, deadline=None)
@given(cut=st.integers(0, 12), seed=st.integers(0, 5))
def test_weights_belong_to_the_image_whatever_the_chunk(cut, seed):
    whole = bootstrap_weights(np.arange(12), 7, seed)
    parts = [bootstrap_weights(np.arange(12)[:cut], 7, seed), bootstrap_weights(np.arange(12)[cut:], 7, seed)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_weights_are_poisson_of_mean_one():
    weights = bootstrap_weights(np.arange(300), 500)
    assert weights.mean() == pytest.approx(1, abs=0.01)
    assert weights.var() == pytest.approx(1, abs=0.02)
    for count, probability in enumerate([0.3679, 0.3679, 0.1839, 0.0613]):
        assert (weights == count).mean() == pytest.approx(probability, abs=0.005)


def test_an_interval_of_a_share_has_the_width_of_theory():
    hits = np.random.default_rng(0).random(2000) < 0.3
    share, (low, high) = paired_difference(np.zeros(2000), hits)
    half = 1.96 * np.sqrt(share * (1 - share) / 2000)
    assert high - low == pytest.approx(2 * half, rel=0.1)
    assert low < share < high


def test_pairing_takes_out_what_two_results_share():
    generator = np.random.default_rng(1)
    first = (generator.random(1000) < 0.5).astype(float)
    second = first.copy()
    second[:20] = 1
    difference, (low, high) = paired_difference(first, second)
    assert difference == pytest.approx(second.mean() - first.mean())
    assert low > 0
    unpaired, (wide_low, wide_high) = paired_difference(generator.permutation(first), second)
    assert unpaired == pytest.approx(difference)
    assert high - low < (wide_high - wide_low) / 3


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    truth, maps, logits = tiny_split(num_images=40, classes=5)
    return judge(tmp_path_factory.mktemp("judged"), ArraySource(maps, logits), truth)


def intervals_of(judged, protocol=PROTOCOL, chunk=None, replicates=60):
    bootstrap = BootstrapIntervals(
        judged.rows,
        protocol,
        Thresholds(0.5, dict.fromkeys(judged.rows, 0.7)),
        judged.ground_truth.labels,
        replicates,
    )
    (records,) = judged.records()
    for start in range(0, len(records), chunk or len(records)):
        bootstrap.count(records[start : start + (chunk or len(records))])
    return bootstrap.compute()


def test_figures_are_those_of_a_plain_loop(judged):
    rows = intervals_of(judged)["rows"]
    (records,) = judged.records()
    weights = bootstrap_weights(np.arange(40), 60).astype(np.float64)
    for number, row in enumerate(judged.rows):
        top1 = records["in_top1"][:, number]
        replicated = [100 * np.average(top1, weights=w) for w in weights]
        assert rows[row]["top1_cls"] == pytest.approx(interval(np.array(replicated)), abs=1e-3)
        hit = np.take_along_axis(records["reached_largest"][:, number], np.full((40, 1), int(0.7 * 255)), axis=1) >= 3
        replicated = [100 * np.average(hit[:, 0] & top1, weights=w) for w in weights]
        assert rows[row]["top1_loc"]["val"] == pytest.approx(interval(np.array(replicated)), abs=1e-3)
    best = [
        max(100 * np.average(records["reached_largest"][:, 0, c] >= 3, weights=w) for c in range(255)) for w in weights
    ]
    assert rows["1"]["max_box_acc"] == pytest.approx(interval(np.array(best)), abs=1e-3)


def test_chunks_make_no_difference(judged):
    one, many = intervals_of(judged), intervals_of(judged, chunk=7)
    for row in judged.rows:
        assert many["rows"][row]["top1_cls"] == pytest.approx(one["rows"][row]["top1_cls"], abs=1e-3)
        assert many["rows"][row]["gt_known_loc"]["val"] == pytest.approx(
            one["rows"][row]["gt_known_loc"]["val"], abs=1e-3
        )


def test_point_figures_lie_in_their_intervals(judged):
    rows = intervals_of(judged, replicates=400)["rows"]
    for row in ("1", "2"):
        low, high = rows[row]["max_box_acc"]
        assert low <= judged.curves[row].max_box_acc()[0.5] <= high + 5
        low, high = rows[row]["gt_known_loc"]["fixed"]
        assert low <= judged.curves[row].at(0.5)["gt_known_loc"] <= high


def test_macro_means_weigh_classes_alike(judged):
    macro = intervals_of(judged, dataclasses.replace(PROTOCOL, macro=True))["rows"]
    (records,) = judged.records()
    labels = judged.ground_truth.labels
    share = 1 / (len(np.unique(labels)) * np.bincount(labels)[labels])
    weights = bootstrap_weights(np.arange(40), 60) * share
    replicated = [100 * np.average(records["in_top1"][:, 0], weights=w) for w in weights]
    assert macro["1"]["top1_cls"] == pytest.approx(interval(np.array(replicated)), abs=1e-3)

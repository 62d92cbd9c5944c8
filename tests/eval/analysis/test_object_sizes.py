"""Figures by object size against loops over images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.analysis.groups import SIZE_BUCKETS
from eval.analysis.intervals import poisson_counts
from eval.analysis.object_sizes import ObjectSizes

SWEPT = np.array([0.0, 0.25, 0.5, 0.75])
HELD = ("fixed", "val")


def counted(hits, buckets, centre_hits, replicates=0, chunk=None):
    """Figures of images counted in chunks."""
    sizes = ObjectSizes(SWEPT, HELD, replicates)
    images = np.arange(len(hits))
    for start in range(0, len(hits), chunk or len(hits)):
        part = slice(start, start + (chunk or len(hits)))
        sizes.update(images[part], hits[part], buckets[part], centre_hits[part])
    return sizes.figures()


@st.composite
def splits(draw):
    """Hits (N, thresholds), buckets and centre hits of some images."""
    count = draw(st.integers(1, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    hits = rng.random((count, len(SWEPT) + len(HELD))) < rng.random()
    return hits, rng.integers(0, draw(st.integers(1, len(SIZE_BUCKETS))), count), rng.random(count) < rng.random()


def accuracy(hits, chosen, column):
    """Percent of the chosen images that are hit, by counting one by one."""
    found = [bool(hits[i, column]) for i in range(len(hits)) if chosen[i]]
    return 100.0 * sum(found) / len(found)


@given(splits(), st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_figures_are_what_loops_count(split, chunk):
    hits, buckets, centre_hits = split
    figures = counted(hits, buckets, centre_hits, chunk=chunk)
    filled = [bucket for bucket in range(len(SIZE_BUCKETS)) if bucket in buckets.tolist()]
    names = list(SIZE_BUCKETS)
    assert [row["size"] for row in figures["by_size"]] == [names[bucket] for bucket in filled]
    per_bucket = np.array(
        [[accuracy(hits, buckets == bucket, column) for column in range(hits.shape[1])] for bucket in filled]
    )
    for row, bucket, curve in zip(figures["by_size"], filled, per_bucket, strict=True):
        assert row["images"] == sum(b == bucket for b in buckets)
        assert (row["fixed"], row["val"]) == pytest.approx((curve[4], curve[5]))
        assert row["oracle"] == pytest.approx(max(curve[:4]))
        assert row["threshold"] == next(t for t, value in zip(SWEPT, curve, strict=False) if value == max(curve[:4]))
    balanced = [sum(column) / len(filled) for column in per_bucket.T]
    assert figures["size_balanced"]["fixed"] == pytest.approx(balanced[4])
    assert figures["size_balanced"]["val"] == pytest.approx(balanced[5])
    assert figures["size_balanced"]["oracle"] == pytest.approx(max(balanced[:4]))
    missed = ~centre_hits
    fails = figures["centre_box_fails"]
    assert fails["images"] == sum(missed.tolist())
    assert fails["share"] == pytest.approx(100 * sum(missed.tolist()) / len(hits))
    if missed.any():
        assert fails["val"] == pytest.approx(accuracy(hits, missed, 5))
        assert fails["oracle"] == pytest.approx(max(accuracy(hits, missed, column) for column in range(4)))
    else:
        assert fails["oracle"] is None
        assert fails["threshold"] is None


@given(splits())
@settings(max_examples=15, deadline=None)
def test_intervals_are_percentiles_of_resampled_bucket_means(split):
    hits, buckets, centre_hits = split
    replicates = 40
    figures = counted(hits, buckets, centre_hits, replicates, chunk=5)
    counts = poisson_counts(np.arange(len(hits)), replicates)
    balanced, missed = [], []
    for weights in counts:
        means = []
        for bucket in range(len(SIZE_BUCKETS)):
            drawn = [(weight, hit) for weight, hit, own in zip(weights, hits, buckets, strict=True) if own == bucket]
            if total := sum(weight for weight, _ in drawn):
                means.append(sum(weight * hit.astype(float) for weight, hit in drawn) / total)
        if means:
            balanced.append(100 * np.mean(means, axis=0))
        drawn = [(weight, hit) for weight, hit, own in zip(weights, hits, centre_hits, strict=True) if not own]
        if total := sum(weight for weight, _ in drawn):
            missed.append(100 * sum(weight * hit.astype(float) for weight, hit in drawn) / total)
    for found, wanted in (
        (figures["size_balanced"]["intervals"], balanced),
        (figures["centre_box_fails"]["intervals"], missed),
    ):
        if not wanted:
            assert found is None
            continue
        curves = np.array(wanted)
        assert found["fixed"] == pytest.approx(np.percentile(curves[:, 4], [2.5, 97.5]))
        assert found["oracle"] == pytest.approx(np.percentile(curves[:, :4].max(1), [2.5, 97.5]))


def test_one_small_object_weighs_as_much_as_many_large_ones():
    hits = np.zeros((100, len(SWEPT) + len(HELD)), dtype=bool)
    hits[1:] = True
    buckets = np.array([0] + [3] * 99)
    figures = counted(hits, buckets, np.ones(100, dtype=bool))
    assert figures["size_balanced"]["fixed"] == 50.0
    assert [row["fixed"] for row in figures["by_size"]] == [0.0, 100.0]


def test_no_image_gives_no_figure():
    sizes = ObjectSizes(SWEPT, HELD, replicates=10)
    figures = sizes.figures()
    assert figures["by_size"] == []
    assert set(figures["size_balanced"].values()) == {None}
    assert figures["centre_box_fails"]["share"] is None

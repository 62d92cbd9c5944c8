"""The bootstrap against theory, against drawing with replacement, and against itself in pieces."""

from __future__ import annotations

import math

import numpy as np
import pytest

from eval.analysis.intervals import Bootstrap, poisson_counts
from wsol.errors import InputError, NothingToJudgeError


def hits(num_images: int, share: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((num_images, 1)) < share


def bootstrap_of(values: np.ndarray, seed: int = 0) -> Bootstrap:
    bootstrap = Bootstrap(values.shape[1], seed=seed)
    bootstrap.update(np.arange(len(values)), values)
    return bootstrap


def test_counts_are_poisson_and_uncorrelated() -> None:
    counts = poisson_counts(np.arange(4000), 500)
    frequency = np.bincount(counts.astype(int).ravel(), minlength=5)[:5] / counts.size
    np.testing.assert_allclose(frequency, np.exp(-1) / np.array([1, 1, 2, 6, 24]), atol=1e-3)
    between_images = np.corrcoef(counts[:, :50].T) - np.eye(50)
    between_replicates = np.corrcoef(counts[:50]) - np.eye(50)
    assert abs(between_images).max() < 5 / np.sqrt(500)
    assert abs(between_replicates).max() < 5 / np.sqrt(4000)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_interval_is_that_of_the_binomial_and_of_drawing_with_replacement(share: float) -> None:
    values = hits(3000, share, seed=1)
    interval = bootstrap_of(values).interval(0)
    mean = values.mean()
    error = 100 * 1.96 * np.sqrt(mean * (1 - mean) / 3000)
    assert interval.value == pytest.approx(100 * mean)
    assert interval.high - interval.low == pytest.approx(2 * error, rel=0.12)
    random = np.random.default_rng(2)
    drawn = [100 * values[random.integers(0, 3000, 3000)].mean() for _ in range(1000)]
    np.testing.assert_allclose([interval.low, interval.high], np.quantile(drawn, [0.025, 0.975]), atol=0.35 * error)


def test_interval_covers_the_truth_in_about_95_of_100() -> None:
    covered = 0
    for trial in range(200):
        interval = bootstrap_of(hits(400, 0.3, seed=trial), seed=trial).interval(0)
        covered += interval.low <= 30 <= interval.high
    assert 0.89 < covered / 200 < 0.99


def test_order_and_processes_change_nothing() -> None:
    values = np.random.default_rng(3).random((2500, 4)) < 0.4
    whole = bootstrap_of(values)
    order = np.random.default_rng(4).permutation(2500)
    parts = [Bootstrap(4) for _ in range(3)]
    for number, part in enumerate(parts):
        mine = order[number::3]
        part.update(mine, values[mine])
    parts[0].merge(parts[1])
    parts[0].merge(parts[2])
    np.testing.assert_array_equal(parts[0].estimates(), whole.estimates())
    assert parts[0].interval(2) == whole.interval(2)


def test_batches_add_up_to_the_weighted_mean_of_all() -> None:
    random = np.random.default_rng(3)
    values, weights = random.random((90, 2)), random.random(90)
    bootstrap = Bootstrap(num_figures=2, replicates=50)
    for start, end in ((0, 40), (40, 70), (70, 90)):
        part = slice(start, end)
        bootstrap.update(np.arange(90)[part], values[part], weights[part])
    for figure in range(2):
        expected = 100 * np.average(values[:, figure], weights=weights)
        assert bootstrap.interval(figure).value == pytest.approx(expected)


def test_paired_difference_is_narrower_than_the_two_intervals_apart() -> None:
    first = hits(2000, 0.6, seed=5)
    second = first ^ hits(2000, 0.03, seed=6)
    a, b = bootstrap_of(first), bootstrap_of(second)
    difference = a.paired_difference(b, 0)
    assert difference.value == pytest.approx(100 * (first.mean() - second.mean()))
    changed = 100 * 1.96 * np.std(first.astype(int) - second.astype(int)) / np.sqrt(2000)
    assert difference.high - difference.low == pytest.approx(2 * changed, rel=0.12)
    assert difference.high - difference.low < 0.5 * (a.interval(0).high - a.interval(0).low)
    same = a.paired_difference(a, 0)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_weights_give_the_mean_over_classes() -> None:
    labels = np.array([0] * 300 + [1] * 100)
    values = np.concatenate([np.ones(300), np.zeros(100)])[:, None]
    bootstrap = Bootstrap(1)
    bootstrap.update(np.arange(400), values, weights=1.0 / np.bincount(labels)[labels])
    assert bootstrap.interval(0).value == pytest.approx(50)


def test_oracle_interval_chooses_anew_in_every_replicate() -> None:
    bootstrap = bootstrap_of(np.random.default_rng(7).random((500, 20)) < 0.5)
    oracle = bootstrap.best_interval()
    assert oracle.value == max(bootstrap.interval(i).value for i in range(20))
    assert oracle.low >= max(bootstrap.interval(i).low for i in range(20))


def test_what_cannot_be_compared_is_refused() -> None:
    a, b = bootstrap_of(hits(100, 0.5, 0)), bootstrap_of(hits(99, 0.5, 0))
    with pytest.raises(InputError, match="not over the same images"):
        a.paired_difference(b, 0)
    with pytest.raises(InputError, match="different figures, replicates or seed"):
        a.merge(Bootstrap(1, seed=1))
    with pytest.raises(InputError, match=r"values must have the shape \(3, 1\)"):
        a.update(np.arange(3), np.zeros((3, 2)))
    with pytest.raises(NothingToJudgeError):
        Bootstrap(1).interval(0)


def split_mix(value: int) -> int:
    """SplitMix64 as its authors wrote it, in whole numbers of 64 bits."""
    value = (value + 0x9E3779B97F4A7C15) % 2**64
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) % 2**64
    return value ^ (value >> 31)


def plain_count(image: int, replicate: int, seed: int) -> int:
    """How often an image counts: where its hash falls among the sums of e^-1 / k!."""
    hashed = split_mix(split_mix((image + split_mix(seed)) % 2**64) ^ split_mix(replicate ^ 0xD1B54A32D192ED03))
    uniform = (hashed >> 11) / 2**53
    count, below = 0, math.exp(-1)
    while below <= uniform:
        count += 1
        below += math.exp(-1) / math.factorial(count)
    return count


@pytest.mark.parametrize("seed", [0, 7])
def test_every_image_counts_as_often_as_its_hash_says(seed: int) -> None:
    assert split_mix(0) == 0xE220A8397B1DCDAF, "the first number of SplitMix64 from 0, as published"
    images = np.array([0, 1, 2, 1000, 10**12])
    counts = poisson_counts(images, 60, seed)
    assert counts.tolist() == [[plain_count(int(image), r, seed) for image in images] for r in range(60)]

"""Score maps against wsolevaluation's recipe, restated step by step."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import wsol


def restated(cam, height, width):
    large = cv2.resize(cam.astype(np.float64), (width, height), interpolation=cv2.INTER_CUBIC)
    if np.isnan(large).any() or cam.min() == cam.max() or large.min() == large.max():
        return np.zeros((height, width), np.float32)
    large -= large.min()
    large /= large.max()
    return large.astype(np.float32)


@settings(max_examples=50, deadline=None)
@given(
    cam=arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.floats(-100, 100, width=32)),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_equals_the_recipe_bit_for_bit(cam, size):
    score_map = wsol.score_maps(cam, size=size)
    assert score_map.dtype == np.float32
    np.testing.assert_array_equal(score_map, restated(cam, *size))


def test_keeps_leading_axes_and_takes_tensors():
    cams = torch.randn(3, 2, 7, 5, generator=torch.Generator().manual_seed(0))
    score_maps = wsol.score_maps(cams, size=(28, 20))
    assert score_maps.shape == (3, 2, 28, 20)
    np.testing.assert_array_equal(score_maps[2, 1], restated(cams[2, 1].numpy(), 28, 20))


def test_every_map_spans_zero_to_one_on_its_own():
    score_maps = wsol.score_maps(np.array([[[0.0, 1.0]], [[5.0, 900.0]]]), size=(4, 8))
    np.testing.assert_array_equal(score_maps.min(axis=(1, 2)), [0, 0])
    np.testing.assert_array_equal(score_maps.max(axis=(1, 2)), [1, 1])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_broken_map_becomes_zeros_and_leaves_the_others_alone(bad):
    cams = np.random.default_rng(0).random((2, 7, 7))
    cams[0, 3, 3] = bad
    score_maps = wsol.score_maps(cams, size=(21, 21))
    assert not score_maps[0].any()
    np.testing.assert_array_equal(score_maps[1], restated(cams[1], 21, 21))


def test_a_constant_map_becomes_zeros():
    assert not wsol.score_maps(np.full((7, 7), 3.7), size=(14, 14)).any()


@pytest.mark.parametrize(("shape", "size"), [((7,), (4, 4)), ((0, 7), (4, 4)), ((7, 7), (0, 4)), ((7, 7), (4, -1))])
def test_wrong_shapes_are_refused(shape, size):
    with pytest.raises(ValueError, match="must be"):
        wsol.score_maps(np.zeros(shape), size=size)

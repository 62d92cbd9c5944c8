"""Fusions of steps against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_source import tiny_split

import wsol
from eval.measures.fusion import fuse_steps, softmax


@pytest.fixture
def batch():
    truth, maps, logits = tiny_split(num_images=6, steps=3)
    return truth.labels, maps, softmax(logits)


def test_mean_and_max(batch):
    labels, maps, probabilities = batch
    fused = fuse_steps(maps, probabilities, labels)
    for image in range(6):
        mean = wsol.normalize_score_map(maps[:, image].mean(axis=0))
        np.testing.assert_allclose(fused["mean"].score_maps[image], mean, atol=1e-6)
        highest = np.maximum.reduce(maps[:, image])
        np.testing.assert_allclose(fused["max"].score_maps[image], wsol.normalize_score_map(highest), atol=1e-6)
        np.testing.assert_allclose(fused["mean"].probabilities[image], probabilities[:, image].mean(axis=0), atol=1e-6)


def test_confidence_weighs_maps_by_the_label_and_classes_by_the_top_class(batch):
    labels, maps, probabilities = batch
    fused = fuse_steps(maps, probabilities, labels)["confidence"]
    for image, label in enumerate(labels):
        weights = probabilities[:, image, label]
        mean = np.average(maps[:, image], axis=0, weights=weights)
        np.testing.assert_allclose(fused.score_maps[image], wsol.normalize_score_map(mean), atol=1e-5)
        certain = probabilities[:, image].max(axis=-1)
        np.testing.assert_allclose(
            fused.probabilities[image], np.average(probabilities[:, image], axis=0, weights=certain), atol=1e-6
        )


def test_classification_does_not_see_the_label(batch):
    labels, maps, probabilities = batch
    other = fuse_steps(maps, probabilities, (labels + 1) % 7)
    for name, fused in fuse_steps(maps, probabilities, labels).items():
        np.testing.assert_array_equal(fused.probabilities, other[name].probabilities)


def test_a_label_without_any_probability_weighs_steps_alike(batch):
    labels, maps, probabilities = batch
    probabilities[:, 0, labels[0]] = 0
    fused = fuse_steps(maps, probabilities, labels)
    np.testing.assert_allclose(fused["confidence"].score_maps[0], fused["mean"].score_maps[0], atol=1e-5)


def test_maps_alone_have_no_confidence(batch):
    labels, maps, _ = batch
    fused = fuse_steps(maps, None, labels)
    assert set(fused) == {"mean", "max"}
    assert fused["mean"].probabilities is None

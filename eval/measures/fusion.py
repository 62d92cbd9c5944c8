"""Joining the maps and the predictions of all computation steps into one answer.

Where steps look at different parts of an object, their union may cover more of it than any one of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from wsol.scoremap import normalize_score_map

FUSIONS = ("mean", "max", "confidence")


@dataclass(frozen=True)
class Fused:
    """One fused answer for a batch.

    Attributes:
        score_maps: ``(B, H, W)`` in [0, 1], normalised again after fusing.
        probabilities: ``(B, C)`` class probabilities, or None where only maps are known.
    """

    score_maps: npt.NDArray[np.floating]
    probabilities: npt.NDArray[np.float32] | None


def softmax(logits: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Softmax over the last axis, in float64 inside.

    >>> softmax(np.array([[0.0, 0.0]])).tolist()
    [[0.5, 0.5]]
    """
    probabilities: npt.NDArray[np.float32] = special.softmax(np.float64(logits), axis=-1).astype(np.float32)
    return probabilities


def fuse_steps(
    score_maps: npt.NDArray[np.floating],
    probabilities: npt.NDArray[np.float32] | None,
    labels: npt.NDArray[np.int64],
) -> dict[str, Fused]:
    """Fuse the steps of a batch in every way we know.

    - ``mean``: mean of the steps' score maps and of their class probabilities.
    - ``max``: pixel-wise maximum of the maps, class-wise maximum of the probabilities.
    - ``confidence``: mean weighted by the probability that a step gives to the map's class, which is the
      ground-truth class as everywhere in GT-known localization; the classes are weighted by each step's own top
      probability, so that no label enters the classification.

    Args:
        score_maps: ``(T, B, H, W)`` in [0, 1].
        probabilities: ``(T, B, C)``, or None where only maps are known; then there is no ``confidence``.
        labels: Ground-truth classes ``(B,)``.

    Returns:
        The fused answers by name.
    """
    fused = {
        "mean": Fused(
            _normalized(score_maps.mean(axis=0)), None if probabilities is None else probabilities.mean(axis=0)
        ),
        "max": Fused(_normalized(score_maps.max(axis=0)), None if probabilities is None else probabilities.max(axis=0)),
    }
    if probabilities is None:
        return fused
    of_label = np.take_along_axis(probabilities, labels[None, :, None], axis=-1)
    certainty = probabilities.max(axis=-1, keepdims=True)
    fused["confidence"] = Fused(
        _normalized(_weighted_mean(score_maps, of_label[..., None])), _weighted_mean(probabilities, certainty)
    )
    return fused


def _weighted_mean(values: npt.NDArray[np.floating], weights: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Mean over the first axis; where all weights vanish, the plain mean."""
    total = weights.sum(axis=0)
    shares = np.where(total > 0, weights / np.where(total > 0, total, 1), 1 / len(weights))
    return (values * shares).sum(axis=0).astype(np.float32)


def _normalized(score_maps: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    return np.stack([normalize_score_map(one) for one in score_maps]).astype(score_maps.dtype)

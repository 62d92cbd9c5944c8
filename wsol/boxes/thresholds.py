"""Thresholds that a score map finds for itself: rules that need no box, neither of this image nor of others.

rule = wsol.boxes.thresholds.find_rule("otsu")
cut = rule.cut(wsol.boxes.quantize_score_map(score_map))      # the object lies strictly above it

A rule gives a cut of the map's 8-bit form, as every threshold does (see `wsol.sweep`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tdam.errors import UnknownNameError

GRAMMAR = "otsu, mean+<k>std (mean+1std), percentile<q>x<t> (percentile90x0.35), area<share> (area0.25)"
DEFAULT_RULES = ("otsu", "mean+1std", "percentile90x0.35", "area0.25")
_NUMBER = r"(\d+(?:\.\d+)?|\.\d+)"


@dataclass(frozen=True)
class ThresholdRule:
    """A rule by name.

    Attributes:
        name: As the user writes it.
        cut: Cut of an 8-bit map ``(H, W)``: an integer in [0, 255], above which strictly the object lies.
    """

    name: str
    cut: Callable[[NDArray[np.uint8]], int]

    def cuts(self, quantized: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Cuts ``(N,)`` of 8-bit maps ``(N, H, W)``."""
        return np.array([self.cut(one) for one in quantized], dtype=np.int64)


def find_rule(name: str) -> ThresholdRule:
    """The rule of a name.

    ``otsu``: the threshold that separates two classes of values best (Otsu, 1979). ``mean+1std``: that many standard
    deviations above the mean. ``percentile90x0.35``: 0.35 times the 90th percentile (Bae et al., "Rethinking Class
    Activation Mapping", ECCV 2020), whole pixels and ``int`` as in their code. ``area0.25``: the lowest cut that leaves
    at most this share of the map, a prior for the object's size.

    Raises:
        UnknownNameError: If there is no such rule, or a number in it is not possible.

    >>> find_rule("area0.5").cut(np.array([[0, 10], [20, 30]], np.uint8))
    10
    """
    if name == "otsu":
        return ThresholdRule(name, _otsu)
    if found := re.fullmatch(rf"mean\+{_NUMBER}std", name):
        deviations = float(found[1])
        return ThresholdRule(name, lambda values: min(int(values.mean() + deviations * values.std()), 255))
    if found := re.fullmatch(rf"percentile{_NUMBER}x{_NUMBER}", name):
        percentile, factor = float(found[1]), float(found[2])
        if percentile <= 100 and factor < 1:
            return ThresholdRule(name, lambda values: int(factor * float(np.percentile(values, percentile))))
    if found := re.fullmatch(rf"area{_NUMBER}", name):
        share = float(found[1])
        if 0 < share < 1:
            return ThresholdRule(name, lambda values: _lowest_cut_of_area(values, share))
    raise UnknownNameError(f"unknown threshold rule {name!r}; valid: {GRAMMAR}")


def _otsu(values: NDArray[np.uint8]) -> int:
    import cv2

    cut, _ = cv2.threshold(np.ascontiguousarray(values), 0, 255, cv2.THRESH_OTSU)
    return int(cut)


def _lowest_cut_of_area(values: NDArray[np.uint8], share: float) -> int:
    # Pixels above a cut fall as it rises; at 255 there is none.
    up_to = np.cumsum(np.bincount(values.ravel(), minlength=256))
    return int(np.argmax(values.size - up_to <= share * values.size))

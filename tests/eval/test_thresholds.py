"""Threshold policies read the same curve at their own thresholds."""

from __future__ import annotations

import numpy as np
import pytest

from eval.errors import InputError
from eval.sweep import cam_thresholds
from eval.thresholds import best_threshold, figures_by_policy, threshold_index


def test_oracle_is_the_maximum_and_ties_go_to_the_lowest_threshold() -> None:
    thresholds = cam_thresholds(0.01)
    curve = np.minimum(thresholds * 200, 80)
    assert best_threshold(thresholds, curve) == thresholds[40]
    figures = figures_by_policy(thresholds, curve, fixed=0.2, val=0.3)
    assert {name: (f.percent, f.policy) for name, f in figures.items() if f} == {
        "fixed": (40.0, "fixed"),
        "val": (60.0, "val"),
        "oracle": (80.0, "oracle"),
    }


def test_no_policy_beats_the_oracle_and_val_may_be_missing() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        curve = random.random(100)
        figures = figures_by_policy(cam_thresholds(0.01), curve, fixed=random.random())
        assert figures["val"] is None
        assert figures["fixed"] is not None
        assert figures["oracle"] is not None
        assert figures["fixed"].percent <= figures["oracle"].percent == curve.max()


def test_a_threshold_between_two_is_read_at_the_nearest() -> None:
    assert threshold_index(cam_thresholds(0.001), 36.5 / 155) == 235
    with pytest.raises(InputError, match="must be of one length"):
        best_threshold([0.1, 0.2], [1.0])

"""Rules by which a map finds its own threshold, against other libraries and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from method_goldens import arrays, configuration
from skimage.filters import threshold_otsu

from tdam.errors import UnknownNameError
from wsol.boxes import boxes_of_cut, quantize_score_map
from wsol.boxes.thresholds import DEFAULT_RULES, find_rule
from wsol.scoremap import score_maps


def maps(count=20, shape=(23, 37)):
    random = np.random.default_rng(0)
    return [(random.random(shape) ** random.uniform(0.3, 6) * 255).astype(np.uint8) for _ in range(count)]


def test_otsu_separates_as_scikit_image_does():
    for values in maps():
        assert find_rule("otsu").cut(values) == threshold_otsu(values)


def test_what_lies_above_the_cut_lies_above_mean_and_deviations():
    for values in maps():
        for deviations in (0, 0.5, 1, 2.5):
            cut = find_rule(f"mean+{deviations}std").cut(values)
            assert ((values > cut) == (values > values.mean() + deviations * values.std())).all()


def test_the_area_above_the_cut_is_the_largest_that_the_prior_allows():
    for values in maps():
        for share in (0.05, 0.25, 0.9):
            cut = find_rule(f"area{share}").cut(values)
            assert (values > cut).mean() <= share
            assert cut == 0 or (values > cut - 1).mean() > share


@pytest.mark.parametrize("which", ["cam", "cam_nwc"])
def test_the_percentile_as_threshold_is_that_of_its_authors(which):
    config, expected = configuration("tap_01"), arrays("tap_01")
    for image, raw in enumerate(expected[which]):
        quantized = quantize_score_map(score_maps(raw, (config["map_size"],) * 2))
        for (factor, percentile), box in zip(
            config["threshold_percentile"], expected[f"{which}_boxes"][image], strict=True
        ):
            cut = find_rule(f"percentile{percentile}x{factor}").cut(quantized)
            # The authors' boxes end one past the last pixel, at the border too.
            found = boxes_of_cut(quantized, cut)[0] + [0, 0, *(boxes_of_cut(quantized, cut)[0, 2:] == 223)]
            assert found.tolist() == box.tolist()


def test_a_map_without_contrast_has_nothing_above_its_cut():
    for rule in (*DEFAULT_RULES, "mean+0std"):
        cut = find_rule(rule).cut(np.zeros((5, 7), np.uint8))
        assert not (np.zeros((5, 7)) > cut).any()
    assert find_rule("otsu").cuts(np.stack(maps(3))).shape == (3,)


@pytest.mark.parametrize("name", ["ostu", "mean+std", "percentile101x0.3", "percentile90x1", "area1", "area0", "area"])
def test_a_rule_that_is_none_names_the_valid_ones(name):
    with pytest.raises(UnknownNameError, match=r"unknown threshold rule .*; valid: otsu, mean\+<k>std"):
        find_rule(name)

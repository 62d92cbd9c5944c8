"""Means, intervals and paired differences over seeds, against scipy and by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from eval.bench.description import FIGURES, Baseline
from eval.bench.figures import COSTS
from eval.bench.over_seeds import best_rows, mean_of, paired_difference, summary
from eval.bench.tables import cells, latex, markdown
from tdam.errors import UserError


def test_the_interval_is_students() -> None:
    values = np.random.default_rng(0).normal(60, 3, 5)
    low, high = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
    found = mean_of(pd.Series(values))
    assert found is not None
    assert found.half is not None
    assert (found.value - found.half, found.value + found.half) == pytest.approx((low, high))
    assert mean_of(pd.Series([1.0])).half is None
    assert mean_of(pd.Series([None, None], dtype=float)) is None


def test_differences_are_paired_by_seed() -> None:
    base = pd.Series([10.0, 20.0, 30.0, 99.0], index=[0, 1, 2, 7])
    found = paired_difference(pd.Series([31.5, 11.0, 21.0], index=[2, 0, 1]), base)
    interval = stats.ttest_rel([11.0, 21.0, 31.5], [10.0, 20.0, 30.0]).confidence_interval(0.95)
    assert found is not None
    assert found.half is not None
    assert (found.value - found.half, found.value + found.half) == pytest.approx((interval.low, interval.high))
    assert paired_difference(pd.Series([1.0], index=[5]), base) is None


def rows() -> pd.DataFrame:
    """Two networks by two protocols, three seeds, in any order; the second lacks a seed of the first."""
    lines = []
    for protocol, shift in (("one", 0.0), ("two", 5.0)):
        for network, seeds, base in (("plain_a", (2, 0, 1), 60.0), ("tdam", (0, 2), 64.0)):
            for seed in seeds:
                line = {"protocol": protocol, "network": network, "method": "cam", "map": "cam", "seed": seed}
                figures = dict.fromkeys(FIGURES, base + shift + seed) | {"pxap": None}
                folder = {"folder": f"{protocol}/{network}/{seed}"}
                lines.append(line | figures | dict.fromkeys(COSTS, 120.0) | folder)
    return pd.DataFrame(lines)


def test_the_summary_compares_within_a_protocol() -> None:
    table = summary(rows(), Baseline(network="plain_a")).set_index(["protocol", "network"])
    assert table.loc[("two", "plain_a"), "gt_known_loc"] == 66.0
    assert table.loc[("two", "tdam"), "gt_known_loc"] == 70.0
    # Seeds 0 and 2 of both: the difference is 4 each time, whatever seed 1 was.
    assert table.loc[("two", "tdam"), "gt_known_loc_against"] == 4.0
    assert table.loc[("two", "tdam"), "gt_known_loc_against_half"] == 0.0
    assert table["is_baseline"].tolist() == [True, False, True, False]
    assert table["seeds"].tolist() == [3, 2, 3, 2]
    with pytest.raises(UserError, match="no run of the baseline is finished"):
        summary(rows(), Baseline(method="has"))


def test_one_seed_is_compared_image_by_image_with_the_baselines_run_of_that_seed() -> None:
    asked = []

    def over_images(first: str, second: str) -> dict[str, tuple[float, float]]:
        asked.append((first, second))
        return {"gt_known_loc": (-1.0, 9.0)}

    some = rows()[lambda table: (table["network"] != "tdam") | (table["seed"] == 2)]
    table = summary(some, Baseline(), over_images).set_index(["protocol", "network"])
    assert asked == [("one/plain_a/2", "one/tdam/2"), ("two/plain_a/2", "two/tdam/2")]
    row = table.loc[("one", "tdam")]
    assert row["gt_known_loc_against"] == 4.0
    assert (row["gt_known_loc_against_low"], row["gt_known_loc_against_high"]) == (-1.0, 9.0)
    assert pd.isna(row["max_box_acc_against_low"])
    assert (
        cells(table.reset_index(), "gt_known_loc")["GT-known − baseline"].tolist()
        == [
            "baseline",
            "+4.0 [−1.0, +9.0]",
        ]
        * 2
    )
    # Weights that are given have no seed: any run of the baseline will do.
    given = rows().assign(seed=None)[lambda table: table["folder"].isin(["one/plain_a/2", "one/tdam/0"])]
    asked.clear()
    found = summary(given, Baseline(), over_images)
    assert asked == [("one/plain_a/2", "one/tdam/0")]
    assert found["gt_known_loc_against"].tolist()[1] == 2.0


def test_the_best_are_found_in_every_protocol() -> None:
    table = summary(rows(), Baseline())
    best = best_rows(table)
    assert {line["figure"] for line in best} == set(FIGURES) - {"pxap"}
    assert {(line["best"]["network"], line["next"]["network"]) for line in best} == {("tdam", "plain_a")}
    assert all(line[place]["protocol"] == line["protocol"] for line in best for place in ("best", "next"))


def test_tables_name_what_differs_and_nothing_else() -> None:
    table = summary(rows(), Baseline())
    shown = cells(table[table["protocol"] == "one"], "max_box_acc")
    assert list(shown)[:3] == ["network", "seeds", "MaxBoxAcc − baseline"]
    assert shown["MaxBoxAcc − baseline"].tolist() == ["baseline", "+4.0 ± 0.0"]
    assert shown["GT-known"].tolist() == ["61.0 ± 2.5", "65.0 ± 12.7"]
    assert shown["train min"].tolist() == ["2.0", "2.0"]
    assert "PxAP" not in shown
    assert "| plain_a | 3 | baseline |" in markdown(shown)
    text = latex(shown, "50 % of a_b")
    assert r"plain\_a & 3 & baseline" in text
    assert r"$+4.0" not in text
    assert r"+4.0 $\pm$ 0.0" in text
    assert r"\caption{50 \% of a\_b}" in text

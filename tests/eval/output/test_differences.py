"""Differences of two results that are written down here, against plain loops over their images."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from eval.analysis.intervals import poisson_counts
from eval.output.compare import (
    FIGURES,
    Comparison,
    Difference,
    ReadResult,
    compare,
    compare_all,
    comparison_table,
    result_names,
)
from eval.output.methods import methods_table
from tdam.errors import UserError

IMAGES = 30
COLUMNS = {
    "top1_cls": "top1_correct",
    "top5_cls": "top5_correct",
    "gt_known_loc": "hit_gt_known_loc",
    "top1_loc": "hit_top1_loc",
    "top5_loc": "hit_top5_loc",
    "size_balanced": "hit_gt_known_loc",
    "mean_iou": "iou",
}


def result(name, seed, macro=False, classes=True, **changes):
    """A result of 30 images, of which every seventh has no box."""
    random = np.random.default_rng(seed)
    boxed = np.arange(IMAGES) % 7 != 3
    table = {column: (random.random(IMAGES) < 0.5 + 0.1 * seed).astype(float) for column in set(COLUMNS.values())}
    table["iou"] = random.random(IMAGES)
    for column in ("iou", "hit_gt_known_loc", "hit_top1_loc", "hit_top5_loc"):
        table[column][~boxed] = np.nan
    if not classes:
        table["hit_top1_loc"][:] = table["hit_top5_loc"][:] = np.nan
    last = pd.DataFrame({"image": [f"{i}.png" for i in range(IMAGES)], **table})
    last["label"] = np.arange(IMAGES) % 4
    last["size"] = np.where(boxed, np.array(["small", "large", "large"])[np.arange(IMAGES) % 3], "")
    results = {
        "model": name,
        "dataset": "cub",
        "protocol": "bas",
        "data": {"split": "test"},
        "conventions": {"macro": macro},
        "thresholds": {"headline": "val"},
        "network": {"method": "cam"},
        "metrics": {
            "top1_cls": 1.0 if classes else None,
            "top5_cls": 1.0 if classes else None,
            "max_box_acc": 40.0 + seed,
            "max_box_acc_v2": 30.0 + 2 * seed,
            "pxap": None if seed else 10.0,
        },
    }
    return ReadResult(Path(name) / "results.json", results | changes, last)


def plain_means(read, figure, counts):
    """A figure in percent where each image counts as often as said; groups of equal weight where that is asked for."""
    values = read.last[COLUMNS[figure]].tolist()
    groups = read.last["size" if figure == "size_balanced" else "label"].tolist()
    known = [image for image, value in enumerate(values) if not np.isnan(value)]
    grouped = figure == "size_balanced" or read.results["conventions"]["macro"]
    weight = {
        image: counts[image] / (sum(groups[other] == groups[image] for other in known) if grouped else 1)
        for image in known
    }
    return 100 * sum(weight[image] * values[image] for image in known) / sum(weight.values())


@pytest.mark.parametrize("macro", [False, True])
def test_every_difference_and_its_paired_interval(macro):
    first, second = result("a", 0, macro), result("b", 1, macro)
    found = {row.figure: row for row in compare(first, second, replicates=40).differences}
    assert list(found) == [figure for figure in FIGURES if figure != "pxap"], "only the first has masks"
    for figure in COLUMNS:
        row = found[figure]
        one, other = (plain_means(read, figure, np.ones(IMAGES)) for read in (first, second))
        assert (row.first, row.second, row.difference) == pytest.approx((one, other, other - one))
        drawn = [
            plain_means(second, figure, counts) - plain_means(first, figure, counts)
            for counts in poisson_counts(np.arange(IMAGES), 40)
        ]
        assert (row.low, row.high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])))
    assert found["max_box_acc"] == Difference("max_box_acc", 40.0, 41.0, 1.0, None, None)
    assert found["max_box_acc_v2"] == Difference("max_box_acc_v2", 30.0, 32.0, 2.0, None, None)


def test_what_one_of_them_lacks_is_left_out():
    for pair in ((result("a", 0), result("b", 1, classes=False)), (result("a", 0, classes=False), result("b", 1))):
        found = [row.figure for row in compare(*pair, replicates=3).differences]
        assert found == ["gt_known_loc", "size_balanced", "mean_iou", "max_box_acc", "max_box_acc_v2"]


def test_a_comparison_says_of_what_it_is():
    found = compare(result("a", 0), result("b", 1), replicates=3)
    assert (found.names, found.images, found.warnings) == (("a", "b"), IMAGES, ())
    warned = compare(
        result("a", 0, network=None),
        result("b", 1, thresholds={"headline": "fixed"}, network={"method": "cam", "fold_norms": True}),
        replicates=3,
    )
    assert warned.warnings == (
        "threshold policies differ: val against fixed",
        "method differs: False against cam",
        "fold_norms differs: False against True",
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"dataset": "imagenet"},
            "b/results.json is of dataset imagenet, a/results.json of cub: they cannot be compared",
        ),
        ({"protocol": "sat"}, "b/results.json is of protocol sat, a/results.json of bas: they cannot be compared"),
        ({"data": {"split": "val"}}, "b/results.json is of split val, a/results.json of test: they cannot be compared"),
    ],
)
def test_unlike_results_are_refused_by_name(changes, message):
    with pytest.raises(UserError) as caught:
        compare(result("a", 0), result("b", 1, **changes))
    assert str(caught.value) == message


def test_other_images_are_refused_by_name():
    other = result("b", 1)
    shuffled = ReadResult(other.path, other.results, other.last.iloc[::-1])
    with pytest.raises(UserError) as caught:
        compare(result("a", 0), shuffled)
    assert str(caught.value) == (
        "b/results.json judged other images than a/results.json: use the same split and --limit"
    )
    with pytest.raises(UserError, match=r"^compare needs at least two results$"):
        compare_all([Path("a")])


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.1, 2, 1), (-2, -0.1, -1), (-1, 1, 0), (0.0, 1, 0), (-1, 0.0, 0), (None, None, 0)],
)
def test_a_verdict_needs_an_interval_without_zero(low, high, verdict):
    assert Difference("top1_cls", 1.0, 2.0, 1.0, low, high).verdict == verdict


def test_networks_that_come_twice_are_told_apart_by_their_folders(tmp_path):
    (tmp_path / "one").mkdir()
    paths = [tmp_path / "one", tmp_path / "two" / "results.json", "three/results.json"]
    names = result_names([{"model": "net"}, {"model": "net"}, {"model": "other"}], paths)
    assert names == ["net (one)", "net (two)", "other"]


def printed(table):
    console = Console(file=io.StringIO(), width=100)
    console.print(table)
    return console.file.getvalue()


def test_a_table_marks_what_is_beyond_chance():
    rows = (
        Difference("gt_known_loc", 50.0, 55.125, 5.125, 1.5, 8.25),
        Difference("top1_loc", 40.0, 39.5, -0.5, -2.0, 1.0),
        Difference("max_box_acc", 60.0, 61.0, 1.0, None, None),
    )
    table = comparison_table(Comparison(("one", "other"), 12, rows, ()))
    assert [column.justify for column in table.columns] == ["left", "right", "right", "right", "right"]
    text = printed(table)
    lines = [line.split() for line in text.splitlines()]
    assert text.startswith("other against one, last step, 12 images")
    assert ["figure", "one", "other", "difference", "95", "%", "interval"] in lines
    assert ["GT-known", "50.00", "55.12", "+5.12*", "[+1.50,", "+8.25]"] in lines
    assert ["Top-1", "Loc", "40.00", "39.50", "-0.50", "[-2.00,", "+1.00]"] in lines
    assert ["MaxBoxAcc", "60.00", "61.00", "+1.00"] in lines
    assert "* where it holds no zero. Figures of the whole split have no paired interval." in " ".join(text.split())


def test_every_other_result_is_compared_with_the_first(monkeypatch):
    read = {name: result(name, seed) for seed, name in enumerate(("one", "two", "three"))}
    monkeypatch.setattr("eval.output.compare.read_result", lambda path: read[path.name])
    comparisons = compare_all([Path(name) for name in read], 20)
    assert [one.names for one in comparisons] == [("one", "two"), ("one", "three")]
    for comparison, name in zip(comparisons, ("two", "three"), strict=True):
        assert comparison.differences == compare(read["one"], read[name], 20).differences


@pytest.mark.parametrize("replicates", [0, 20])
def test_methods_stand_side_by_side_against_the_first(tmp_path, monkeypatch, replicates):
    read = {name: result(name, seed) for seed, name in enumerate(("cam", "grad-cam", "score-cam"))}
    monkeypatch.setattr("eval.output.methods.read_result", lambda path: read[path.name])
    text = printed(methods_table(tmp_path, list(read), replicates))
    words = " ".join(text.split())
    assert words.startswith("map methods against cam, last step, 30 images")
    assert words.endswith("with its paired 95 % bootstrap interval." if replicates else "Difference in points.")
    table = pd.read_csv(tmp_path / "methods.csv")
    assert list(table.columns) == ["method", "against", "figure", "value", "difference", "low", "high"]
    assert set(table["against"]) == {"cam"}
    assert table["low"].isna().all() == (replicates == 0)
    lines = [" ".join(line.replace("│", " ").replace("┃", " ").split()) for line in text.splitlines()]
    assert "figure grad-cam score-cam" in lines
    for figure in ("gt_known_loc", "max_box_acc"):
        wanted = [FIGURES[figure]]
        for method in ("grad-cam", "score-cam"):
            (row,) = [
                one
                for one in compare(read["cam"], read[method], max(1, replicates)).differences
                if one.figure == figure
            ]
            (told,) = table[(table["figure"] == figure) & (table["method"] == method)].to_dict("records")
            assert (told["value"], told["difference"]) == pytest.approx((row.second, row.difference))
            wanted.append(f"{row.difference:+.2f}")
            if replicates and row.low is not None:
                assert (told["low"], told["high"]) == pytest.approx((row.low, row.high))
                wanted[-1] += f" [{row.low:+.1f}, {row.high:+.1f}]"
        assert " ".join(wanted) in lines

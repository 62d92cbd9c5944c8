"""The terminal: whole numbers at 80 columns, names as they are, words that say what was done."""

from __future__ import annotations

import copy
import io
import re

import pytest
from rich.console import Console
from tiny_source import HEIGHT, PROTOCOL, WIDTH, ArraySource, tiny_split

from eval.analysis.curves import count_split
from eval.judging.split import judge_split
from eval.judging.thresholds import Thresholds
from eval.output.document import results_document
from eval.output.table import caption, headline_text, results_tables, rows_of_results


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    truth, maps, logits = tiny_split(num_images=30)
    folder = tmp_path_factory.mktemp("judged")
    judged = judge_split(ArraySource(maps, logits), truth, PROTOCOL, Thresholds(0.2), folder)
    facts = {"map_size": (HEIGHT, WIDTH), "command": None, "network": None, "limit": None, "replicates": 50}
    return results_document(judged, count_split(judged), model="a [bold] network", **facts)


def printed(all_results, width):
    console = Console(file=io.StringIO(), width=width, markup=False)
    for table in results_tables(all_results, width):
        console.print(table)
    return console.file.getvalue()


def numbers(text):
    return re.findall(r"\d+\.\d\d\b", text)


@pytest.mark.parametrize("width", [80, 60, 200])
def test_every_number_is_whole_and_no_line_too_long(results, width):
    text = printed([results], width)
    wide = printed([results], 400)
    assert sorted(numbers(text)) == sorted(numbers(wide))
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for row in rows_of_results(results):
        value = row.figures["gt_known_loc"]["fixed"]
        assert f"{value:.2f}" in text


def test_two_results_are_told_apart_and_names_are_no_markup(results):
    other = copy.deepcopy(results)
    other["model"] = "another"
    text = printed([results, other], 80)
    assert "a [bold] network" in text
    assert text.index("a [bold] network") < text.index("another")


def test_the_headline_says_figure_interval_protocol_threshold_and_baseline(results):
    text, headline = headline_text(results), results["headline"]
    assert f"{headline['gt_known_loc']:.1f} % of 30 images of tiny test" in text
    assert f"[{headline['gt_known_loc_low']:.1f}, {headline['gt_known_loc_high']:.1f}]" in text
    assert "Protocol wsolevaluation; fixed threshold 0.2." in text
    assert f"{headline['centre_box_gt_known_loc']:.1f} %" in text
    oracle = results["metrics"]["gt_known_loc"]["oracle"]
    assert oracle != headline["gt_known_loc"], "the fixture tells the oracle from the headline"
    assert f"{oracle:.1f} %" not in text


def test_a_strict_protocol_is_said_to_be_strict(results):
    strict = copy.deepcopy(results)
    strict["conventions"]["gt_known_strict"] = True
    assert "IoU > 0.5" in caption(strict)
    assert "IoU ≥ 0.5" in caption(results)

"""The report says what the results say, holds everything itself, and takes names for text."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter
from results_folder import HOSTILE_CLASS, HOSTILE_IMAGE, with_hostile_names, write_results

from eval.output.table import BASELINES
from eval.report import charts, write_comparison, write_report
from eval.report.data import class_rows, error_kinds, headline_rows, read_report
from tdam.errors import UserError


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_results(tmp_path_factory.mktemp("report"))


class Page(HTMLParser):
    """Elements and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        return [
            attributes
            for name, attributes in self.elements
            if name == tag and all(attributes.get(key) == value for key, value in wanted.items())
        ]


@pytest.fixture(scope="module")
def page(results: Path) -> Page:
    return Page((results / "report.html").read_text())


def test_the_answer_comes_first_with_the_figures_of_results_json(results: Path, page: Page) -> None:
    known = json.loads((results / "results.json").read_text())
    last = known["metrics"]["gt_known_loc"][known["thresholds"]["headline"]]
    lead = re.search(r'<p class="lead">(.*?)</p>', (results / "report.html").read_text()).group(1)
    assert f"{last:.1f}" in lead
    assert "thresholds chosen on minibirds val, 24 images" in page.text
    for figures in known["steps"].values():
        assert f"{figures['max_box_acc_v2']:.2f}" in page.text


def test_every_section_is_there(page: Page) -> None:
    sections = {attributes["id"] for attributes in page.all("section")}
    assert {"answer", "curves", "errors", "shift", "classes", "gallery", "reproduce"} <= sections


def test_the_page_needs_nothing_from_outside(page: Page) -> None:
    for tag, attributes in page.elements:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            value = attributes.get(name, "")
            assert value.startswith(("data:", "#")) or value == "", f"<{tag} {name}={value[:60]}>"
    (policy,) = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert "default-src 'none'" in policy["content"]


def test_pictures_have_alternative_texts_and_controls_have_labels(page: Page) -> None:
    assert all("alt" in image for image in page.all("img"))
    assert all(photo["alt"] for photo in page.all("img", **{"class": "photo"}))
    assert all(chart["aria-label"] for chart in page.all("svg", **{"class": "chart"}))
    assert len(page.all("figure", **{"class": "shot"})) == 12


def test_hostile_names_stay_text(results: Path, tmp_path: Path) -> None:
    hostile = Page(write_report(with_hostile_names(results, tmp_path / "hostile")).read_text())
    assert len(hostile.all("script")) == 1
    assert not [attributes for attributes in hostile.all("img") if "onerror" in attributes]
    assert HOSTILE_CLASS.split(",")[0] in hostile.text
    assert any(HOSTILE_IMAGE in photo["alt"] for photo in hostile.all("img", **{"class": "photo"}))
    assert HOSTILE_CLASS in {shot["data-class"] for shot in hostile.all("figure", **{"class": "shot"})}


def test_two_hundred_images_stay_under_eight_megabytes(results: Path, tmp_path: Path) -> None:
    """Photographs compress worst as noise; these are noise."""
    folder = tmp_path / "large"
    shutil.copytree(results, folder)
    index = folder / "gallery" / "gallery.json"
    entries = json.loads(index.read_text())
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    # As rough as a photograph of grass: about twice the bytes of a usual one.
    Image.fromarray(noise).filter(ImageFilter.GaussianBlur(1)).save(folder / "gallery" / "noise.webp", quality=80)
    many = [entries[number % len(entries)] | {"photo": "noise.webp"} for number in range(200)]
    index.write_text(json.dumps(many))
    assert write_report(folder).stat().st_size < 8_000_000


def test_intervals_are_those_of_results_json(results: Path, page: Page) -> None:
    known = json.loads((results / "results.json").read_text())
    for step in ("1", "2"):
        of_step = known["intervals"]["rows"][step]
        for low, high in (of_step["top1_cls"], of_step["gt_known_loc"]["val"], of_step["max_box_acc_v2"]):
            assert f"[{low:.1f}, {high:.1f}]" in page.text


def test_the_figure_is_set_against_the_baselines(results: Path, page: Page) -> None:
    known = json.loads((results / "results.json").read_text())
    centre = known["baselines"]["centre_box"]["gt_known_loc"]
    difference = abs(known["headline"]["gt_known_loc"] - centre)
    assert re.search(rf"{difference:.1f} points (more|less) than one centred box", page.text) or difference < 0.05
    *_, first, second = headline_rows(read_report(results))
    assert [row["name"] for row in (first, second)] == list(BASELINES.values())
    assert [cell["value"] for cell in first["cells"]][:3] == [None, None, centre]


def test_classes_add_up_to_the_whole(results: Path) -> None:
    report = read_report(results)
    rows = class_rows(report)
    images = sum(row["images"] for row in rows)
    assert images == report.results["images"]
    for step, column in (("1", "first"), ("2", "last")):
        mean = sum(row[column] * row["images"] for row in rows) / images
        assert mean == pytest.approx(report.results["steps"][step]["gt_known_loc"]["val"], abs=1e-6)


def test_a_folder_without_gallery_or_shift_still_has_a_report(results: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    shutil.copytree(results, folder)
    shutil.rmtree(folder / "gallery")
    (folder / "checksums.json").unlink()
    known = json.loads((folder / "results.json").read_text())
    known["attention_shift"] = None
    (folder / "results.json").write_text(json.dumps(known))
    sections = {attributes["id"] for attributes in Page(write_report(folder).read_text()).all("section")}
    assert "answer" in sections
    assert not {"gallery", "shift"} & sections


def test_what_is_no_results_folder_is_named(results: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        write_report(tmp_path)
    shutil.copytree(results, tmp_path / "damaged")
    (tmp_path / "damaged" / "predictions.csv").unlink()
    with pytest.raises(UserError, match=r"damaged/predictions\.csv is missing"):
        write_report(tmp_path / "damaged")


def test_kinds_of_error_add_up_to_the_figures(results: Path) -> None:
    report = read_report(results)
    for step, kinds in error_kinds(report).items():
        known = report.results["steps"][step]
        assert sum(kinds.values()) == pytest.approx(100)
        assert kinds["correct"] == pytest.approx(known["top1_loc"]["val"])
        assert 100 - kinds["wrong_class"] == pytest.approx(known["top1_cls"])


def test_error_breakdown_is_drawn_in_percent() -> None:
    chart = str(charts.stacked_bars("kinds", {"step 1": {"a": 25.0, "b": 75.0}, "step 2": {"b": 100.0}}))
    widths = {match[0]: float(match[1]) for match in re.findall(r'part-(\d)" x="[\d.]+" y="4" width="([\d.]+)"', chart)}
    assert widths["2"] == pytest.approx(3 * widths["1"], rel=1e-3)
    assert "step 2, b: 100.0 %" in chart


def test_a_line_passes_through_its_values() -> None:
    x = [number / 1000 for number in range(1000)]
    chart = str(charts.line_chart("t", [charts.Series("s", x, [80 * one for one in x])], "x", "y", y_top=100))
    points = [tuple(map(float, pair.split(","))) for pair in re.search(r'd="M(.*?)"', chart).group(1).split("L")]
    (x0, y0), (x1, y1) = points[0], points[-1]
    plot_height = charts.HEIGHT - charts.TOP - charts.BOTTOM
    assert (y0 - y1) / plot_height == pytest.approx(0.8, abs=0.01)
    assert (x1 - x0) / (charts.WIDTH - charts.LEFT - charts.RIGHT) == pytest.approx(0.999, abs=0.01)
    assert len(points) < 400


def test_text_in_charts_is_escaped() -> None:
    chart = str(charts.line_chart("<b>", [charts.Series("<script>", [0, 1], [0, 1])], "<i>", "&"))
    assert "<script>" not in chart
    assert "&lt;script&gt;" in chart


def test_comparison_of_a_folder_with_itself_finds_no_difference(results: Path, tmp_path: Path) -> None:
    copy = tmp_path / "again"
    shutil.copytree(results, copy)
    text = Page(write_comparison([results, copy], tmp_path / "compare.html").read_text()).text
    assert "resnet_mini_tdam (results)" in text
    assert "resnet_mini_tdam (again)" in text
    assert "+0.0 points" in text


def test_what_cannot_be_compared_is_refused(results: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(results, other)
    (other / "checksums.json").unlink()
    predictions = pd.read_csv(other / "predictions.csv")
    predictions["image"] = "x" + predictions["image"]
    predictions.to_csv(other / "predictions.csv", index=False)
    with pytest.raises(UserError, match="judged other images"):
        write_comparison([results, other], tmp_path / "c.html")
    known = json.loads((other / "results.json").read_text()) | {"dataset": "cub"}
    (other / "results.json").write_text(json.dumps(known))
    with pytest.raises(UserError, match="of dataset cub"):
        write_comparison([results, other], tmp_path / "c.html")
    with pytest.raises(UserError, match="at least two"):
        write_comparison([results], tmp_path / "c.html")


def test_headline_cells_are_those_of_the_policy_and_not_the_oracles(results: Path) -> None:
    report = read_report(results)
    rows = [*report.results["steps"].values(), *report.results["fusions"].values(), report.results["any_step_oracle"]]
    told_apart = 0
    shown = [row for row in headline_rows(report) if row["kind"] != "baseline"]
    for row, figures in zip(shown, rows, strict=True):
        values = [cell["value"] for cell in row["cells"]]
        expected = [
            figures["top1_cls"],
            figures["top5_cls"],
            *(figures[name]["val"] for name in ("gt_known_loc", "top1_loc", "top5_loc")),
            figures["max_box_acc"],
            figures["max_box_acc_v2"],
            figures["pxap"],
        ]
        assert values[: len(expected)] == expected
        told_apart += figures["gt_known_loc"]["val"] != figures["gt_known_loc"]["oracle"]
    assert told_apart, "the fixture tells the oracle from the headline"

"""The report in a real browser: it draws without errors, its controls work, names stay text, nothing is loaded."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import start_chromium
from results_folder import HOSTILE_CLASS, with_hostile_names, write_results

from eval.report import write_comparison, write_report


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    yield from start_chromium()


@pytest.fixture(scope="module")
def results(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_results(tmp_path_factory.mktemp("browser"), images=36, gallery=16)


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Any]:
    """Opens a file, and at the end demands that nothing went wrong and nothing was asked of the network."""
    complaints: list[str] = []
    requests: list[str] = []
    context = chromium.new_context(viewport={"width": 1200, "height": 900})

    def open_file(path: Path, **options: Any) -> Any:
        page = context.new_page()
        page.emulate_media(**options)
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        return page

    yield open_file
    context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []


@pytest.fixture
def page(open_page: Any, results: Path) -> Any:
    return open_page(results / "report.html")


def visible_step(shot: Any) -> list[str]:
    return [part.get_attribute("data-step") for part in shot.query_selector_all("img.map") if part.is_visible()]


def test_pictures_are_decoded_and_nothing_overflows(page: Any) -> None:
    broken = page.evaluate("[...document.images].filter((image) => !(image.complete && image.naturalWidth > 0)).length")
    assert broken == 0
    for width in (1200, 380):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_slider_moves_map_box_and_words_of_its_image_only(page: Any) -> None:
    first, second = page.query_selector_all(".shot")[:2]
    assert visible_step(first) == visible_step(second) == ["2"]
    before = first.query_selector(".frame").screenshot()
    slider = first.query_selector(".step-slider")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    assert visible_step(first) == ["1"]
    assert visible_step(second) == ["2"]
    assert "step 1:" in first.inner_text()
    assert "step 2:" not in first.inner_text()
    boxes = first.query_selector_all("svg g[data-step]")
    assert [box.is_visible() for box in boxes] == [True, False]
    assert first.query_selector(".frame").screenshot() != before


def test_the_page_starts_with_few_images_and_shows_all_when_asked(page: Any) -> None:
    shots = page.query_selector_all(".shot")
    assert len(shots) > 12
    assert [shot.is_visible() for shot in shots] == [place < 12 for place in range(len(shots))]
    assert page.inner_text("#more") == f"Show {len(shots) - 12} more"
    page.click("#more")
    assert all(shot.is_visible() for shot in shots)
    assert not page.is_visible("#more")


def test_a_narrow_page_stays_short(page: Any) -> None:
    page.set_viewport_size({"width": 400, "height": 900})
    assert page.evaluate("document.documentElement.scrollHeight") < 9000


def test_an_image_is_enlarged_with_all_steps_side_by_side(page: Any) -> None:
    page.click(".shot:nth-child(2) .enlarge")
    dialog = page.query_selector("#enlarged")
    assert dialog.is_visible()
    frames = dialog.query_selector_all(".frame")
    assert [visible_step(frame) for frame in frames] == [["1"], ["2"]]
    small = page.query_selector(".shot:nth-child(2) .frame").bounding_box()
    assert frames[0].bounding_box()["width"] > 1.5 * small["width"]
    assert [text.inner_text()[:7] for text in dialog.query_selector_all("figcaption")] == ["step 1:", "step 2:"]
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_boxes_come_with_the_outline_they_bound(page: Any) -> None:
    """The box of the polygon is that of the rectangle, to a pixel of the 96-pixel map."""
    pairs = page.evaluate(
        """[...document.querySelectorAll(".shot svg g[data-step]")].map((group) => {
          const box = (shape) => { const b = shape.getBBox(); return [b.x, b.y, b.x + b.width, b.y + b.height]; };
          const outline = group.querySelector("polygon.predicted");
          return outline && [box(outline), box(group.querySelector("rect.predicted"))];
        }).filter(Boolean)"""
    )
    assert len(pairs) > 10
    for outline, rectangle in pairs:
        assert outline == pytest.approx(rectangle, abs=1.6)


def test_one_slider_moves_all_images(page: Any) -> None:
    page.click("#more")
    page.query_selector("#all-steps").focus()
    page.keyboard.press("ArrowLeft")
    assert {tuple(visible_step(shot)) for shot in page.query_selector_all(".shot")} == {("1",)}
    assert page.query_selector("output[for=all-steps]").inner_text() == "1"


def test_maps_can_be_hidden(page: Any) -> None:
    page.uncheck("#show-maps")
    opacities = page.evaluate("[...document.querySelectorAll('.map')].map((map) => getComputedStyle(map).opacity)")
    assert set(opacities) == {"0"}


@pytest.mark.parametrize(
    ("control", "key"), [("#by-class", "class"), ("#by-objects", "objects"), ("#by-outcome", "outcome")]
)
def test_filters_show_what_they_say(page: Any, control: str, key: str) -> None:
    shots = page.query_selector_all(".shot")
    values = [shot.get_attribute(f"data-{key}") for shot in shots]
    page.click("#more")
    for value in sorted(set(values)):
        page.select_option(control, value)
        assert [shot.is_visible() for shot in shots] == [one == value for one in values]
        assert page.query_selector("#shown").inner_text() == f"{values.count(value)} of {len(shots)} images"
    page.select_option(control, "")
    assert all(shot.is_visible() for shot in shots)


def test_the_class_table_sorts_by_any_column_both_ways(page: Any) -> None:
    headings = page.query_selector_all(".sortable th button")
    for column in range(1, len(headings)):
        for direction in ("descending", "ascending"):
            headings[column].click()
            cells = page.evaluate(
                "(n) => [...document.querySelector('.sortable').tBodies[0].rows]"
                ".map((row) => Number(row.children[n].dataset.value))",
                column,
            )
            assert cells == sorted(cells, reverse=direction == "descending")
            assert page.query_selector_all(".sortable th")[column].get_attribute("aria-sort") == direction
    headings[0].click()
    names = page.evaluate("[...document.querySelectorAll('.sortable tbody th')].map((cell) => cell.textContent)")
    assert names == sorted(names)


def test_the_theme_follows_the_system_until_it_is_chosen(open_page: Any, results: Path) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    light = open_page(results / "report.html", color_scheme="light")
    dark = open_page(results / "report.html", color_scheme="dark")
    colours = {"light": light.evaluate(background), "dark": dark.evaluate(background)}
    assert colours["light"] != colours["dark"]
    dark.click("#theme")
    assert dark.inner_text("#theme") == "Theme: light"
    assert dark.evaluate(background) == colours["light"]
    dark.click("#theme")
    assert dark.evaluate(background) == colours["dark"]


# Smallest contrast of text and its background over all text of the page, by the formula of WCAG 2.2.
CONTRAST = """() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (rgb) => {
    const linear = rgb.slice(0, 3).map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const colour = parse(getComputedStyle(element).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  let least = [99, ""];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility() || element.closest("svg, option, script, style")) continue;
    const pair = [luminance(parse(getComputedStyle(element).color)), luminance(behind(element))].sort((a, b) => b - a);
    const contrast = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (contrast < least[0]) least = [contrast, node.data.trim().slice(0, 60)];
  }
  return least;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(open_page: Any, results: Path, scheme: str) -> None:
    contrast, text = open_page(results / "report.html", color_scheme=scheme).evaluate(CONTRAST)
    assert contrast >= 4.5, text


def test_every_control_is_reached_by_the_keyboard(page: Any) -> None:
    reached = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"theme", "all-steps", "by-outcome", "by-objects", "by-class", "show-maps", "step-slider"} <= reached


def test_hostile_names_stay_text(open_page: Any, results: Path, tmp_path: Path) -> None:
    page = open_page(write_report(with_hostile_names(results, tmp_path / "hostile")))
    page.wait_for_timeout(200)
    assert HOSTILE_CLASS.split()[0] in page.title()
    assert "owned" not in page.title().replace(HOSTILE_CLASS, "")
    assert HOSTILE_CLASS in page.inner_text("#classes")
    page.select_option("#by-class", HOSTILE_CLASS)
    assert page.query_selector("#shown").inner_text().startswith(("1 ", "2 ", "3 ", "4 "))


def test_a_script_put_into_the_page_would_not_run(chromium: Any, results: Path, tmp_path: Path) -> None:
    """The second line of defence: should escaping ever fail, the page's own policy stops what got in."""
    html = (results / "report.html").read_text()
    attack = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">"
    (tmp_path / "attacked.html").write_text(html.replace("</main>", f"{attack}</main>"))
    page = chromium.new_page()
    page.goto((tmp_path / "attacked.html").as_uri())
    page.wait_for_timeout(200)
    assert page.title() != "owned"
    page.close()


def test_print_shows_everything_and_no_controls(page: Any, tmp_path: Path) -> None:
    page.emulate_media(media="print")
    assert not any(control.is_visible() for control in page.query_selector_all(".controls"))
    assert all(shot.is_visible() for shot in page.query_selector_all(".shot"))
    assert page.pdf(path=tmp_path / "report.pdf").startswith(b"%PDF")


def test_printed_tables_do_not_hide_a_row_under_their_heading(page: Any) -> None:
    page.emulate_media(media="print")
    positions = page.evaluate(
        "[...document.querySelectorAll('thead th')].map((cell) => getComputedStyle(cell).position)"
    )
    assert set(positions) == {"static"}


def test_comparison_opens(open_page: Any, results: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "twin")
    page = open_page(write_comparison([results, tmp_path / "twin"], tmp_path / "compare.html"))
    assert "2 results on minibirds test" in page.inner_text("h1")
    assert page.query_selector("#differences").is_visible()

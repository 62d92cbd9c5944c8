"""Figures show what they say: colours, boxes and titles are read back from the drawn artists and pixels."""

from __future__ import annotations

import io
import re
import sys
from dataclasses import replace
from itertools import chain
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle
from PIL import Image

from tdam.errors import UserError
from wsol import draw
from wsol.boxes import boxes_from_score_map, scale_boxes
from wsol.class_names import short_label
from wsol.draw.overlay import OPACITY, display_image, fit_map
from wsol.draw.style import GAINED, LOST, PREDICTED, SCORE_COLOURS, TRUTH
from wsol.localization import Localization, StepLocalization


def localization(size: tuple[int, int] = (120, 80), steps: int = 2, name: str = "bird.png") -> Localization:
    generator = np.random.default_rng(0)
    image = Image.fromarray(generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    found = []
    for step in range(1, steps + 1):
        scores = np.zeros((32, 32), np.float32)
        scores[4 * step : 4 * step + 12, 8:24] = 1
        box = np.array([10 * step, 5, 60 + 10 * step, 70])
        found.append(StepLocalization(step, step, f"bird {step}, synonym", 0.25 * step, box, scores))
    return Localization(Path(name), image, tuple(found))


def panels(figure: Figure) -> list[mpl.axes.Axes]:
    return [axes for axes in figure.axes if axes.images]


def drawn_boxes(axes: mpl.axes.Axes, colour: str) -> list[tuple[float, ...]]:
    boxes = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    return [
        (*box.get_xy(), box.get_width(), box.get_height())
        for box in boxes
        if to_hex(box.get_edgecolor()) == to_hex(colour)
    ]


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(mpl.text.Text))


def headings(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts if text.get_weight() == "bold"]


def test_step_figure_shows_the_photograph_then_every_step_then_the_change() -> None:
    found = localization(steps=3)
    figure = draw.step_figure(found, truth=np.array([[0, 0, 119, 79], [3, 4, 20, 30]]))
    photograph, *steps, change = panels(figure)
    assert headings(figure) == ["photograph", "step 1", "step 2", "step 3", "change, step 1 to 3"]
    assert len({round(axes.get_position().y0, 6) for axes in panels(figure)}) == 1, "all in one row"
    for number, axes in enumerate(steps, start=1):
        # Closed pixels: x0 … x1 belong to the box, as its IoU counts them.
        assert drawn_boxes(axes, PREDICTED) == [(10 * number, 5, 61, 66)]
        assert drawn_boxes(axes, TRUTH) == [(0, 0, 120, 80), (3, 4, 18, 27)]
        assert f"bird {number}  {0.25 * number:.2f}" in texts(figure)
    assert not drawn_boxes(photograph, PREDICTED)
    assert not drawn_boxes(change, PREDICTED)
    assert "ground truth" in texts(figure)


def test_a_network_of_one_step_has_no_steps_to_name() -> None:
    figure = draw.step_figure(localization(steps=1))
    assert headings(figure) == ["photograph", "score map"]
    assert not re.search(r"step|change", texts(figure))
    assert not re.search(r"step|change", texts(draw.grid_figure([localization(steps=1)] * 2)))


def test_more_steps_than_a_page_is_wide_go_on_in_the_next_row() -> None:
    figure = draw.step_figure(localization(steps=7))
    rows = [round(axes.get_position().y0, 6) for axes in panels(figure)]
    assert len(rows) == 9
    assert [rows.count(row) for row in sorted(set(rows), reverse=True)] == [5, 4]
    assert headings(figure)[5:] == ["step 5", "step 6", "step 7", "change, step 1 to 7"]


def test_the_network_is_named() -> None:
    found = replace(localization(), network="resnet50_tdam")
    for figure in (draw.step_figure(found), draw.grid_figure([found]), draw.difference_figure(found)):
        assert "resnet50_tdam" in texts(figure)


def test_boxes_are_marked_right_or_wrong_where_the_truth_is_known() -> None:
    found = localization(steps=2)  # boxes of columns 10 … 70 and 20 … 80, rows 5 … 70
    figure = draw.step_figure(found, truth=np.array([[20, 5, 80, 70], [110, 70, 119, 79]]))
    overlap = 51 / (61 + 61 - 51)
    assert f"✓ IoU {overlap:.2f}" in texts(figure)
    assert "✓ IoU 1.00" in texts(figure)
    assert "✗ IoU 0.00" in texts(draw.step_figure(found, truth=np.array([[0, 76, 119, 79]])))
    assert not set("✓✗") & set(texts(draw.step_figure(found)))
    assert not set("✓✗") & set(texts(draw.step_figure(found, truth=np.zeros((0, 4), int))))


def test_what_an_evaluation_decided_is_not_decided_again() -> None:
    marks = [draw.Verdict(localized=False, iou=0.9, class_correct=True), draw.Verdict(True, 0.1, False)]
    shown = texts(draw.grid_figure([localization()], [np.array([[0, 0, 119, 79]])], verdicts=[marks]))
    assert "✓ bird 1  0.25\n✗ IoU 0.90" in shown
    assert "✗ bird 2  0.50\n✓ IoU 0.10" in shown


def with_threshold(scores: np.ndarray, threshold: float, size: tuple[int, int]) -> Localization:
    (box,) = boxes_from_score_map(scores, threshold)
    box = scale_boxes(box, scores.shape[::-1], size)
    step = StepLocalization(1, 0, "bird", 0.5, box, scores, threshold=threshold)
    return Localization(None, Image.new("RGB", size), (step,))


def test_the_outline_is_drawn_and_the_box_bounds_it() -> None:
    grid = np.hypot(*np.mgrid[-1:1:40j, -1:1:60j]).astype(np.float32)
    scores = np.clip(1 - grid, 0, 1)
    for threshold in (0.2, 0.5, 0.8):
        found = with_threshold(scores, threshold, (600, 200))
        (outline,) = [patch for patch in panels(draw.step_figure(found))[1].patches if type(patch) is Polygon]
        corners = outline.get_xy()
        bounds = [*corners.min(axis=0), *corners.max(axis=0)]
        assert bounds == pytest.approx(found.steps[0].box.tolist(), abs=10.5), "within one pixel of the map"


def test_an_outline_is_not_drawn_where_the_box_is_not_its_bounding_box() -> None:
    scores = np.zeros((40, 60), np.float32)
    scores[10:30, 10:30] = 1
    found = with_threshold(scores, 0.5, (60, 40))
    other_rule = replace(found, steps=(replace(found.steps[0], box=np.array([0, 0, 50, 35])),))
    unknown = replace(found, steps=(replace(found.steps[0], threshold=None),))
    empty = with_threshold(np.zeros((40, 60), np.float32), 0.5, (60, 40))
    for one, outlines in ((found, 1), (other_rule, 0), (unknown, 0), (empty, 0)):
        drawn = [patch for patch in panels(draw.step_figure(one))[1].patches if type(patch) is Polygon]
        assert len(drawn) == outlines


def test_a_long_grid_is_split_into_pages_that_hold_every_image_once(tmp_path: Path) -> None:
    found = [localization((100, 90), name=f"image {number}") for number in range(17)]
    pages = draw.grid_pages(found, difference=True)
    assert len(pages) > 1
    assert all(page.get_size_inches()[1] <= 9.5 for page in pages)
    names = [re.findall(r"image \d+", texts(page)) for page in pages]
    assert list(chain(*names)) == [f"image {number}" for number in range(17)]
    assert all("step 2" in texts(page) for page in pages)
    written = draw.save_pages(pages, tmp_path / "all.png", dpi=30)
    assert [path.name for path in written] == [f"all-{number}.png" for number in range(1, len(pages) + 1)]
    (pdf,) = draw.save_pages(pages, tmp_path / "all.pdf", dpi=30)
    assert len(re.findall(rb"/Type /Page\b", pdf.read_bytes())) == len(pages)
    (alone,) = draw.save_pages(pages[:1], tmp_path / "one.png", dpi=30)
    assert alone.name == "one.png"


def test_without_ground_truth_none_is_claimed() -> None:
    figure = draw.step_figure(localization())
    assert "ground truth" not in texts(figure)
    assert not drawn_boxes(panels(figure)[0], TRUTH)


def test_grid_has_a_row_per_image_and_a_column_per_step() -> None:
    found = [localization(name="a.png"), localization((60, 200), name="b.png")]
    figure = draw.grid_figure(found, truths=[np.array([[1, 2, 3, 4]])] * 2)
    assert len(panels(figure)) == 6
    for name in ("a.png", "b.png", "photograph", "step 1", "step 2"):
        assert name in texts(figure)
    assert len(panels(draw.grid_figure(found, difference=True))) == 8


def test_panels_keep_the_aspect_of_the_image_and_stay_inside_the_figure() -> None:
    found = [localization((120, 80)), localization((60, 200)), localization((300, 20))]
    figure = draw.grid_figure(found)
    width, height = figure.get_size_inches()
    for axes, expected in zip(panels(figure)[::3], found, strict=True):
        place = axes.get_position()
        aspect = (place.height * height) / (place.width * width)
        assert aspect == pytest.approx(expected.image_size[1] / expected.image_size[0])
        assert place.x0 >= 0
        assert place.y0 >= 0
        assert place.x1 <= 1
        assert place.y1 <= 1


def test_grid_refuses_what_does_not_fit_together() -> None:
    with pytest.raises(ValueError, match="at least one"):
        draw.grid_figure([])
    with pytest.raises(ValueError, match="argument"):
        draw.grid_figure([localization()], titles=["a", "b"])


def test_difference_needs_two_steps() -> None:
    assert len(panels(draw.difference_figure(localization()))) == 3
    with pytest.raises(UserError, match="two steps"):
        draw.difference_figure(localization(steps=1))


def test_the_photograph_stays_where_the_score_is_low_and_the_map_covers_it_where_high() -> None:
    grey = Image.new("RGB", (40, 30), (128, 128, 128))
    scores = np.zeros((30, 40), np.float32)
    scores[:, 20:] = 1
    laid = draw.overlay(grey, scores)
    assert np.allclose(laid[10, 5], 128 / 255, atol=1e-3)
    assert np.allclose(laid[10, 35], OPACITY * np.array(SCORE_COLOURS(1.0)[:3]) + (1 - OPACITY) * 128 / 255, atol=1e-3)


def test_each_colour_has_one_meaning() -> None:
    colours = [np.array(to_rgb(colour)) for colour in (PREDICTED, TRUTH, GAINED, LOST)]
    colours += [np.array(SCORE_COLOURS(score)[:3]) for score in (0.0, 0.5, 1.0)]
    for number, one in enumerate(colours):
        for other in colours[number + 1 :]:
            assert np.linalg.norm(one - other) > 0.25


def test_a_higher_score_has_a_lighter_colour_and_covers_more() -> None:
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (8, 1))
    assert (np.diff(SCORE_COLOURS(ramp[0])[:, :3] @ [0.2126, 0.7152, 0.0722]) > 0).all()
    dark, light = (draw.overlay(Image.new("RGB", (64, 8), (value,) * 3), ramp)[4] for value in (60, 200))
    photograph_seen = (light - dark).mean(axis=1)
    assert (np.diff(photograph_seen) < 0).all()


def test_difference_overlay_shows_gains_losses_and_the_photograph_where_nothing_changed() -> None:
    before, after = np.zeros((9, 30), np.float32), np.zeros((9, 30), np.float32)
    before[:, :10], after[:, 20:] = 1, 1
    laid = draw.difference_overlay(Image.new("RGB", (30, 9), (128, 128, 128)), before, after)
    lost, equal, gained = laid[4, 4], laid[4, 15], laid[4, 25]
    for pixel, colour in ((lost, LOST), (gained, GAINED)):
        assert np.allclose(pixel, 0.85 * np.array(to_rgb(colour)) + 0.15 * 128 / 255, atol=1e-3)
    assert np.ptp(equal) < 1e-6


def test_fit_map_covers_the_whole_picture_and_stays_in_range() -> None:
    scores = np.random.default_rng(1).random((12, 12), dtype=np.float32)
    for height, width in ((300, 200), (5, 7), (12, 12)):
        fitted = fit_map(scores, height, width)
        assert fitted.shape == (height, width)
        assert fitted.min() >= scores.min() - 1e-6
        assert fitted.max() <= scores.max() + 1e-6
    assert fit_map(scores, 6, 6)[2, 3] == pytest.approx(scores[4:6, 6:8].mean(), abs=1e-6)


def test_large_images_are_shrunk_for_display_only() -> None:
    assert display_image(Image.new("RGB", (3000, 10))).shape == (3, 960, 3)
    assert display_image(Image.new("L", (30, 10))).shape == (10, 30, 3)
    figure = draw.step_figure(localization((3000, 100)))
    assert panels(figure)[0].get_xlim() == (0, 3000)


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_save_writes_the_same_bytes_each_time(tmp_path: Path, suffix: str, magic: bytes) -> None:
    for name in ("one", "two"):
        draw.save(draw.step_figure(localization()), tmp_path / "new" / f"{name}{suffix}")
    first, second = ((tmp_path / "new" / f"{name}{suffix}").read_bytes() for name in ("one", "two"))
    assert first.startswith(magic)
    assert first == second


def test_text_of_an_svg_stays_text(tmp_path: Path) -> None:
    path = draw.save(draw.step_figure(localization()), tmp_path / "a.svg")
    assert re.search(r">bird 1\s+0.25<", path.read_text())


def test_save_names_what_it_cannot_write(tmp_path: Path) -> None:
    figure = draw.step_figure(localization())
    with pytest.raises(UserError, match=r"\.png, \.svg, \.pdf"):
        draw.save(figure, tmp_path / "a.bmp")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        draw.save(figure, tmp_path / "file" / "a.png")


def test_drawing_leaves_matplotlib_as_it_was() -> None:
    before = dict(mpl.rcParams)
    draw.step_figure(localization())
    assert dict(mpl.rcParams) == before
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_hostile_names_are_drawn_as_they_are(tmp_path: Path) -> None:
    figure = draw.grid_figure([localization()], titles=["$x^{2$ _\\frac"])
    assert "$x^{2$ _\\frac" in draw.save(figure, tmp_path / "a.svg").read_text()


def test_each_line_of_a_title_is_cut_by_itself() -> None:
    figure = draw.grid_figure([localization()], titles=["a" * 300 + "\ngained most"], width=4.0)
    (title,) = [text.get_text() for text in figure.texts if text.get_text().startswith("aa")]
    first, second = title.split("\n")
    assert first.endswith("a…")
    assert len(first) < 60
    assert second == "gained most"


def test_short_label_keeps_the_first_synonym() -> None:
    assert short_label("tabby, tabby cat") == "tabby"
    assert short_label("a" * 40) == "a" * 25 + "…"


def test_notebooks_show_a_localization_as_a_picture() -> None:
    shown = Image.open(io.BytesIO(localization()._repr_png_()))
    assert shown.format == "PNG"
    assert shown.size[0] > 400

"""Figures show what they say: colours, boxes and titles are read back from the drawn artists and pixels."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from tdam.errors import UserError
from wsol import draw
from wsol.draw.figures import short_label
from wsol.draw.overlay import OPACITY, display_image, fit_map
from wsol.draw.panels import PREDICTED, TRUTH
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


def test_step_figure_has_one_row_per_step_with_its_box_label_and_score() -> None:
    found = localization(steps=3)
    figure = draw.step_figure(found, truth=np.array([[0, 0, 119, 79], [3, 4, 20, 30]]))
    assert len(panels(figure)) == 6
    for row in range(3):
        for axes in panels(figure)[2 * row : 2 * row + 2]:
            # Closed pixels: x0 … x1 belong to the box, as its IoU counts them.
            assert drawn_boxes(axes, PREDICTED) == [(10 * (row + 1), 5, 61, 66)]
            assert drawn_boxes(axes, TRUTH) == [(0, 0, 120, 80), (3, 4, 18, 27)]
        assert f"step {row + 1}:  bird {row + 1}  {0.25 * (row + 1):.2f}" in texts(figure)
    assert "predicted" in texts(figure)
    assert "ground truth" in texts(figure)


def test_without_ground_truth_none_is_claimed() -> None:
    figure = draw.step_figure(localization())
    assert "ground truth" not in texts(figure)
    assert not drawn_boxes(panels(figure)[0], TRUTH)


def test_grid_has_a_row_per_image_and_a_column_per_step() -> None:
    found = [localization(name="a.png"), localization((60, 200), name="b.png")]
    figure = draw.grid_figure(found, truths=[np.array([[1, 2, 3, 4]])] * 2)
    assert len(panels(figure)) == 6
    for name in ("a.png", "b.png", "image", "step 1", "step 2"):
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


def test_overlay_colours_are_the_colour_bar_of_scores_over_grey() -> None:
    grey = Image.new("RGB", (40, 30), (128, 128, 128))
    scores = np.zeros((30, 40), np.float32)
    scores[:, 20:] = 1
    laid = draw.overlay(grey, scores)
    base = 0.15 + 0.85 * 128 / 255
    for column, score in ((5, 0.0), (35, 1.0)):
        expected = OPACITY * np.array(mpl.colormaps["viridis"](score)[:3]) + (1 - OPACITY) * base
        assert np.allclose(laid[10, column], expected, atol=1e-3)


def test_overlay_is_lighter_where_the_score_is_higher() -> None:
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (8, 1))
    laid = draw.overlay(Image.new("RGB", (64, 8), (90, 90, 90)), ramp)
    luminance = laid[4] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) > 0).all()


def test_difference_overlay_is_orange_where_gained_blue_where_lost_grey_where_equal() -> None:
    before, after = np.zeros((9, 30), np.float32), np.zeros((9, 30), np.float32)
    before[:, :10], after[:, 20:] = 1, 1
    laid = draw.difference_overlay(Image.new("RGB", (30, 9), (128, 128, 128)), before, after)
    lost, equal, gained = laid[4, 4], laid[4, 15], laid[4, 25]
    assert lost[2] > lost[0] + 0.3
    assert gained[0] > gained[2] + 0.3
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
    assert re.search(r">step 1:\s+bird 1\s+0.25<", path.read_text())


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


def test_short_label_keeps_the_first_synonym() -> None:
    assert short_label("tabby, tabby cat") == "tabby"
    assert short_label("a" * 40) == "a" * 25 + "…"


def test_notebooks_show_a_localization_as_a_picture() -> None:
    shown = Image.open(io.BytesIO(localization()._repr_png_()))
    assert shown.format == "PNG"
    assert shown.size[0] > 400

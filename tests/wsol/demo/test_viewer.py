"""The page's pictures: layers are read back from the HTML."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
from PIL import Image

from wsol.demo.viewer import error_html, fade_html, message_html, steps_html
from wsol.draw.overlay import OPACITY
from wsol.localization import Localization, StepLocalization


def localization(steps: int, label: str = "001.Black_footed_Albatross") -> Localization:
    found = []
    for number in range(1, steps + 1):
        scores = np.zeros((32, 64), np.float32)
        scores[8:16, 8 * number : 8 * number + 16] = 1
        box = np.array([16 * number, 16, 16 * number + 32, 32])
        found.append(StepLocalization(number, 0, label, 0.5, box, scores, threshold=0.2))
    return Localization(None, Image.new("RGB", (128, 64), "teal"), tuple(found), "net")


def pictures(html: str, css_class: str) -> list[Image.Image]:
    found = re.findall(rf'<img class="{css_class}" alt="" src="data:image/\w+;base64,([^"]+)"', html)
    return [Image.open(io.BytesIO(base64.b64decode(data))) for data in found]


def test_every_step_stands_beside_the_photograph_and_the_change() -> None:
    html = str(steps_html(localization(3)))
    assert re.findall(r"<b>([^<]+)</b>", html) == ["photograph", "step 1", "step 2", "step 3", "change, step 1 to 3"]
    assert html.count("Black footed Albatross 0.50") == 3
    assert {photo.size for photo in pictures(html, "photo")} == {(560, 280)}


def test_one_step_is_no_step() -> None:
    html = str(steps_html(localization(1)))
    assert re.findall(r"<b>([^<]+)</b>", html) == ["photograph", "score map"]


def test_boxes_and_outlines_are_in_pixels_of_the_image_and_agree() -> None:
    html = str(steps_html(localization(2)))
    assert set(re.findall(r'viewBox="([^"]+)"', html)) == {"0 0 128 64"}
    boxes = re.findall(r'class="box line" x="(\d+)" y="(\d+)" width="(\d+)" height="(\d+)"', html)
    assert [tuple(map(int, box)) for box in boxes] == [(16, 16, 33, 17), (32, 16, 33, 17)]
    for number, points in enumerate(re.findall(r'class="outline line" points="([^"]+)"', html), start=1):
        corners = np.array([[float(v) for v in corner.split(",")] for corner in points.split()])
        assert corners.min(axis=0).tolist() == [16 * number + 1, 17], "centres of the map's outermost pixels"
        assert corners.max(axis=0).tolist() == [16 * number + 31, 31]


def test_maps_are_opaque_by_score() -> None:
    layer, _ = pictures(str(fade_html(localization(2))), "layer map")
    pixels = np.asarray(layer)
    assert pixels[2, 2, 3] == 0
    height, width = pixels.shape[:2]
    assert abs(pixels[height * 12 // 32, width * 16 // 64, 3] - 255 * OPACITY) <= 1


def test_the_fade_has_a_layer_for_every_step() -> None:
    assert re.findall(r"--step:(\d+)", str(fade_html(localization(4)))) == ["1", "2", "3", "4"]


def test_names_are_text_never_markup() -> None:
    hostile = "<script>alert(1)</script>"
    for html in (steps_html(localization(2, hostile)), message_html([hostile], hostile), error_html(hostile)):
        assert "<script" not in str(html)
        assert "&lt;script&gt;" in str(html)

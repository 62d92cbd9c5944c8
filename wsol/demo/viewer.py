"""The pictures of the page as HTML: layers over the photograph, which the browser shows, hides and fades by itself."""

from __future__ import annotations

import base64
import io
from typing import Final

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape
from PIL import Image

from wsol.class_names import short_label
from wsol.draw.contours import outline
from wsol.draw.overlay import FULL_CHANGE, OPACITY, fit_map
from wsol.draw.style import GAINED, LOST, SCORE_COLOURS
from wsol.localization import Localization, StepLocalization

DISPLAY_SIDE: Final = 560
MAP_SIDE: Final = 160


def steps_html(found: Localization) -> Markup:
    """Photograph, every step's map, outline and box, and what the last step changed, in one row per map method."""
    if found.by_method:
        rows = [
            Markup('<p class="method">{}</p>{}').format(name, steps_html(one)) for name, one in found.methods().items()
        ]
        return Markup("").join(rows)
    photo = _photo(found.image)
    cards = [_card("photograph", "", photo)]
    many = len(found.steps) > 1
    for step in found.steps:
        layers = Markup("").join([_map_layer(step), _lines(step, found.image_size)])
        cards.append(_card(f"step {step.step}" if many else "score map", _says(step), photo, layers))
    if many:
        first, last = found.steps[0], found.steps[-1]
        layer = _image(_change_pixels(last.score_map - first.score_map), "layer map")
        legend = Markup('<i style="color:{}">■</i> gained <i style="color:{}">■</i> lost').format(GAINED, LOST)
        cards.append(_card(f"change, step {first.step} to {last.step}", legend, photo, layer))
    return Markup('<div class="steps">{}</div>').format(Markup("").join(cards))


def fade_html(found: Localization) -> Markup:
    """All steps over one another; the page's `--fade` says which of them is seen, halves included."""
    layers = [
        Markup('<div class="faded" style="--step:{}">{}{}</div>').format(
            step.step, _map_layer(step), _lines(step, found.image_size)
        )
        for step in found.steps
    ]
    return Markup('<div class="frame">{}{}</div>').format(_photo(found.image), Markup("").join(layers))


def _card(title: str, text: str, photo: Markup, layers: Markup | str = "") -> Markup:
    plain = "" if layers else " plain"
    return Markup(
        '<figure><figcaption><b>{}</b><span>{}</span></figcaption><div class="frame{}">{}{}</div></figure>'
    ).format(title, text, plain, photo, layers)


def _says(step: StepLocalization) -> str:
    return f"{short_label(step.label)} {step.score:.2f}"


def _photo(image: Image.Image) -> Markup:
    photo = image.convert("RGB")
    scale = DISPLAY_SIDE / max(photo.size)
    width, height = (max(1, round(side * scale)) for side in photo.size)
    photo = photo.resize((width, height), Image.Resampling.BICUBIC)
    return _image(photo, "photo", "JPEG")


def _map_layer(step: StepLocalization) -> Markup:
    scores = np.clip(fit_map(step.score_map, MAP_SIDE, MAP_SIDE), 0, 1)
    pixels = SCORE_COLOURS(scores)
    pixels[..., 3] = OPACITY * scores
    return _image(_picture(pixels), "layer map")


def _change_pixels(change: npt.NDArray[np.float32]) -> Image.Image:
    change = fit_map(change, MAP_SIDE, MAP_SIDE)
    pixels = np.zeros((*change.shape, 4))
    for colour, where in ((GAINED, change > 0), (LOST, change < 0)):
        pixels[where, :3] = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    pixels[..., 3] = 0.85 * np.minimum(np.abs(change) / FULL_CHANGE, 1)
    return _picture(pixels)


def _picture(pixels: npt.NDArray[np.floating]) -> Image.Image:
    return Image.fromarray((pixels * 255).round().astype(np.uint8))


def _image(picture: Image.Image, css_class: str, kind: str = "PNG") -> Markup:
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Markup('<img class="{}" alt="" src="data:image/{};base64,{}">').format(css_class, kind.lower(), data)


def _lines(step: StepLocalization, size: tuple[int, int]) -> Markup:
    """Outline and box in pixels of the image; both ends of a box belong to it."""
    x0, y0, x1, y1 = (int(value) for value in step.box)
    contour = outline(step, size)
    corners = "" if contour is None else " ".join(f"{x:.1f},{y:.1f}" for x, y in contour)
    shapes = [
        Markup('<polygon class="outline {}" points="{}"/>').format(kind, corners) for kind in ("rim", "line") if corners
    ]
    shapes += [
        Markup('<rect class="box {}" x="{}" y="{}" width="{}" height="{}"/>').format(
            kind, x0, y0, x1 - x0 + 1, y1 - y0 + 1
        )
        for kind in ("rim", "line")
    ]
    return Markup('<svg class="layer" viewBox="0 0 {} {}" preserveAspectRatio="none">{}</svg>').format(
        *size, Markup("").join(shapes)
    )


def message_html(lines: list[str], warning: str = "") -> Markup:
    """What the page says of image and network, with a warning above it where there is one."""
    parts = [Markup('<p class="warning">{}</p>').format(warning)] if warning else []
    parts += [Markup("<p>{}</p>").format(line) for line in lines]
    return Markup('<div class="message">{}</div>').format(Markup("").join(parts))


def error_html(message: str) -> Markup:
    """An error in the place of the message."""
    return Markup('<div class="message"><p class="error">error: {}</p></div>').format(escape(message))

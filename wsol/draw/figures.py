"""Figures of localizations: every step of one image, a grid of several, and what a step changed."""

from __future__ import annotations

import re
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from tdam.errors import UserError
from wsol.draw.drawable import Drawable, DrawableStep
from wsol.draw.overlay import difference_overlay, display_image, overlay
from wsol.draw.panels import Panel, compose
from wsol.draw.style import PAGE, STYLE

WIDEST_PANEL = 2.4

BoxesOfImage = npt.NDArray[np.int64]


def readable_name(name: str) -> str:
    """A class name for readers: without CUB's number and underscores.

    >>> readable_name("001.Black_footed_Albatross")
    'Black footed Albatross'
    """
    return re.sub(r"^\d+\.", "", name).replace("_", " ").strip()


def short_label(label: str, longest: int = 26) -> str:
    """A class name for a title: readable, its first synonym, cut to `longest` characters.

    >>> short_label("tabby, tabby cat")
    'tabby'
    >>> short_label("German short-haired pointer dog", longest=12)
    'German shor…'
    """
    first = readable_name(label.split(",")[0])
    return first if len(first) <= longest else first[: longest - 1] + "…"


def step_title(step: DrawableStep, width: float) -> str:
    """Label and probability, short enough for a panel `width` inches wide."""
    score = "" if np.isnan(step.score) else f"  {step.score:.2f}"
    return short_label(step.label, characters(width) - len(score)) + score


def characters(width: float) -> int:
    """How many characters of a title fit into `width` inches.

    >>> characters(2.0)
    31
    """
    return int(width * 72 / 4.6)


@mpl.rc_context(STYLE)
def step_figure(localization: Drawable, truth: BoxesOfImage | None = None, width: float = 4.6) -> Figure:
    """Every step of one image, one row each: the photograph with the box, and the score map over it.

    Args:
        localization: What a `wsol.Localizer` said of the image.
        truth: `(K, 4)` ground-truth boxes x0 y0 x1 y1 in the image's pixels, if known.
        width: Width in inches.

    Returns:
        The figure.
    """
    picture, size = display_image(localization.image), localization.image_size
    rows = [
        [
            Panel(picture, size, f"step {step.step}:  {step_title(step, width / 2)}", step.box, truth),
            Panel(overlay(picture, step.score_map), size, "", step.box, truth),
        ]
        for step in localization.steps
    ]
    return compose(rows, width)


@mpl.rc_context(STYLE)
def grid_figure(
    localizations: Sequence[Drawable],
    truths: Sequence[BoxesOfImage] | None = None,
    titles: Sequence[str] | None = None,
    width: float | None = None,
    difference: bool = False,
) -> Figure:
    """Several images, one row each: the image with its ground truth, then every step's map and box.

    Args:
        localizations: The images, all with the same number of steps.
        truths: Per image `(K, 4)` ground-truth boxes x0 y0 x1 y1 in the image's pixels.
        titles: Per image a title, such as its true class; by default the file's name.
        width: Width in inches; by default a page's, less for few columns.
        difference: Add a last column with the change of score from the first to the last step.

    Returns:
        The figure.

    Raises:
        ValueError: If there are no images, or the numbers of steps, truths or titles differ.
    """
    if not localizations:
        raise ValueError("a grid needs at least one image")
    titles = titles or [found.path.name if found.path else "" for found in localizations]
    boxes: Sequence[BoxesOfImage | None] = truths or [None] * len(localizations)
    columns = 1 + len(localizations[0].steps) + difference
    width = width or min(PAGE, WIDEST_PANEL * columns)
    cell = width / columns
    rows = []
    for found, truth, title in zip(localizations, boxes, titles, strict=True):
        picture, size = display_image(found.image), found.image_size
        row = [Panel(picture, size, title, truth=truth)]
        row += [
            Panel(overlay(picture, step.score_map), size, step_title(step, cell), step.box, truth)
            for step in found.steps
        ]
        if difference:
            row.append(_difference_panel(found, picture, truth))
        rows.append(row)
    headings = ["image", *(f"step {step.step}" for step in localizations[0].steps)]
    if difference:
        headings.append("last − first")
    return compose(rows, width, headings)


@mpl.rc_context(STYLE)
def difference_figure(localization: Drawable, truth: BoxesOfImage | None = None, width: float = PAGE) -> Figure:
    """What the last step gained and lost against the first: both maps and their difference.

    Args:
        localization: An image with at least two steps.
        truth: `(K, 4)` ground-truth boxes x0 y0 x1 y1 in the image's pixels.
        width: Width in inches.

    Returns:
        The figure.

    Raises:
        UserError: If the network has one step only.
    """
    first, last = localization.steps[0], localization.steps[-1]
    picture, size = display_image(localization.image), localization.image_size
    row = [
        Panel(overlay(picture, first.score_map), size, step_title(first, width / 3), first.box, truth),
        Panel(overlay(picture, last.score_map), size, step_title(last, width / 3), last.box, truth),
        _difference_panel(localization, picture, truth),
    ]
    headings = [f"step {first.step}", f"step {last.step}", f"step {last.step} − step {first.step}"]
    return compose([row], width, headings, colour_bar="change")


def _difference_panel(localization: Drawable, picture: npt.NDArray[np.float32], truth: BoxesOfImage | None) -> Panel:
    first, last = localization.steps[0], localization.steps[-1]
    if first is last:
        raise UserError("a difference needs two steps; this network has one")
    change = difference_overlay(picture, first.score_map, last.score_map)
    return Panel(change, localization.image_size, "orange gained, blue lost", None, truth)

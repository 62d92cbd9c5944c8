"""Figures of localizations: every step of one image, a grid of several, and what a step changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from tdam.errors import UserError
from wsol.class_names import short_label
from wsol.draw.contours import outline
from wsol.draw.drawable import Drawable, DrawableStep
from wsol.draw.overlay import difference_overlay, display_image, overlay
from wsol.draw.panels import Panel, compose, rows_height
from wsol.draw.style import PAGE, PAGE_HEIGHT, STYLE
from wsol.draw.verdicts import Verdict, verdicts_if_known

WIDEST_PANEL = 2.4
MOST_COLUMNS = 5
"""Panels in a row of a page; more steps go on in the next row."""

BoxesOfImage = npt.NDArray[np.int64]


def step_title(step: DrawableStep, width: float, verdict: Verdict | None = None) -> str:
    """Class and probability, and where the truth is known right or wrong; for a panel `width` inches wide."""
    mark = verdict.class_text if verdict else ""
    score = "" if np.isnan(step.score) else f"  {step.score:.2f}"
    first = f"{mark}{short_label(step.label, characters(width) - len(score) - len(mark))}{score}"
    return f"{first}\n{verdict.box_text}" if verdict else first


def characters(width: float) -> int:
    """How many characters of a title fit into `width` inches.

    >>> characters(2.0)
    31
    """
    return int(width * 72 / 4.6)


@mpl.rc_context(STYLE)
def step_figure(
    localization: Drawable,
    truth: BoxesOfImage | None = None,
    width: float | None = None,
    verdicts: Sequence[Verdict | None] | None = None,
) -> Figure:
    """Every step of one image in one row: the photograph, each step's map and box, and what changed.

    Args:
        localization: What a `wsol.Localizer` said of the image.
        truth: `(K, 4)` ground-truth boxes x0 y0 x1 y1 in the image's pixels, if known.
        width: Width in inches; by default a page's, less for few panels.
        verdicts: Whether each step is right; by default its box is compared with `truth` at IoU 0.5.

    Returns:
        The figure. More panels than a page is wide go on in further rows.
    """
    verdicts = verdicts_if_known(localization, truth) if verdicts is None else verdicts
    changes = len(localization.steps) > 1
    total = 1 + len(localization.steps) + changes
    columns = min(total, MOST_COLUMNS)
    width = width or min(PAGE, WIDEST_PANEL * columns)
    panels = _row(localization, truth, "", verdicts, width / columns, changes)
    headings = _headings(localization, "photograph", changes)
    rows = [panels[start : start + columns] for start in range(0, total, columns)]
    # A figure of one row heads its columns; in further rows the columns hold other steps.
    titles = [headings[start : start + columns] for start in range(0, total, columns)]
    return compose(rows, width, titles, caption=localization.network, change=changes)


@mpl.rc_context(STYLE)
def grid_figure(
    localizations: Sequence[Drawable],
    truths: Sequence[BoxesOfImage] | None = None,
    titles: Sequence[str] | None = None,
    width: float | None = None,
    difference: bool = False,
    verdicts: Sequence[Sequence[Verdict | None]] | None = None,
) -> Figure:
    """Several images, one row each: the photograph with its ground truth, then every step's map and box.

    Args:
        localizations: The images, all with the same number of steps.
        truths: Per image `(K, 4)` ground-truth boxes x0 y0 x1 y1 in the image's pixels.
        titles: Per image a title, such as its true class; by default the file's name.
        width: Width in inches; by default a page's, less for few columns.
        difference: Add a last column with the change of score from the first to the last step.
        verdicts: Per image, whether each step is right; by default its box is compared with `truths` at IoU 0.5.

    Returns:
        The figure. It is as tall as it needs to be; `grid_pages` splits it.

    Raises:
        ValueError: If there are no images, or the numbers of steps, truths or titles differ.
        UserError: If `difference` is asked for and the network has one step.
    """
    if not localizations:
        raise ValueError("a grid needs at least one image")
    rows, width = _grid_rows(localizations, truths, titles, width, difference, verdicts)
    return _grid(localizations, rows, width, difference)


@mpl.rc_context(STYLE)
def grid_pages(
    localizations: Sequence[Drawable],
    truths: Sequence[BoxesOfImage] | None = None,
    titles: Sequence[str] | None = None,
    width: float | None = None,
    difference: bool = False,
    verdicts: Sequence[Sequence[Verdict | None]] | None = None,
    height: float = PAGE_HEIGHT,
) -> list[Figure]:
    """The grid of `grid_figure` in pages, each with its own headings and legend.

    Args:
        localizations: See `grid_figure`; so are the other arguments but the last.
        truths: Ground-truth boxes.
        titles: Titles of the images.
        width: Width in inches.
        difference: Add the change of score.
        verdicts: Whether each step is right.
        height: Greatest height of a page in inches; a single taller row has a page to itself.

    Returns:
        The pages in order, for `wsol.draw.save_pages`.

    Raises:
        ValueError: If there are no images, or the numbers of steps, truths or titles differ.
        UserError: If `difference` is asked for and the network has one step.
    """
    if not localizations:
        raise ValueError("a grid needs at least one image")
    rows, width = _grid_rows(localizations, truths, titles, width, difference, verdicts)
    pages: list[list[list[Panel]]] = [[]]
    for row in rows:
        if pages[-1] and rows_height([*pages[-1], row], width) > height:
            pages.append([])
        pages[-1].append(row)
    return [_grid(localizations, page, width, difference) for page in pages]


@mpl.rc_context(STYLE)
def method_figure(
    methods: Mapping[str, Drawable], truth: BoxesOfImage | None = None, width: float | None = None
) -> Figure:
    """One image as several map methods see it: side by side, or, of a network of several steps, one row each.

    Args:
        methods: Name of the method -> what it gives, as `wsol.Localization.methods` has it.
        truth: `(K, 4)` ground-truth boxes x0 y0 x1 y1 in the image's pixels, if known.
        width: Width in inches; by default a page's, less for few panels.

    Returns:
        The figure.

    Raises:
        ValueError: If there is no method.
    """
    if not methods:
        raise ValueError("a figure of methods needs at least one")
    several = list(methods.values())
    first = several[0]
    if len(first.steps) > 1:
        return grid_figure(several, None if truth is None else [truth] * len(several), list(methods), width)
    total = 1 + len(methods)
    columns = min(total, MOST_COLUMNS)
    width = width or min(PAGE, WIDEST_PANEL * columns)
    picture = display_image(first.image)
    panels = [Panel(picture, first.image_size, "", truth=truth)]
    for found in several:
        (verdict,) = verdicts_if_known(found, truth)
        panels.append(_step_panel(found, found.steps[0], picture, truth, verdict, width / columns))
    headings = ["photograph", *(_cut(name, characters(width / columns)) for name in methods)]
    rows = [panels[start : start + columns] for start in range(0, total, columns)]
    titles = [headings[start : start + columns] for start in range(0, total, columns)]
    return compose(rows, width, titles, caption=first.network)


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
    picture = display_image(localization.image)
    verdicts = verdicts_if_known(localization, truth)
    ends = [
        _step_panel(localization, step, picture, truth, verdict, width / 3)
        for step, verdict in ((localization.steps[0], verdicts[0]), (localization.steps[-1], verdicts[-1]))
    ]
    row = [*ends, _change_panel(localization, picture, truth)]
    headings = _headings(localization, "", changes=True)
    return compose([row], width, [[headings[1], headings[-2], headings[-1]]], caption=localization.network, change=True)


def _headings(localization: Drawable, photograph: str, changes: bool) -> list[str]:
    """Heads of the columns: photograph, steps, change. A network of one step has a score map and no step 1."""
    steps = localization.steps
    if len(steps) == 1:
        return [photograph, "score map"]
    heads = [photograph, *(f"step {step.step}" for step in steps)]
    return [*heads, f"change, step {steps[0].step} to {steps[-1].step}"] if changes else heads


def _grid_rows(
    localizations: Sequence[Drawable],
    truths: Sequence[BoxesOfImage] | None,
    titles: Sequence[str] | None,
    width: float | None,
    difference: bool,
    verdicts: Sequence[Sequence[Verdict | None]] | None,
) -> tuple[list[list[Panel]], float]:
    columns = 1 + len(localizations[0].steps) + difference
    width = width or min(PAGE, WIDEST_PANEL * columns)
    boxes: Sequence[BoxesOfImage | None] = truths or [None] * len(localizations)
    titles = titles or [found.path.name if found.path else "" for found in localizations]
    if verdicts is None:
        verdicts = [verdicts_if_known(found, truth) for found, truth in zip(localizations, boxes, strict=True)]
    rows = [
        _row(found, truth, title, marks, width / columns, difference)
        for found, truth, title, marks in zip(localizations, boxes, titles, verdicts, strict=True)
    ]
    if any(len(row) != columns for row in rows):
        raise ValueError("all images of a grid must have the same number of steps")
    return rows, width


def _grid(localizations: Sequence[Drawable], rows: Sequence[Sequence[Panel]], width: float, difference: bool) -> Figure:
    headings = _headings(localizations[0], "photograph", difference)
    return compose(rows, width, [headings], caption=localizations[0].network, change=difference)


def _row(
    localization: Drawable,
    truth: BoxesOfImage | None,
    title: str,
    verdicts: Sequence[Verdict | None],
    width: float,
    changes: bool,
) -> list[Panel]:
    picture = display_image(localization.image)
    panels = [Panel(picture, localization.image_size, _cut(title, characters(width)), truth=truth)]
    panels += [
        _step_panel(localization, step, picture, truth, verdict, width)
        for step, verdict in zip(localization.steps, verdicts, strict=True)
    ]
    if changes:
        panels.append(_change_panel(localization, picture, truth))
    return panels


def _cut(title: str, longest: int) -> str:
    return "\n".join(line if len(line) <= longest else line[: longest - 1] + "…" for line in title.split("\n"))


def _step_panel(
    localization: Drawable,
    step: DrawableStep,
    picture: npt.NDArray[np.float32],
    truth: BoxesOfImage | None,
    verdict: Verdict | None,
    width: float,
) -> Panel:
    return Panel(
        overlay(picture, step.score_map),
        localization.image_size,
        step_title(step, width, verdict),
        step.box,
        truth,
        outline(step, localization.image_size),
    )


def _change_panel(localization: Drawable, picture: npt.NDArray[np.float32], truth: BoxesOfImage | None) -> Panel:
    first, last = localization.steps[0], localization.steps[-1]
    if first is last:
        raise UserError("a difference needs two steps; this network has one")
    change = difference_overlay(picture, first.score_map, last.score_map)
    return Panel(change, localization.image_size, "", None, truth)

"""Colours, type sizes and file output shared by all figures.

Figures are made with matplotlib's object interface only (no `pyplot`, no window system), at
print size: `COLUMN` and `PAGE` are the widths, in inches, of one column and of a whole page in
the usual two-column layout, and the type is 7 to 8 points at that size.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure

from tdam.errors import UserError
from tdam.files import replacing
from wsol.draw.scripts import make_drawable
from wsol.marks import figure_metadata

COLUMN: Final = 3.4
PAGE: Final = 7.0
PAGE_HEIGHT: Final = 9.5

# Okabe and Ito's palette: eight colours that stay apart with every kind of colour blindness.
# Source: https://jfly.uni-koeln.de/color/
BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, YELLOW, BLACK = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#F0E442",
    "#000000",
)
CYCLE: Final = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
MARKERS: Final = ("o", "s", "^", "D", "v", "P")

# One colour, one meaning, in figures, animations, the demo and the report.
PREDICTED: Final = SKY
"""The predicted box, and the threshold's contour that it bounds."""
TRUTH: Final = "#FFFFFF"
"""Ground-truth boxes, always dashed."""
GAINED, LOST = GREEN, PURPLE
"""Where the last step's score is above and below the first's."""

SCORE_COLOURS: Final[Colormap] = ListedColormap(mpl.colormaps["inferno"](np.linspace(0.25, 1, 256)), "scores")
"""Colour of a score in [0, 1]: dark red to pale yellow, lighter with the score, safe for colour-blind readers."""

STYLE: Final[dict[Any, Any]] = {
    "font.family": "sans-serif",
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#D9D9D9",
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "figure.facecolor": "white",
    # A class or file name with dollar signs is a name, not a formula.
    "text.parse_math": False,
    # Text of an SVG or PDF stays text: searchable, editable, small.
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "svg.hashsalt": "wsol",
}

SUFFIXES: Final = (".png", ".svg", ".pdf")


def save(figure: Figure, path: str | Path, dpi: int = 200) -> Path:
    """Write a figure; the file's suffix chooses PNG, SVG or PDF.

    The same figure gives the same bytes: no date is written into the file.

    Args:
        figure: The figure.
        path: Where to write; missing parent folders are made.
        dpi: Pixels per inch of a PNG, and of the pictures inside an SVG or PDF.

    Returns:
        The path written.

    Raises:
        UserError: If the suffix is none of `SUFFIXES` or the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"{path}: cannot write {suffix or 'no suffix'!r}; use {', '.join(SUFFIXES)}")
    with replacing(path) as temporary, mpl.rc_context(STYLE):
        make_drawable(figure)
        figure.savefig(temporary, dpi=dpi, metadata=figure_metadata(suffix))
    return path


def save_pages(figures: Sequence[Figure], path: str | Path, dpi: int = 200) -> list[Path]:
    """Write several figures: one PDF of as many pages, or numbered PNG or SVG files.

    Args:
        figures: The pages in order, at least one.
        path: Where to write. A single figure gets this name; several PNG or SVG files get `-1`, `-2`, … before the
            suffix.
        dpi: Pixels per inch, as in `save`.

    Returns:
        The paths written, in order.

    Raises:
        UserError: If the suffix is none of `SUFFIXES` or a file cannot be written.
    """
    path = Path(path)
    if len(figures) == 1:
        return [save(figures[0], path, dpi)]
    if path.suffix.lower() != ".pdf":
        return [
            save(figure, path.with_stem(f"{path.stem}-{number}"), dpi) for number, figure in enumerate(figures, start=1)
        ]
    with (
        replacing(path) as temporary,
        mpl.rc_context(STYLE),
        PdfPages(temporary, metadata=figure_metadata(".pdf")) as pages,
    ):
        for figure in figures:
            pages.savefig(figure, dpi=dpi)
    return [path]


def png_bytes(figure: Figure, dpi: int = 100) -> bytes:
    """A figure as a PNG in memory, as notebooks and web pages take it.

    Args:
        figure: The figure.
        dpi: Pixels per inch.

    Returns:
        Content of a PNG file.
    """
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        make_drawable(figure)
        figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()

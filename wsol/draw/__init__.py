"""Figures of publication quality: every step's map and box, grids, differences, curves and bars.

figure = wsol.draw.step_figure(localizer("bird.jpg")[0])
wsol.draw.save(figure, "bird.pdf")
"""

from wsol.class_names import readable_name, short_label
from wsol.draw.figures import difference_figure, grid_figure, grid_pages, method_figure, step_figure
from wsol.draw.overlay import difference_overlay, overlay
from wsol.draw.plots import error_bars, iou_histogram, network_comparison, threshold_curves
from wsol.draw.style import SUFFIXES, png_bytes, save, save_pages
from wsol.draw.verdicts import Verdict, verdicts

__all__ = [
    "SUFFIXES",
    "Verdict",
    "difference_figure",
    "difference_overlay",
    "error_bars",
    "grid_figure",
    "grid_pages",
    "iou_histogram",
    "method_figure",
    "network_comparison",
    "overlay",
    "png_bytes",
    "readable_name",
    "save",
    "save_pages",
    "short_label",
    "step_figure",
    "threshold_curves",
    "verdicts",
]

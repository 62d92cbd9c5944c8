"""Boxes from score maps: the rules, thresholds that need no box, and regions with scores, outlines and masks."""

from wsol.boxes.extraction import (
    BOX_RULES,
    Boxes,
    BoxRule,
    boxes_from_score_map,
    boxes_of_cut,
    largest_contour,
    quantize_score_map,
    scale_boxes,
    to_map_pixels,
)

__all__ = [
    "BOX_RULES",
    "BoxRule",
    "Boxes",
    "boxes_from_score_map",
    "boxes_of_cut",
    "largest_contour",
    "quantize_score_map",
    "scale_boxes",
    "to_map_pixels",
]

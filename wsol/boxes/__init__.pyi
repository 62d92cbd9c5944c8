from .extraction import (
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

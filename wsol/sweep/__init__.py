"""Best IoU of a score map's boxes at every threshold at once.

A threshold enters wsolevaluation's boxes only through the integer cut ``int(t * max)`` of the map
quantized to 8 bits, so 256 cuts hold everything: any list of thresholds, MaxBoxAcc, MaxBoxAccV2,
Top-k localization and every threshold policy are gathered from one `Sweep`.
"""

from wsol.sweep.conventions import BoxConvention, box_iou
from wsol.sweep.inputs import as_boxes, as_score_maps, check_range, quantize
from wsol.sweep.sweep import BoxRule, Sweep, best_iou_per_cut, cam_thresholds, cut_table

__all__ = [
    "BoxConvention",
    "BoxRule",
    "Sweep",
    "as_boxes",
    "as_score_maps",
    "best_iou_per_cut",
    "box_iou",
    "cam_thresholds",
    "check_range",
    "cut_table",
    "quantize",
]

"""Localization metrics with integer counters: exact, summable over processes, of constant size."""

from wsol.metrics.localization import LocalizationAccuracy, label_ranks, localization_accuracy
from wsol.metrics.max_box_acc import MaxBoxAcc, MaxBoxAccV2, max_box_acc, max_box_acc_v2
from wsol.metrics.pixel_average_precision import PixelAveragePrecision, pixel_average_precision

__all__ = [
    "LocalizationAccuracy",
    "MaxBoxAcc",
    "MaxBoxAccV2",
    "PixelAveragePrecision",
    "label_ranks",
    "localization_accuracy",
    "max_box_acc",
    "max_box_acc_v2",
    "pixel_average_precision",
]

from .localization import LocalizationAccuracy, localization_accuracy
from .max_box_acc import MaxBoxAcc, MaxBoxAccV2, max_box_acc, max_box_acc_v2
from .pixel_average_precision import PixelAveragePrecision, pixel_average_precision
from .ranks import label_ranks

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

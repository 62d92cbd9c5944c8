"""The metrics under the name they had first; they live in `wsol.metrics`."""

from wsol.metrics import (
    LocalizationAccuracy,
    MaxBoxAcc,
    MaxBoxAccV2,
    PixelAveragePrecision,
)

__all__ = ["LocalizationAccuracy", "MaxBoxAcc", "MaxBoxAccV2", "PixelAveragePrecision"]

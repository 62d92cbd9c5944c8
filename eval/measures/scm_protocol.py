"""The figures of SCM's test script (hbai98/SCM at be5bdfa6), whose columns bear other papers' names.

Its "GT-Known" is MaxBoxAcc at IoU 0.5 of the map of the *predicted* class at the best of 100 thresholds on the set
it reports; the usual GT-known Loc takes the label's map, and TS-CAM's a fixed threshold. So the two papers' columns
cannot be compared; `wsol-eval` gives both papers' maps the usual figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from wsol.scoremap import normalize_score_map
from wsol.sweep import best_iou_per_cut, cam_thresholds

IOU_THRESHOLDS = (0.3, 0.5, 0.7)


@dataclass(frozen=True)
class GuessFigures:
    """Figures over the first k guesses, in percent; of IoU thresholds where there are several, as `IOU_THRESHOLDS`.

    Attributes:
        top_k_cls: The label is among the guesses.
        max_box_acc: The box of any guess's map overlaps enough, whatever its class, at the best threshold.
        box_thresholds: Those thresholds, the first of equals.
        loc_acc: The same, and the label is among the guesses, at the best threshold for this figure.
        loc_thresholds: Those thresholds.
    """

    top_k_cls: float
    max_box_acc: tuple[float, ...]
    box_thresholds: tuple[float, ...]
    loc_acc: tuple[float, ...]
    loc_thresholds: tuple[float, ...]

    @property
    def gt_known(self) -> float:
        """What the script prints as GT-Known."""
        return self.max_box_acc[IOU_THRESHOLDS.index(0.5)]


def scm_figures(
    maps: npt.NDArray[np.floating],
    logits: npt.NDArray[np.floating],
    labels: npt.NDArray[np.int64],
    boxes: Sequence[npt.NDArray[Any]],
    side: int = 224,
    guesses: int = 5,
) -> dict[int, GuessFigures]:
    """Judge maps of all classes as SCM's test script does.

    Args:
        maps: Raw maps ``(N, C, h, w)``.
        logits: ``(N, C)``.
        labels: ``(N,)``.
        boxes: Ground truth of each image ``(K, 4)``, ``x0 y0 x1 y1`` in pixels of the resized map.
        side: Maps are resized to this many pixels a side, bilinearly, in float64.
        guesses: How many classes count at most.

    Returns:
        Figures of the first guess and of all, by the number of guesses.
    """
    ranked = np.argsort(-logits, axis=1, kind="stable")[:, :guesses]
    right = ranked == labels[:, None]
    thresholds = cam_thresholds(0.01)
    ious = np.stack([_ious(maps[np.arange(len(maps)), guess], boxes, side, thresholds) for guess in ranked.T])
    return {count: _figures(ious[:count], right[:, :count].any(axis=1), thresholds) for count in (1, guesses)}


def _ious(
    maps: npt.NDArray[np.floating], boxes: Sequence[npt.NDArray[Any]], side: int, thresholds: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Best IoU ``(N, thresholds)`` of the largest contour's box in the convention of wsolevaluation."""
    resized = [normalize_score_map(cv2.resize(one.astype(np.float64), (side, side))) for one in maps]
    return best_iou_per_cut(np.stack(resized), boxes).iou_at(thresholds)


def _figures(
    ious: npt.NDArray[np.float64], right: npt.NDArray[np.bool_], thresholds: npt.NDArray[np.float64]
) -> GuessFigures:
    """Figures from IoUs ``(guesses, N, thresholds)``."""
    hits = [(ious >= level).any(axis=0) for level in IOU_THRESHOLDS]
    found = [hit.mean(axis=0) for hit in hits]
    found_right = [(hit & right[:, None]).mean(axis=0) for hit in hits]
    return GuessFigures(
        top_k_cls=100 * float(right.mean()),
        max_box_acc=tuple(100 * float(share.max()) for share in found),
        box_thresholds=tuple(float(thresholds[share.argmax()]) for share in found),
        loc_acc=tuple(100 * float(share.max()) for share in found_right),
        loc_thresholds=tuple(float(thresholds[share.argmax()]) for share in found_right),
    )

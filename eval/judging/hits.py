"""Whether an image is found: decided here while it is judged, kept in its record, and read everywhere else.

A record holds, per row and cut, the IoU level that the box reaches, and for the thresholds known beforehand the
answers themselves (field ``hit``). An image that could not be read is never found; an image without ground-truth
boxes has nothing to be found and is left out of every mean of hits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from eval.protocols import Protocol
from wsol.sweep import cut_table

IOU_THRESHOLDS = (0.3, 0.5, 0.7)
LOC_FIGURES = ("gt_known_loc", "top1_loc", "top5_loc")
CLS_FIGURES = ("top1_cls", "top5_cls")
# Thresholds that are known before the images are seen: what a record's hits are decided at. After these come the rules
# by which every map finds its own threshold.
POLICIES = ("headline", "fixed")
Figure = Literal["gt_known_loc", "top1_loc", "top5_loc"]


def iou_levels(iou: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """How many of the rising demands ``>= 0.3, > 0.3, >= 0.5, > 0.5, >= 0.7, > 0.7`` each IoU meets.

    One byte thus answers every protocol, whether it asks for "at least" or "above".

    >>> iou_levels(np.array([0.2, 0.5, 0.51, 1.0])).tolist()
    [0, 3, 4, 6]
    """
    return sum(((iou >= t).astype(np.uint8) + (iou > t) for t in IOU_THRESHOLDS), np.zeros(iou.shape, np.uint8))


def demanded_level(protocol: Protocol, figure: Figure = "gt_known_loc", iou_threshold: float = 0.5) -> int:
    """The level of `iou_levels` that a figure of a protocol demands at an IoU threshold.

    >>> from eval.protocols import get_protocol
    >>> demanded_level(get_protocol("ts-cam")), demanded_level(get_protocol("ts-cam"), "top1_loc")
    (3, 4)
    """
    strict = protocol.gt_known_strict if figure == "gt_known_loc" else protocol.top_k_strict
    return 2 * IOU_THRESHOLDS.index(iou_threshold) + 1 + strict


def row_hits(
    records: npt.NDArray[np.void], row: int, thresholds: npt.NDArray[np.float64], protocol: Protocol
) -> dict[str, npt.NDArray[np.bool_]]:
    """Every yes-or-no figure of one row at some thresholds.

    Args:
        records: ``(N,)`` records.
        row: Number of the row.
        thresholds: ``(n,)`` thresholds relative to a map's maximum.
        protocol: Says which IoU each figure demands.

    Returns:
        ``(N, n)`` bool by key: ``largest@<iou>``, ``all@<iou>``, ``gt_known_loc``, ``top1_loc``, ``top5_loc``.
    """
    return hits_at_cuts(records, row, cut_table(records["maximum"][:, row], thresholds), protocol)


def hits_at_cuts(
    records: npt.NDArray[np.void], row: int, cuts: npt.NDArray[np.int64], protocol: Protocol
) -> dict[str, npt.NDArray[np.bool_]]:
    """The figures of `row_hits` at each image's own cuts ``(N, n)`` of its 8-bit map."""
    reached = {
        rule: np.take_along_axis(records[f"reached_{rule}"][:, row], cuts, axis=1) for rule in ("largest", "all")
    }
    hits = {
        f"{rule}@{iou}": reached[rule] >= demanded_level(protocol, iou_threshold=iou)
        for rule in reached
        for iou in IOU_THRESHOLDS
    }
    top_k = reached["largest"] >= demanded_level(protocol, "top1_loc")
    return hits | {
        "gt_known_loc": hits["largest@0.5"],
        "top1_loc": top_k & records["in_top1"][:, row, None],
        "top5_loc": top_k & records["in_top5"][:, row, None],
    }


def any_step_hits(
    records: npt.NDArray[np.void], steps: Sequence[int], thresholds: npt.NDArray[np.float64], protocol: Protocol
) -> dict[str, npt.NDArray[np.bool_]]:
    """The figures of `row_hits` where an image counts if any step gets it right.

    This is the TDAM authors' accuracy over steps: with T steps a network has T guesses, and knowing which of them
    is right takes the ground truth. It is an oracle, not a result of the network.
    """
    per_step = [row_hits(records, row, thresholds, protocol) for row in steps]
    return {name: np.logical_or.reduce([hits[name] for hits in per_step]) for name in per_step[0]}


def decide_hits(
    records: npt.NDArray[np.void],
    row: int,
    thresholds: Sequence[float],
    protocol: Protocol,
    own_cuts: npt.NDArray[np.int64] | None = None,
) -> npt.NDArray[np.bool_]:
    """The answers that a record keeps: whether each image is found at the thresholds known beforehand.

    Args:
        records: ``(N,)`` records whose levels and classes are filled in.
        row: Number of the row.
        thresholds: One per policy of `POLICIES`.
        protocol: Says which IoU each figure demands.
        own_cuts: Cuts ``(N, R)`` that each map found by the rules; None where there are no rules.

    Returns:
        ``(N, len(POLICIES) + R, len(LOC_FIGURES))``.
    """
    cuts = cut_table(records["maximum"][:, row], np.asarray(thresholds, dtype=np.float64))
    if own_cuts is not None:
        cuts = np.concatenate([cuts, own_cuts], axis=1)
    hits = hits_at_cuts(records, row, cuts, protocol)
    return np.stack([hits[figure] for figure in LOC_FIGURES], axis=-1)


def kept_hits(records: Any, row: int, figure: str = "gt_known_loc", policy: str = "headline") -> Any:
    """The answers that records keep for one figure of a row, ``(N,)`` bool."""
    return records["hit"][:, row, POLICIES.index(policy), LOC_FIGURES.index(figure)]

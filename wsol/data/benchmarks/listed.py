"""What it gives to list a published tree: ground truth, and what had to be left out."""

from __future__ import annotations

from dataclasses import dataclass

from wsol.data.ground_truth import GroundTruth


@dataclass(frozen=True)
class Listed:
    """The lists that were written of a tree.

    Attributes:
        truth: Ground truth of every split.
        left_out: Reason -> images that are in no list for it.
    """

    truth: dict[str, GroundTruth]
    left_out: dict[str, tuple[str, ...]]

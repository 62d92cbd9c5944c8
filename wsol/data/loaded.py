"""What a reader of any layout returns."""

from __future__ import annotations

from dataclasses import dataclass

from wsol.data.files.decoders import Rule
from wsol.data.files.stores import ImageStore
from wsol.data.findings import Finding
from wsol.data.ground_truth import GroundTruth


@dataclass(frozen=True)
class Loaded:
    """Ground truth of a split with the stores of its images and masks.

    Attributes:
        ground_truth: Labels, boxes, sizes and names of mask files.
        images: Store of the images.
        masks: Store of the masks; None: the same as `images`.
        note: One line that a user should read about this split ("" if there is none).
        complete: Whether the lists are meant to name every file of the stores.
        rule: Rule by which its images are opened, see `wsol.data.files.decoders`.
        findings: What was found while it was read.
    """

    ground_truth: GroundTruth
    images: ImageStore
    masks: ImageStore | None = None
    note: str = ""
    complete: bool = True
    rule: Rule = "benchmark"
    findings: tuple[Finding, ...] = ()

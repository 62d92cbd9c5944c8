"""Published trees that `wsol-data prepare` lists: what listing gives, and how the lists are read back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wsol.data.errors import DatasetError
from wsol.data.formats.wsolevaluation import has_lists, lists_folder
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


def read_listed(root: Path, tree: Path, dataset: str, split: str) -> GroundTruth:
    """Ground truth of a split as it was listed.

    Args:
        root: Folder of the datasets.
        tree: The published tree.
        dataset: Name of the dataset.
        split: Name of the split.

    Raises:
        DatasetError: If the tree is not listed yet, or the lists are malformed.
    """
    if not has_lists(root, dataset, split):
        raise DatasetError(f"{tree}: not listed yet; run 'wsol-data prepare {dataset} --root {root}'")
    return GroundTruth.from_lists(lists_folder(root, dataset, split), dataset, split)

"""Datasets of weakly-supervised object localization.

>>> from wsol.data import list_datasets
>>> "minibirds" in list_datasets()
True
"""

from wsol.data.dataset import LocalizationDataset
from wsol.data.errors import DatasetError, ImageError
from wsol.data.ground_truth import GroundTruth, MaskFiles
from wsol.data.registry import list_datasets, load_dataset

__all__ = [
    "DatasetError",
    "GroundTruth",
    "ImageError",
    "LocalizationDataset",
    "MaskFiles",
    "list_datasets",
    "load_dataset",
]

from .dataset import LocalizationDataset
from .errors import DatasetError, ImageError
from .ground_truth import GroundTruth, MaskFiles
from .registry import list_datasets, load_dataset

__all__ = [
    "DatasetError",
    "GroundTruth",
    "ImageError",
    "LocalizationDataset",
    "MaskFiles",
    "list_datasets",
    "load_dataset",
]

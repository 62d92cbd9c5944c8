from .dataset import LocalizationDataset
from .errors import DatasetError, ImageError
from .ground_truth import GroundTruth, MaskFiles
from .loaded import Loaded
from .registry import Source, list_datasets, load_dataset

__all__ = [
    "DatasetError",
    "GroundTruth",
    "ImageError",
    "Loaded",
    "LocalizationDataset",
    "MaskFiles",
    "Source",
    "list_datasets",
    "load_dataset",
]

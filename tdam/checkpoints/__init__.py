"""Checkpoints: ours, timm's, torchvision's and the TDAM authors' files, read without running anything from the file."""

from tdam.checkpoints.loading import (
    LoadReport,
    classes_of,
    find_config,
    foreign_names,
    in_our_names,
    load_checkpoint,
    read_config,
    read_state_dict,
    save_checkpoint,
)

__all__ = [
    "LoadReport",
    "classes_of",
    "find_config",
    "foreign_names",
    "in_our_names",
    "load_checkpoint",
    "read_config",
    "read_state_dict",
    "save_checkpoint",
]

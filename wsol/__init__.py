"""Weakly-supervised object localization: datasets, maps of every computation step, boxes.

import wsol
localizer = wsol.Localizer("resnet_mini_tdam")
found = localizer(["bird.jpg"])
"""

from importlib.metadata import PackageNotFoundError, version

from wsol.boxes import boxes_from_score_map, scale_boxes
from wsol.cam import ClassActivationMaps, class_activation_maps
from wsol.localization import ClassScore, Localization, StepLocalization
from wsol.localizer import Localizer
from wsol.maps import map_methods
from wsol.opening import TrainedNetwork, open_network, open_trained
from wsol.results import Results, read_results
from wsol.scoremap import normalize_score_map, score_maps

try:
    __version__ = version("wsol")
except PackageNotFoundError:  # imported from a folder that was never installed
    __version__ = "0+unknown"

__all__ = [
    "ClassActivationMaps",
    "ClassScore",
    "Localization",
    "Localizer",
    "Results",
    "StepLocalization",
    "TrainedNetwork",
    "__version__",
    "boxes_from_score_map",
    "class_activation_maps",
    "map_methods",
    "normalize_score_map",
    "open_network",
    "open_trained",
    "read_results",
    "scale_boxes",
    "score_maps",
]

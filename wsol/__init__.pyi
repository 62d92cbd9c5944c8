from . import (
    animation,
    boxes,
    cam,
    class_names,
    data,
    draw,
    export,
    hub,
    localization,
    localizer,
    maps,
    methods,
    metrics,
    networks,
    opening,
    photographs,
    results,
    scoremap,
    sweep,
    transformers,
)
from .boxes import boxes_from_score_map, scale_boxes
from .cam import ClassActivationMaps, class_activation_maps
from .localization import ClassScore, Localization, StepLocalization
from .localizer import Localizer
from .maps import map_methods
from .opening import TrainedNetwork, open_network, open_trained
from .results import Results, read_results
from .scoremap import normalize_score_map, score_maps

__version__: str

__all__ = [
    "ClassActivationMaps",
    "ClassScore",
    "Localization",
    "Localizer",
    "Results",
    "StepLocalization",
    "TrainedNetwork",
    "__version__",
    "animation",
    "boxes",
    "boxes_from_score_map",
    "cam",
    "class_activation_maps",
    "class_names",
    "data",
    "draw",
    "export",
    "hub",
    "localization",
    "localizer",
    "map_methods",
    "maps",
    "methods",
    "metrics",
    "networks",
    "normalize_score_map",
    "open_network",
    "open_trained",
    "opening",
    "photographs",
    "read_results",
    "results",
    "scale_boxes",
    "score_maps",
    "scoremap",
    "sweep",
    "transformers",
]

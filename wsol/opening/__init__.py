"""Opening anyone's network with its weights: by name, file, folder, hub, function, or as it is."""

from wsol.opening.network import ModelSource, open_network
from wsol.opening.trained import TrainedNetwork, bundled_datasets, find_checkpoint, open_trained

__all__ = [
    "ModelSource",
    "TrainedNetwork",
    "bundled_datasets",
    "find_checkpoint",
    "open_network",
    "open_trained",
]

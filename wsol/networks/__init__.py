"""Opening anyone's network, and reading it: which tensor is pooled, which layer classifies, what a batch gives."""

from wsol.networks.errors import NetworkError
from wsol.networks.forward import ForwardPass, LayerGradients
from wsol.networks.linear_form import LinearForm
from wsol.networks.opening import ModelSource, open_network
from wsol.networks.reading import Reading, check_weights, structure_of
from wsol.networks.structure import Structure
from wsol.networks.trained import TrainedNetwork, bundled_datasets, find_checkpoint, open_trained
from wsol.networks.wrappers import evaluation_mode, unwrap

__all__ = [
    "ForwardPass",
    "LayerGradients",
    "LinearForm",
    "ModelSource",
    "NetworkError",
    "Reading",
    "Structure",
    "TrainedNetwork",
    "bundled_datasets",
    "check_weights",
    "evaluation_mode",
    "find_checkpoint",
    "open_network",
    "open_trained",
    "structure_of",
    "unwrap",
]

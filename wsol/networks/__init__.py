"""Reading anyone's network: which tensor is pooled, which layer classifies, what a batch gives."""

from wsol.networks.discovery import as_input
from wsol.networks.errors import NetworkError
from wsol.networks.forward import ForwardPass, LayerGradients
from wsol.networks.linear_form import LinearForm
from wsol.networks.reading import Reading, check_weights, structure_of
from wsol.networks.structure import Structure
from wsol.networks.wrappers import evaluation_mode, unwrap

__all__ = [
    "ForwardPass",
    "LayerGradients",
    "LinearForm",
    "NetworkError",
    "Reading",
    "Structure",
    "as_input",
    "check_weights",
    "evaluation_mode",
    "structure_of",
    "unwrap",
]

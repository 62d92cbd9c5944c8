"""Training methods of weakly-supervised object localization: image labels in, a network with better maps out.

Each is the method of its paper with the hyper-parameters that wsolevaluation (Choe et al., CVPR 2020) publishes.
"""

import inspect
from typing import Any

from torch import nn

from tdam.errors import check_name
from wsol.methods.base import Method, MethodOutput

METHODS: dict[str, type[Method]] = {"cam": Method}


def create_method(name: str, network: nn.Module, label_smoothing: float = 0.0, **hyper_parameters: Any) -> Method:
    """Training method by name around a network.

    Raises:
        UnknownNameError: If there is no such method, or it has no such hyper-parameter.
    """
    cls = METHODS[check_name("method", name, METHODS)]
    known = [key for key in inspect.signature(cls).parameters if key != "network"]
    for key in hyper_parameters:
        check_name(f"hyper-parameter of method {name}", key, known)
    return cls(network, label_smoothing=label_smoothing, **hyper_parameters)


__all__ = ["METHODS", "Method", "MethodOutput", "create_method"]

"""Networks inside the wrappers that training and deployment put around them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from wsol.networks.errors import NetworkError

# Wrapper class -> where it keeps the network. By name, as some live in packages that need not be installed.
WRAPPERS = {
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "OptimizedModule": "_orig_mod",
    "AveragedModel": "module",
    "ModelEma": "ema",
    "ModelEmaV2": "module",
    "ModelEmaV3": "module",
    "ExponentialMovingAverage": "module",
}


def unwrap(model: nn.Module) -> nn.Module:
    """The network itself, out of `DataParallel`, `DistributedDataParallel`, `torch.compile` and averages of weights.

    Raises:
        NetworkError: If the network is a script, whose tensors cannot be looked at.
    """
    if not isinstance(model, nn.Module):
        raise NetworkError(f"a network must be a torch.nn.Module, not {type(model).__name__}")
    while attribute := _wrapping(model):
        model = getattr(model, attribute)
    if isinstance(model, torch.jit.ScriptModule):
        raise NetworkError("a TorchScript module hides its tensors: pass the module that it was made of")
    return model


def _wrapping(model: nn.Module) -> str | None:
    for base in type(model).__mro__:
        attribute = WRAPPERS.get(base.__name__)
        if attribute and isinstance(getattr(model, attribute, None), nn.Module):
            return attribute
    return None


def makes_own_maps(model: nn.Module) -> bool:
    """Whether maps come from heads of the model's own, as with the training method ACoL."""
    return hasattr(model, "class_activation_maps")


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Within it every module behaves as in evaluation; afterwards each is in the mode it was in.

    The flags are set directly: `train` and `eval` of some networks do more, such as merging weights.
    """
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True

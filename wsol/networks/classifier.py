"""The linear function whose output are the logits, among all calls of a forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from torch import Tensor, nn

from wsol.networks.errors import NetworkError
from wsol.networks.outputs import vectors_in
from wsol.networks.pooling import same
from wsol.networks.recorder import Call

ACTIVATIONS = {
    "softmax": lambda scores: scores.softmax(1),
    "log_softmax": lambda scores: scores.log_softmax(1),
    "sigmoid": lambda scores: scores.sigmoid(),
}


class Classifier(NamedTuple):
    """Calls of the linear functions whose mean are the logits, and what the network applies to it."""

    calls: tuple[Call, ...]
    activation: str | None


def linear_calls(calls: Sequence[Call]) -> Iterator[tuple[Call, Tensor]]:
    """Calls of linear functions on vectors, last first, with their output ``(B, C)``."""
    for call in reversed(calls):
        one_place = call.site.part == "conv2d" and call.output.ndim == 4 and call.output.shape[2:].numel() == 1
        if one_place or (call.site.part == "linear" and call.output.ndim == 2):
            yield call, call.output.flatten(1)


def find_classifier(calls: Sequence[Call], logits: Tensor, name: str | None) -> Classifier | None:
    """The last linear function, or the mean of two, that gives the logits; None if there is none.

    Args:
        calls: All calls of a forward pass.
        logits: ``(B, C)`` of that pass.
        name: Name of the module that classifies, if only that is to be looked at.

    Raises:
        NetworkError: If that module is no linear layer with as many outputs.
    """
    linear = [(call, out) for call, out in linear_calls(calls) if out.shape[1] == logits.shape[1]]
    if name is not None:
        linear = [(call, out) for call, out in linear if call.site.module == name]
        if not linear:
            raise NetworkError(
                f"classifier {name} is not a linear layer that gives {logits.shape[1]} numbers per image"
            )
    for call, out in linear:
        if same(out, logits):
            return Classifier((call,), None)
    for (one, out), (other, other_out) in combinations(linear, 2):
        if same((out + other_out) / 2, logits):
            return Classifier((one, other), None)
    for call, out in linear:
        for activation, apply in ACTIVATIONS.items():
            if same(apply(out), logits):
                return Classifier((call,), activation)
    return None


def check_order(output: Any, logits: Tensor, calls: Sequence[Call]) -> None:
    """Refuse a tuple whose first vectors are what the classifier reads and not what it gives."""
    if not isinstance(output, (tuple, list)):
        return
    others = [one for one in vectors_in(output, len(logits)) if one.shape != logits.shape]
    for call, out in linear_calls(calls):
        if any(same(out, other) for other in others) and same(input_of(call).flatten(1), logits):
            raise NetworkError(
                f"the network returns a tuple that begins with features {tuple(logits.shape)}, which "
                f"{call.site.module or 'its classifier'} makes into logits {tuple(out.shape)}: return the logits first"
            )


def argument_of(call: Call, position: int, name: str) -> Any:
    """An argument of a call, given by position or by name; None if it was left out."""
    return call.inputs[position] if len(call.inputs) > position else call.options.get(name)


def input_of(call: Call) -> Tensor:
    """What a function was applied to."""
    return argument_of(call, 0, "input")


def name_of(network: nn.Module, tensor: Tensor | None) -> str | None:
    """Name of a parameter or buffer of the network; None for any other tensor."""
    named = (*network.named_parameters(), *network.named_buffers())
    return next((name for name, own in named if own is tensor), None)


def weights_of(network: nn.Module, call: Call) -> tuple[str | None, str | None]:
    """Names of weight and bias of a linear function.

    A weight that its module computes anew for every call (weight norm, spectral norm, pruning) goes by the name of the
    module's attribute.
    """
    weight = argument_of(call, 1, "weight")
    name = name_of(network, weight)
    if name is None:
        computed = getattr(network.get_submodule(call.site.module), "weight", None)
        if isinstance(computed, Tensor) and same(computed, weight):
            name = f"{call.site.module}.weight".lstrip(".")
    return name, name_of(network, argument_of(call, 2, "bias"))

"""Faster ways to run a network; each may change the last digits of its maps.

network = prepare(network, fold_norms=True, channels_last=True)
compiled_steps(network.model)(images).logits            # (T, B, C), as of `tdam.forward_steps`

How much each changes the metrics is measured in docs/inference.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException

import tdam
from tdam.errors import UserError
from wsol.networks.convolutions import lay_channels_last
from wsol.networks.wrappers import makes_own_maps, unwrap
from wsol.opening import TrainedNetwork

Forward = Callable[[Tensor], tdam.StepOutputs]


def prepare(network: TrainedNetwork, fold_norms: bool, channels_last: bool) -> TrainedNetwork:
    """The network in a form that computes the same function faster.

    Args:
        network: A trained network; its norms stay as they are, its weights change their layout, not their values.
        fold_norms: Fold the batch norms of every step into the convolutions before them.
        channels_last: Lay the convolutions' weights out with channels last, without a second copy of them, where the
            network runs so: one that takes a map apart by `Tensor.view` does not.
    """
    model = network.model
    if fold_norms:
        model = tdam.fold_norms(model, network.preprocessing["input_size"])
    if channels_last and not makes_own_maps(unwrap(model)):
        lay_channels_last(model, network.preprocessing["input_size"])
    return dataclasses.replace(network, model=model)


def compiled_steps(model: nn.Module, scope: str = "last") -> Forward:
    """`tdam.forward_steps` compiled by `torch.compile`, which happens at the first batch and takes about a minute.

    Args:
        model: A network of `tdam.create_model` in eval mode.
        scope: Stages that take a step's count, see `tdam.forward_steps`.

    Raises:
        UserError: If the maps are made by heads of the model's own, which are not compiled; when called, if
            `torch.compile` fails.
    """
    if makes_own_maps(model):
        raise UserError("this network makes its maps itself and is not compiled: leave --compile out")
    if not hasattr(model, "forward_features"):
        raise UserError(f"--compile knows networks of timm, not a {type(model).__name__}: leave it out")
    # A split's last batch is smaller: one graph for all sizes, not one more for each.
    compiled = torch.compile(tdam.stepwise(model, scope), dynamic=True)

    def forward(images: Tensor) -> tdam.StepOutputs:
        try:
            return compiled(images)
        except TorchDynamoException as error:
            # The first line names the backend, the second says what is wrong; a trace may follow.
            reason = " ".join(str(error).split("\n")[:2]) or type(error).__name__
            raise UserError(
                f"torch.compile failed ({reason}); on CPUs it needs a C++ compiler such as g++. Leave --compile out"
            ) from error

    return forward

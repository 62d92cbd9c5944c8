"""Every step of a network: all at once without computing anything twice, or one as a module of its own.

Step t (from 1) means, with scope "last" (the authors' definition): the stages before the last one at
their full number of steps, the last stage at t; with scope "all": every stage at t.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from tdam.errors import UserError, check_name
from tdam.feedback import FeedbackBlock
from tdam.options import FeedbackOptions

SCOPES = ("last", "all")


class StepOutputs(NamedTuple):
    """What every step says. T steps, B images, C classes, D channels.

    Attributes:
        logits: (T, B, C).
        features: (T, B, D, h, w), the maps under global pooling.
        classifier_weight: (C, D), the weights from pooled features to classes.
    """

    logits: Tensor
    features: Tensor
    classifier_weight: Tensor


def num_steps(model: nn.Module) -> int:
    """T of a network; 1 for one without feedback."""
    feedback = getattr(model, "feedback", None)
    return 1 if feedback is None else feedback.steps


def forward_steps(model: nn.Module, images: Tensor, scope: str = "last") -> StepOutputs:
    """Logits and features of every step, from one pass over what the steps share.

    Everything before the first block whose step count differs is computed once; inside that block the
    passes of step t are the first passes of step t+1; after it the steps run as one batch.
    In training mode, where batch statistics of different steps must not mix, every step is a forward
    pass of its own.

    Args:
        model: A network of `tdam.create_model`; any timm CNN with global pooling has T == 1.
        images: (B, 3, H, W), normalised as the network's `pretrained_cfg` says.
        scope: "last" or "all"; see the module's docstring.

    Returns:
        `StepOutputs`. For heads that transform pooled features before the classifier, `features` and
        `classifier_weight` are as `classifier_features` says.

    Raises:
        UserError: If the network has no classifier over globally pooled maps.
    """
    if model.training and num_steps(model) > 1:
        outputs = [_outputs(at_step(model, step, scope), images, 1) for step in range(1, num_steps(model) + 1)]
        return StepOutputs(
            torch.cat([output.logits for output in outputs]),
            torch.cat([output.features for output in outputs]),
            outputs[-1].classifier_weight,
        )
    return stepwise(model, scope)(images)


def at_step(model: nn.Module, t: int, scope: str = "last") -> nn.Module:
    """The network whose forward stops at step t, sharing the weights of `model`.

    A tree of new module objects under the same names, over the same parameter and buffer
    dictionaries: moves and loads of either show in both. Hooks that `model` has now are
    copied; hooks set later on one do not touch the other. Train or eval mode is `model`'s at this time.

    Args:
        model: A network of `tdam.create_model`, or any plain network (T == 1).
        t: Step from 1.
        scope: "last" or "all"; see the module's docstring.

    Raises:
        UserError: If there is no step t.
    """
    check_name("scope", scope, SCOPES)
    if not 1 <= t <= num_steps(model):
        raise UserError(f"there is no step {t}; {type(model).__name__} has steps 1 to {num_steps(model)}")
    clone = _share(model, {})
    for block in _blocks_in(clone, scope):
        block.steps = min(t, block.steps)
    if num_steps(model) > 1:
        cast(Any, clone).feedback = dataclasses.replace(cast(FeedbackOptions, model.feedback), steps=t)
    return clone


def stepwise(model: nn.Module, scope: str = "last") -> Stepwise:
    """A module that runs all steps at once: what `torch.compile` and `torch.export` can take whole.

    Shares weights with `model` as `at_step` does, and is for inference.
    """
    check_name("scope", scope, SCOPES)
    network = _share(model, {})
    blocks = _blocks_in(network, scope)
    replaced = {id(block): _AllSteps(block, first=block is blocks[0]) for block in blocks}
    for module in list(network.modules()):
        for name, child in module._modules.items():
            if id(child) in replaced:
                module._modules[name] = replaced[id(child)]
    # Without a block in the scope, all steps are the last one.
    return Stepwise(network, num_steps(model), repeat=not blocks)


class Stepwise(nn.Module):
    """Runs a network for all steps: images (B, 3, H, W) -> `StepOutputs`. Made by `stepwise`."""

    def __init__(self, network: nn.Module, steps: int, repeat: bool) -> None:
        super().__init__()
        self.network, self.steps, self.repeat = network, steps, repeat
        self.training = network.training

    def forward(self, images: Tensor) -> StepOutputs:
        """See `forward_steps`."""
        if not self.repeat:
            return _outputs(self.network, images, self.steps)
        logits, features, weight = _outputs(self.network, images, 1)
        return StepOutputs(
            logits.expand(self.steps, *logits.shape[1:]), features.expand(self.steps, *features.shape[1:]), weight
        )


class _AllSteps(nn.Module):
    """A feedback block over all steps; between such blocks the batch holds the steps one after the other."""

    def __init__(self, block: FeedbackBlock, first: bool) -> None:
        super().__init__()
        self.block, self.first = block, first

    def forward(self, x: Tensor) -> Tensor:
        return self.block.forward_steps(x) if self.first else self.block.forward_streams(x)


def _outputs(network: Any, images: Tensor, steps: int) -> StepOutputs:
    features = network.forward_features(images)
    logits = network.forward_head(features)
    features = classifier_features(network, features)
    weight = classifier_weight(network)
    if features.ndim != 4 or features.shape[1] != weight.shape[1]:
        raise UserError(
            f"{type(network).__name__}: its classifier does not weigh globally pooled maps "
            f"(maps {tuple(features.shape[1:])}, weights {tuple(weight.shape)}); class activation maps need a CNN "
            "with average pooling before its classifier"
        )
    return StepOutputs(logits.unflatten(0, (steps, -1)), features.unflatten(0, (steps, -1)), weight)


def classifier_weight(model: nn.Module) -> Tensor:
    """The weights (C, D) of a timm network's classifier.

    Raises:
        UserError: If the network has none.
    """
    classifier = cast(Any, model).get_classifier()
    weight = getattr(classifier, "weight", None)
    if weight is None:
        raise UserError(f"{type(model).__name__} has no classifier; create it with num_classes")
    return weight.flatten(1)


def classifier_features(model: nn.Module, features: Tensor) -> Tensor:
    """The maps (B, D, h, w) that the classifier weighs, from the output of `forward_features`.

    For most CNNs that is the output itself. Where the head has layers between pooling and classifier:
    MobileNetV3 pools and then applies a 1x1 convolution and an activation; here they are applied at every
    place, so that D fits the classifier (the head read as fully convolutional). VGG applies its first two
    fully connected layers as convolutions before pooling, and so do we. ConvNeXt normalises the pooled
    vector (LayerNorm); as in the TDAM code, the maps are those before the norm.
    """
    head = cast(Any, model)
    if isinstance(getattr(model, "conv_head", None), nn.Conv2d) and hasattr(model, "act2"):
        features = head.conv_head(features)
        # Timm's GhostNet has the same head without a norm.
        return head.act2(head.norm_head(features) if hasattr(model, "norm_head") else features)
    if isinstance(getattr(model, "pre_logits", None), nn.Module):
        return head.pre_logits(features)
    return features


def _blocks_in(model: nn.Module, scope: str) -> list[FeedbackBlock]:
    blocks = [module for module in model.modules() if isinstance(module, FeedbackBlock)]
    return [block for block in blocks if scope == "all" or block.in_last_stage]


def _share(module: nn.Module, known: dict[int, nn.Module]) -> nn.Module:
    """A new module tree over the same parameter and buffer dictionaries, with hook dictionaries of its own."""
    if id(module) in known:
        return known[id(module)]
    clone = known[id(module)] = copy.copy(module)
    state = vars(clone)
    for name, value in list(state.items()):
        if isinstance(value, dict) and ("_hooks" in name):
            state[name] = value.copy()
    state["_modules"] = {
        name: None if child is None else _share(child, known) for name, child in module._modules.items()
    }
    return clone

"""Reading a network: what was found out about it, and a batch of images at every computation step.

reading = Reading(model, images)
reading.logits                      # (T, B, C)
reading.evidence()                  # features and weights of every step, where a class's map is linear in them
reading.at(2).gradients(class_ids)  # of the network stopped at step 2
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

import tdam
from tdam.errors import UserError
from wsol.networks.discovery import discover, sample_images
from wsol.networks.errors import NetworkError
from wsol.networks.forward import ForwardPass
from wsol.networks.linear_form import LinearForm, through_norm
from wsol.networks.structure import ROUNDING, Structure
from wsol.networks.wrappers import evaluation_mode, unwrap

# What was found out, by network and then by what it was looked at with.
_known: WeakKeyDictionary[nn.Module, dict[Any, Structure]] = WeakKeyDictionary()
MOST_CLASSES_CHECKED = 4


def structure_of(
    model: nn.Module,
    image_shape: Sequence[int] = (3, 224, 224),
    feature_layer: str | None = None,
    classifier: str | None = None,
) -> Structure:
    """How a network gets from its last map to its logits. Found once per network and image size, then remembered.

    Args:
        model: A classifier, in any wrapper and mode.
        image_shape: Channels, height and width of its images.
        feature_layer: Name of the module whose output is the feature, instead of the one found.
        classifier: Name of the linear layer that classifies, instead of the one found.

    Raises:
        NetworkError: If the network returns no logits, has weights that are no finite numbers, or has no tensor
            with rows and columns.
        UnknownNameError: If there is no module of the name given.
    """
    network = unwrap(model)
    modules = tuple((name, id(module)) for name, module in network.named_modules())
    shapes = tuple(parameter.shape for parameter in network.parameters() if not is_lazy(parameter))
    key = (hash((modules, shapes)), tuple(image_shape), feature_layer, classifier)
    known = _known.setdefault(network, {})
    if key not in known:
        check_weights(network)
        channels, height, width = image_shape
        images = sample_images(network, (height, width), channels)
        with evaluation_mode(network):
            found = discover(network, images, feature_layer, classifier)
            known[key] = _checked(network, found, images)
    return known[key]


@torch.no_grad()
def check_weights(network: nn.Module) -> None:
    """Refuse weights that are no finite floating-point numbers: what such a network says means nothing.

    Raises:
        NetworkError: Naming the first such tensor.
    """
    statistics = ((name, buffer) for name, buffer in network.named_buffers() if ".running_" in f".{name}")
    for name, tensor in (*network.named_parameters(), *statistics):
        if is_lazy(tensor) or tensor.is_meta:
            raise NetworkError(
                f"{type(network).__name__}: {name} holds no numbers yet: load weights, or run it once on images"
            )
        if tensor.is_inference():
            raise NetworkError(
                f"{type(network).__name__}: {name} was made within torch.inference_mode, which forbids gradients: "
                "build the network outside of it"
            )
        if not tensor.is_floating_point():
            kind = str(tensor.dtype).removeprefix("torch.")
            raise NetworkError(
                f"{type(network).__name__}: {name} holds {kind}, not floating-point weights: "
                "load the network without quantization"
            )
        if not bool(torch.isfinite(tensor).all()):
            raise NetworkError(
                f"{type(network).__name__}: {name} holds NaN or infinite values; training has diverged, "
                "or the file is damaged: load other weights"
            )


def _checked(network: nn.Module, structure: Structure, images: Tensor) -> Structure:
    """The structure with the form of map that goes with it, and how far the map's mean is from the logit."""
    if structure.form != "weights" and _has_head_of_timm(network):
        try:
            with torch.no_grad():
                outputs = tdam.forward_steps(network, images)
            # VGG's head is as large as its map: applied at every place, it leaves one.
            if outputs.features.shape[-2:].numel() > 1 or structure.grid == (1, 1):
                structure = dataclasses.replace(structure, form="head at every place")
        except UserError:
            pass  # its head is of another kind: gradients serve it
    with torch.autocast(images.device.type, enabled=False):
        difference = _difference(network, structure, images)
    # A logit in half precision is itself rounded more coarsely.
    return dataclasses.replace(structure, difference=difference, rounding=max(ROUNDING, torch.finfo(images.dtype).eps))


def _difference(network: nn.Module, structure: Structure, images: Tensor) -> float:
    """Largest ``|mean of map + constant - logit|``.

    Where the constant is known, as a share of the largest logit. Where it is not, it must be the same for two images:
    what differs counts, as a share of what the logits differ by.
    """
    by_gradient = structure.form.startswith("gradient")
    reading = Reading(network, images, differentiable=by_gradient, structure=structure)
    step = reading.steps
    logits = reading.logits[-1].float()[:, :MOST_CLASSES_CHECKED]
    if structure.form == "weights" and step == 1:
        form = reading.at(step).linear_form()
        said = (form.features.mean((2, 3)) @ form.weight.T + form.rest)[:, :MOST_CLASSES_CHECKED]
        return float((said - logits).abs().max() / logits.abs().max().clamp_min(1e-12))
    rest = logits - _means_of_maps(reading, logits.shape[1])
    spread = (logits[0] - logits[1]).abs().max().clamp_min(1e-12)
    return float((rest[0] - rest[1]).abs().max() / spread)


def _means_of_maps(reading: Reading, classes: int) -> Tensor:
    """Mean over places of the last step's maps of the first classes, ``(B, C)``."""
    evidence = reading.evidence()
    if evidence is not None:
        weight = evidence.classifier_weight[:classes].detach().float()
        return evidence.features[-1].detach().float().mean((2, 3)) @ weight.T
    means = []
    for number in range(classes):
        ids = torch.full((len(reading.images),), number, device=reading.images.device)
        means.append(gradient_map(reading.at(reading.steps), ids).mean((1, 2)))
    return torch.stack(means, dim=1).detach()


def gradient_map(forward: ForwardPass, class_ids: Tensor) -> Tensor:
    """Class activation maps ``(B, h, w)`` by gradients, for networks whose classifier's weights fit no feature.

    Features weigh as much as the logit's gradient with respect to their sum over places: for mean pooling and a
    linear classifier these are the classifier's weights. Where the classifier tells places apart (a flattened map),
    every place has its own.
    """
    ((activation, gradient),) = forward.gradients(class_ids)
    if forward.structure.form == "gradient at every place":
        return (gradient * activation).sum(1) * activation.shape[2:].numel()
    return (gradient.sum((2, 3), keepdim=True) * activation).sum(1)


def _has_head_of_timm(network: nn.Module) -> bool:
    """Whether the head is one that `tdam.forward_steps` applies at every place: MobileNetV3's, GhostNet's, VGG's."""
    has_convolution = isinstance(getattr(network, "conv_head", None), nn.Conv2d) and hasattr(network, "act2")
    before_logits = getattr(network, "pre_logits", None)
    has_layers = isinstance(before_logits, nn.Module) and not isinstance(before_logits, nn.Identity)
    return (has_convolution or has_layers) and hasattr(network, "get_classifier")


class Reading:
    """A batch of images in a network at every computation step; what is computed once is kept.

    Args:
        model: A classifier, in any wrapper and mode.
        images: Preprocessed images ``(B, 3, H, W)``.
        scope: Stages that take a step's count, see `tdam.forward_steps`.
        differentiable: Whether gradients will be asked for, so that the forward pass serves them too.
        layers: Names of modules whose gradients are wanted, instead of the feature's.
        structure: What `structure_of` found; None asks it.
        outputs: All steps, where they have been computed already.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        scope: str = "last",
        differentiable: bool = False,
        layers: Sequence[str] = (),
        structure: Structure | None = None,
        outputs: tdam.StepOutputs | None = None,
    ) -> None:
        self.network = unwrap(model)
        self.images = images
        self.scope = scope
        self.differentiable = differentiable
        self.layers = tuple(layers)
        self.structure = structure or structure_of(model, tuple(images.shape[1:]))
        self._outputs = outputs
        self._passes: dict[int, ForwardPass] = {}

    @property
    def steps(self) -> int:
        """Number of computation steps T."""
        return tdam.num_steps(self.network)

    @property
    def logits(self) -> Tensor:
        """``(T, B, C)``."""
        if self._outputs is not None or (self.steps > 1 and not self.differentiable):
            return self._all_steps().logits
        return torch.stack([self.at(step).logits for step in range(1, self.steps + 1)])

    def at(self, step: int) -> ForwardPass:
        """The batch in the network stopped at a step (from 1)."""
        if step not in self._passes:
            network = tdam.at_step(self.network, step, self.scope) if self.steps > 1 else self.network
            with evaluation_mode(network):
                self._passes[step] = ForwardPass(network, self.structure, self.images, self.differentiable, self.layers)
        return self._passes[step]

    def _all_steps(self) -> tdam.StepOutputs:
        if self._outputs is None:
            with torch.no_grad(), evaluation_mode(self.network):
                self._outputs = tdam.forward_steps(self.network, self.images, self.scope)
        return self._outputs

    def evidence(self) -> tdam.StepOutputs | None:
        """Features ``(T, B, D, h, w)`` and weights ``(C, D)`` whose products are the class activation maps.

        With a norm after pooling the features are divided by the image's own deviation and the weights centred, so
        that the maps are exact. None where the maps need gradients.
        """
        if self.steps > 1 or self.structure.form == "head at every place" or self._outputs is not None:
            return self._through_norm(self._all_steps())
        if self.structure.form != "weights":
            return None
        forward = self.at(1)
        form = forward.linear_form()
        return tdam.StepOutputs(forward.logits[None], form.features[None], form.weight)

    def _through_norm(self, outputs: tdam.StepOutputs) -> tdam.StepOutputs:
        norm = next((head.norm for head in self.structure.heads if head.norm), None)
        if norm is None:
            return outputs
        with torch.no_grad(), torch.autocast(self.images.device.type, enabled=False):
            features, weight = outputs.features.detach().flatten(0, 1).float(), outputs.classifier_weight.detach()
            empty = features.new_zeros(len(features), len(weight))
            form = through_norm(self.network, norm, LinearForm(features, weight.float(), empty))
        features = form.features.unflatten(0, outputs.features.shape[:2])
        return tdam.StepOutputs(outputs.logits, features, form.weight)

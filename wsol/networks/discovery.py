"""Finding out how a network gets from its last map to its logits, by running it once and looking at the values.

structure = discover(network, (224, 224))
print(structure.describe())

The classifier is the last linear function whose output are the logits. The feature is the last tensor whose pooled
value that function reads, a norm between them allowed. Names and types of modules play no part, so any network of
any library is read alike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tdam.errors import check_name
from wsol.networks.classifier import (
    Classifier,
    argument_of,
    check_order,
    find_classifier,
    input_of,
    name_of,
    weights_of,
)
from wsol.networks.errors import NetworkError
from wsol.networks.layout import is_vector, layout_of, with_grid
from wsol.networks.outputs import logits_of
from wsol.networks.pooling import Pooled, flattened_as, pooled_as, same
from wsol.networks.recorder import Call, Recorder
from wsol.networks.structure import Head, Norm, Site, Structure

# Functions that normalize, and their arguments in order.
NORM_ARGUMENTS = {
    "layer_norm": ("input", "normalized_shape", "weight", "bias", "eps"),
    "rms_norm": ("input", "normalized_shape", "weight", "eps"),
    "batch_norm": ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"),
}
FIELDS = {"weight": "weight", "bias": "bias", "running_mean": "mean", "running_var": "variance"}
# Places that one strided convolution may make into one.
MOST_PLACES_OF_A_STRIDE = 16
# Functions whose result stands for a map as a module's does; others, such as a reshape, may be anything.
ACTIVATING = ("relu", "relu_", "gelu", "silu", "leaky_relu", "elu", "hardswish", "mish")
# Modules that hand a map on as it is, or coarser: the map before them is the network's own.
PASSING = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.AvgPool2d, nn.Flatten, nn.Identity, nn.Dropout, nn.Dropout2d)


FEWEST_TOKENS = 4


def sample_images(network: nn.Module, size: tuple[int, int], channels: int = 3) -> Tensor:
    """Two random images ``(2, channels, H, W)`` of the network's type and device; the global generator is not used."""
    images = torch.randn(2, channels, *size, generator=torch.Generator().manual_seed(0))
    return as_input(network, images)


def as_input(network: nn.Module, images: Tensor) -> Tensor:
    """Images in the type and on the device of a network's weights, such as half precision."""
    parameter = next((p for p in network.parameters() if p.is_floating_point()), torch.zeros(()))
    return images.to(parameter.device, parameter.dtype, non_blocking=True)


def discover(
    network: nn.Module,
    images: Tensor,
    feature_layer: str | None = None,
    classifier: str | None = None,
) -> Structure:
    """Find the pooled tensor and the classifier of a network.

    Args:
        network: A classifier in eval mode, without wrapper.
        images: Random images to run, see `sample_images`.
        feature_layer: Name of the module whose output is the feature, instead of the one found.
        classifier: Name of the linear layer that classifies, instead of the one found.

    Raises:
        NetworkError: If the network returns no logits, or nothing in it has places.
    """
    with torch.no_grad(), _full_precision(images), Recorder(network) as recorder:
        output = _try(network, images)
        logits = logits_of(output, len(images)).clone()
    calls = recorder.calls
    check_order(output, logits, calls)
    if feature_layer is not None:
        _check_module(network, "feature_layer", feature_layer)
        calls = [call for call in calls if call.site.module == feature_layer and call.site.part == "output"]
        if not calls:
            raise NetworkError(f"feature_layer {feature_layer} did not run, or returns no tensor")
        if all(call.output.ndim < 3 for call in calls):
            shape = tuple(calls[-1].output.shape)
            raise NetworkError(f"feature_layer {feature_layer} returns {shape}, without rows and columns: name another")
    if classifier is not None:
        _check_module(network, "classifier", classifier)
    found = find_classifier(recorder.calls, logits, classifier)
    structure = _class_maps(calls, logits) if found is None else _pooling_of(network, found, recorder.calls, calls)
    if structure is None:
        heads = _heads_alone(network, recorder.calls, found)
        activation = found.activation if found else None
        structure = _by_gradient(network, images, heads, activation, feature_layer)
    elif structure.pooling == "class token":
        structure = _class_token(network, images, structure, feature_layer)
    structure = dataclasses.replace(structure, num_classes=logits.shape[1])
    return with_grid(structure, recorder, network, images)


def _try(network: nn.Module, images: Tensor) -> Any:
    """Run a network; one that does not take such images says so in one line."""
    try:
        return network(images)
    except Exception as error:  # other people's code may raise anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        channels, height, width = images.shape[1:]
        hint = "input_size= sets another size, transform= other channels"
        if isinstance(error, TypeError) and "argument" in reason:
            hint = "its forward must take a batch of images and nothing more"
        raise NetworkError(
            f"{type(network).__name__} does not run on images of {channels} x {height} x {width}: {reason}; {hint}"
        ) from error


def _full_precision(images: Tensor) -> torch.autocast:
    return torch.autocast(images.device.type, enabled=False)


def _check_module(network: nn.Module, option: str, name: str) -> None:
    check_name(f"{option} (module of the network)", name, [key for key, _ in network.named_modules() if key])


def _pooling_of(
    network: nn.Module, found: Classifier, calls: Sequence[Call], candidates: Sequence[Call]
) -> Structure | None:
    """What the classifiers read; None if it is no pooling, or they read differently pooled tensors."""
    heads, feature, pooled = [], None, None
    for call in found.calls:
        vector, norm = input_of(call).flatten(1), None
        match = _find_pooled(candidates, vector)
        if match is None:
            normalized = _norm_before(calls, vector)
            norm = normalized and _norm(network, normalized)
            if normalized is None or norm is None:
                match = _find_flattened(candidates, vector)
            else:
                match = _find_pooled(candidates, input_of(normalized).flatten(1))
        weight, bias = weights_of(network, call)
        if match is None or weight is None or (feature is not None and match[0].site != feature.site):
            return None
        feature, pooled = match
        heads.append(Head(_border_of(calls, call), weight, bias, norm))
    assert feature is not None
    assert pooled is not None
    if len(heads) > 1 and any(head.norm and head.norm.kind != "batch_norm" for head in heads):
        return None  # an image has another scale for each head
    return Structure(
        feature=feature.site,
        layout=pooled.layout,
        pooling=pooled.pooling,
        heads=tuple(heads),
        pooled_from=pooled.first_token,
        activation=found.activation,
        form="gradient at every place" if pooled.pooling == "flattened" else "weights",
    )


def _norm_before(calls: Sequence[Call], vector: Tensor) -> Call | None:
    """The norm whose output is the vector."""
    for call in reversed(calls):
        is_norm = call.site.part in NORM_ARGUMENTS
        if is_norm and call.output.numel() == vector.numel() and same(call.output.flatten(1), vector):
            return call
    return None


def _norm(network: nn.Module, call: Call) -> Norm | None:
    """A norm by the names of its tensors; None if one of them is computed."""
    arguments = NORM_ARGUMENTS[call.site.part]
    names: dict[str, str | None] = {}
    for position, argument in enumerate(arguments):
        tensor = argument_of(call, position, argument)
        if argument in FIELDS and isinstance(tensor, Tensor):
            names[FIELDS[argument]] = name_of(network, tensor)
            if names[FIELDS[argument]] is None:
                return None
    eps = argument_of(call, arguments.index("eps"), "eps")
    if eps is None:
        eps = torch.finfo(call.output.dtype).eps if call.site.part == "rms_norm" else 1e-5
    return Norm(call.site.part, eps, **names)  # type: ignore[arg-type]


def _find_pooled(calls: Sequence[Call], vector: Tensor) -> tuple[Call, Pooled] | None:
    """The last tensor that pools to the vector, at the border of a module if there is one."""
    borders = [call for call in calls if not call.site.is_function]
    return _last_pooled(borders, vector) or _last_pooled(calls, vector) or _single_place(calls, borders, vector)


def _last_pooled(calls: Sequence[Call], vector: Tensor) -> tuple[Call, Pooled] | None:
    """The last tensor of several places that pools to the vector, where it leaves the outermost module."""
    matches: list[tuple[Call, Pooled]] = []
    for call in reversed(calls):
        # The same tensor again needs no second look, and nothing before it matters.
        if matches and call.output is not matches[0][0].output:
            continue
        pooled = matches[0][1] if matches else pooled_as(call.output, vector)
        if pooled is not None:
            matches.append((call, pooled))
    return _best_border(matches) if matches else None


def _single_place(calls: Sequence[Call], borders: Sequence[Call], vector: Tensor) -> tuple[Call, Pooled] | None:
    """The first map of one place that the vector is, of networks whose last map is so small.

    Not if the last map of several places is pooled: then layers of the head lie between.
    """
    large = [call for call in calls if call.output.ndim == 4 and call.output.shape[2:].numel() > 1]
    if large and large[-1].output[0, 0].numel() > MOST_PLACES_OF_A_STRIDE:
        return None  # a fully connected layer in the form of a convolution (VGG)
    if large:
        means = large[-1].output.mean((2, 3)), large[-1].output.mean((1, 2))
        vectors = [call.output.flatten(1) for call in calls if is_vector(call.output)]
        if any(same(mean, other) for mean in means for other in vectors if mean.shape == other.shape):
            return None
    for among in (borders, calls):
        for call in among:
            pooled = pooled_as(call.output, vector, in_one=True)
            if pooled is not None:
                return _best_border([(other, pooled) for other in among if other.output is call.output])
    return None


def _find_flattened(calls: Sequence[Call], vector: Tensor) -> tuple[Call, Pooled] | None:
    """The last map of several places whose every value the vector holds."""
    flat = [call for call in reversed(calls) if flattened_as(call.output, vector)]
    found = next((call for call in flat if not call.site.is_function), next(iter(flat), None))
    return None if found is None else (found, Pooled("NCHW", "flattened"))


def _best_border(matches: list[tuple[Call, Pooled]]) -> tuple[Call, Pooled]:
    """Of the sites of one tensor: what a module returns, then what it takes, then what a function returns."""

    def rank(match: tuple[Call, Pooled]) -> tuple[int, int]:
        site = match[0].site
        order = {"output": 0, "input": 1}.get(site.part, 2)
        return order, site.module.count(".") + bool(site.module)

    return min(matches, key=rank)


def _class_maps(calls: Sequence[Call], logits: Tensor) -> Structure | None:
    """Networks whose last convolution gives a map of every class, averaged into the logits."""
    match = _find_pooled(calls, logits)
    if match is None or match[1].pooling != "mean":
        return None
    return Structure(match[0].site, match[1].layout, "class maps", heads=())


def _heads_alone(network: nn.Module, calls: Sequence[Call], found: Classifier | None) -> tuple[Head, ...]:
    """The classifiers of a network that reads no pooled tensor."""
    heads = []
    for call in found.calls if found else ():
        weight, bias = weights_of(network, call)
        heads.append(Head(_border_of(calls, call), weight or "", bias))
    return tuple(heads)


def _gradient_run(network: nn.Module, images: Tensor, heads: tuple[Head, ...]) -> tuple[list[Call], Tensor]:
    """A run with gradients, and a number that depends on all that the classifiers read.

    Not on the logits: the classifier of a new network may be zero.
    """
    with torch.enable_grad(), _full_precision(images), Recorder(network) as recorder:
        logits = logits_of(network(images.clone().requires_grad_()), len(images))
    sites = {head.site for head in heads}
    read = [input_of(call) for call in recorder.calls if call.site in sites and call.inputs] or [logits]
    generator = torch.Generator().manual_seed(1)
    score = sum((tensor * torch.randn(tensor.shape, generator=generator).to(tensor)).sum() for tensor in read)
    return recorder.calls, score  # type: ignore[return-value]


def _reached(score: Tensor, tensor: Tensor) -> Tensor | None:
    if not tensor.requires_grad or not score.requires_grad:
        return None
    (gradient,) = torch.autograd.grad(score, [tensor], retain_graph=True, allow_unused=True)
    return gradient


def _class_token(network: nn.Module, images: Tensor, found: Structure, feature_layer: str | None) -> Structure:
    """The last normalized tokens through which patches reach the class token: the input of the last attention."""
    calls, score = _gradient_run(network, images, found.heads)
    for call in reversed(calls):
        tokens = call.output
        chosen = call.site.module == feature_layer if feature_layer else call.site.part in NORM_ARGUMENTS
        if not chosen or tokens.ndim != 3 or tokens.shape[1] < 2:
            continue
        gradient = _reached(score, tokens)
        if gradient is not None and gradient[:, -1].abs().max() > 0:
            site = call.site if feature_layer else _border_of(calls, call)
            return dataclasses.replace(found, feature=site, form="gradient")
        if feature_layer:
            raise NetworkError(f"feature_layer {feature_layer}: the logits do not depend on its patch tokens")
    return _by_gradient(network, images, found.heads, found.activation, feature_layer)


def _border_of(calls: Sequence[Call], function: Call) -> Site:
    """The module that returns the result of a function's call and nothing more, else the call itself."""
    module = function.site.module
    matches = [c.site for c in calls if c.output is function.output and c.site.module == module]
    return next((site for site in matches if site.part == "output"), function.site)


def _by_gradient(
    network: nn.Module,
    images: Tensor,
    heads: tuple[Head, ...],
    activation: str | None,
    feature_layer: str | None,
) -> Structure:
    """The last tensor with places on which the logits depend, whatever lies between."""
    calls, score = _gradient_run(network, images, heads)
    modules = dict(network.named_modules())
    vectors = [call.output.flatten(1) for call in calls if is_vector(call.output)]
    for call in reversed(calls):
        tensor = call.output
        if feature_layer is not None and (call.site.module != feature_layer or call.site.part != "output"):
            continue
        if call.site.part == "input" or (call.site.is_function and call.site.part not in ACTIVATING):
            continue
        if feature_layer is None and isinstance(modules.get(call.site.module), PASSING):
            continue
        layout = layout_of(tensor, images, vectors)
        if layout == "tokens" and isinstance(modules[call.site.module], nn.Linear):
            continue  # keys or values, not tokens
        if layout is None or not tensor.is_floating_point():
            continue
        if layout == "tokens" and tensor.shape[1] < FEWEST_TOKENS:
            continue  # a class and a distillation token, cut off from the patches
        if tensor.shape[1 if layout == "NCHW" else -1] == 1:
            continue  # how much every place counts in pooling, not what is there
        gradient = _reached(score, tensor)
        # Prefix tokens come first: only the second half are patches for sure.
        of_places = gradient[:, tensor.shape[1] // 2 :] if gradient is not None and layout == "tokens" else gradient
        if of_places is None or not bool((of_places != 0).any()):
            continue
        return Structure(call.site, layout, "other", heads, activation=activation, form="gradient")  # type: ignore[arg-type]
    raise NetworkError(
        f"{type(network).__name__}: no tensor with rows and columns lies before its logits; name a module with "
        "feature_layer="
    )

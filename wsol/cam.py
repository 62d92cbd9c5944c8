"""Maps of every computation step, by any map method.

cams = wsol.class_activation_maps(model, images)            # each step's own prediction
cams = wsol.class_activation_maps(model, images, labels)    # a given class, as GT-known asks for
cams.maps[0], cams.maps[-1]                                 # step 1, last step: (B, h, w)
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn

import tdam
from tdam.errors import UsageError, check_name
from tdam.steps import SCOPES
from wsol.maps import MapMethod, find_method
from wsol.maps.evidence import maps_of_evidence
from wsol.networks import Reading, as_input, evaluation_mode, structure_of, unwrap
from wsol.networks.wrappers import makes_own_maps


class InexactMapWarning(UserWarning):
    """The mean of a class activation map is not the logit; the message says why and by how much it misses."""


@dataclass(frozen=True)
class ClassActivationMaps:
    """Maps of every step of a batch.

    Attributes:
        maps: Raw maps ``(T, B, h, w)`` float32 at feature resolution: no ReLU and no normalisation for "cam".
        class_ids: The class each map is of, ``(T, B)`` int64.
        logits: Logits of every step ``(T, B, C)``.
    """

    maps: Tensor
    class_ids: Tensor
    logits: Tensor


def _checked(images: Tensor) -> Tensor:
    """Refuse what is no batch of preprocessed images."""
    if not isinstance(images, Tensor) or images.ndim != 4 or not images.is_floating_point() or not images.numel():
        given = f"{tuple(images.shape)} of {images.dtype}" if isinstance(images, Tensor) else type(images).__name__
        raise UsageError(f"images must be a preprocessed batch (B, 3, H, W) of floating-point numbers, not {given}")
    return images


def _class_ids(class_ids: Tensor | None, logits: Tensor) -> Tensor:
    """The class of every map ``(T, B)``: as given, or each step's own prediction."""
    steps, batch, classes = logits.shape
    if class_ids is None:
        return logits.argmax(dim=-1)
    # Checked where they are: to look at them on a GPU would make it wait.
    given = _checked_ids(class_ids, steps, batch, classes)
    return given.to(logits.device, torch.long, non_blocking=True).expand(steps, batch)


def _checked_ids(class_ids: Tensor, steps: int, batch: int, classes: int) -> Tensor:
    """Class ids ``(B,)`` or ``(T, B)`` as a tensor of integers, where they are."""
    class_ids = torch.as_tensor(class_ids)
    if class_ids.shape not in ((batch,), (steps, batch)):
        raise ValueError(
            f"class_ids must be (B,) = ({batch},) or (T, B) = ({steps}, {batch}), got {tuple(class_ids.shape)}"
        )
    if class_ids.dtype not in (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64):
        raise ValueError(f"class_ids must be integers in [0, {classes - 1}], got {class_ids.dtype}")
    if class_ids.numel() and (class_ids.min() < 0 or class_ids.max() >= classes):
        raise ValueError(f"class_ids must be integers in [0, {classes - 1}]")
    return class_ids


def maps_of_classes(outputs: tdam.StepOutputs, class_ids: Tensor | None = None) -> ClassActivationMaps:
    """Class activation maps from a forward pass that is done already, for example of several classes in turn.

    A map is ``sum_d W[class, d] * features[d]``: the classifier's weights over the features under global
    pooling, without bias (Zhou et al., CVPR 2016).

    Args:
        outputs: Result of `tdam.forward_steps`, or of `wsol.networks.Reading.evidence`.
        class_ids: Classes ``(B,)`` or, per step, ``(T, B)``; None takes each step's own top prediction.

    Returns:
        Raw maps, their classes and the logits of every step, in float32 also under autocast, without gradient.

    Raises:
        ValueError: If `class_ids` has the wrong shape or a class that does not exist.
    """
    classes = _class_ids(class_ids, outputs.logits)
    return ClassActivationMaps(maps_of_evidence(outputs, classes), classes, outputs.logits.detach())


def class_activation_maps(
    model: nn.Module,
    images: Tensor,
    class_ids: Tensor | None = None,
    method: str = "cam",
    scope: str = "last",
    *,
    layers: Sequence[str] = (),
    feature_layer: str | None = None,
    classifier: str | None = None,
) -> ClassActivationMaps:
    """Maps of every computation step of any classification network.

    The network may be of timm, torchvision, Hugging Face or one's own, in any wrapper (`DataParallel`, compiled, EMA)
    and mode: it runs as in evaluation, and its mode and running statistics stay. Which tensor is pooled and which
    layer classifies is found by running it once on random images (see `wsol.networks.structure_of`).

    Args:
        model: A classifier; networks of `tdam.create_model` have T steps, all others one.
        images: Preprocessed images ``(B, 3, H, W)``; they are brought to the type and device of the weights.
        class_ids: Classes ``(B,)`` or, per step, ``(T, B)``; None takes each step's own top prediction.
        method: A name of `wsol.map_methods()`.
        scope: Which stages take step t's count: "last" (the authors' definition) or "all".
        layers: Names of modules to make the maps in, for methods of gradients; several are fused.
        feature_layer: Module whose output is the feature, instead of the one found.
        classifier: The linear layer that classifies, instead of the one found.

    Returns:
        Raw maps, their classes and the logits of every step. Maps and logits carry no gradient.

    Raises:
        ValueError: If `class_ids` has the wrong shape or a class that does not exist.
        UnknownNameError: If `method` or a module is unknown.
        UserError: If the network has not what the method needs.

    Warns:
        InexactMapWarning: If `method` is "cam" and the mean of a map is not the logit.
    """
    (cams,) = maps_of_methods(
        model, images, class_ids, [method], scope, layers=layers, feature_layer=feature_layer, classifier=classifier
    )
    return cams


def maps_of_methods(
    model: nn.Module,
    images: Tensor,
    class_ids: Tensor | None,
    methods: Sequence[str],
    scope: str = "last",
    *,
    layers: Sequence[str] = (),
    feature_layer: str | None = None,
    classifier: str | None = None,
) -> list[ClassActivationMaps]:
    """Maps of several methods, which share one forward pass; see `class_activation_maps`."""
    if torch.is_inference_mode_enabled():
        # It forbids gradients, which most methods need; copies of its tensors are free of it.
        with torch.inference_mode(False):
            own_ids = None if class_ids is None else torch.as_tensor(class_ids).clone()
            return maps_of_methods(
                model,
                images.clone(),
                own_ids,
                methods,
                scope,
                layers=layers,
                feature_layer=feature_layer,
                classifier=classifier,
            )
    batch = BatchMaps(model, images, methods, scope, layers=layers, feature_layer=feature_layer, classifier=classifier)
    return [batch.of(method, class_ids) for method in methods]


class BatchMaps:
    """Maps of a batch by any of several methods and of any classes, from one forward pass wherever it can be shared.

    Args:
        model: A classifier, see `class_activation_maps`.
        images: Preprocessed images ``(B, 3, H, W)``.
        methods: Names of the methods that will be asked for.
        scope: As there, as all options that follow.
        layers: As above.
        feature_layer: As above.
        classifier: As above.
        outputs: All steps, where a compiled network has computed them already.

    Raises:
        UserError: If a method is unknown, or the network has not what it needs.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        methods: Sequence[str] = ("cam",),
        scope: str = "last",
        *,
        layers: Sequence[str] = (),
        feature_layer: str | None = None,
        classifier: str | None = None,
        outputs: tdam.StepOutputs | None = None,
    ) -> None:
        self._methods = {name: find_method(name) for name in methods}
        check_name("scope", scope, SCOPES)
        self._network = unwrap(model)
        self._images = images = as_input(self._network, _checked(images))
        if makes_own_maps(self._network):
            return
        structure = structure_of(self._network, tuple(images.shape[1:]), feature_layer, classifier)
        _check_layers(self._network, list(self._methods.values()), layers)
        if "cam" in methods and not structure.is_exact:
            _warn_once(self._network, structure.describe())
        needs_gradients = any("gradients" in method.needs for method in self._methods.values())
        by_gradient = "cam" in methods and structure.form.startswith("gradient")
        self._reading = Reading(
            self._network, images, scope, needs_gradients or by_gradient, layers, structure, outputs
        )

    def of(self, method: str, class_ids: Tensor | None = None) -> ClassActivationMaps:
        """Maps of a method, of classes ``(B,)`` or ``(T, B)``; None takes each step's own top prediction.

        Raises:
            ValueError: If `class_ids` has the wrong shape or a class that does not exist.
        """
        if makes_own_maps(self._network):
            return _own_maps(self._network, self._images, class_ids, method)
        with evaluation_mode(self._network):
            logits = self._reading.logits.detach()
            classes = _class_ids(class_ids, logits)
            return ClassActivationMaps(self._methods[method].step_maps(self._reading, classes), classes, logits)


def _own_maps(network: nn.Module, images: Tensor, class_ids: Tensor | None, method: str) -> ClassActivationMaps:
    known: Sequence[str] = getattr(network, "own_map_methods", ("cam",))
    if method not in known:
        valid = ", ".join(map(repr, known))
        raise UsageError(f"this network makes its maps itself; method {method!r} does not apply, use {valid}")
    own_maps: Callable[..., ClassActivationMaps] = network.class_activation_maps  # type: ignore[assignment]
    if class_ids is not None:
        classes: Any = network.num_classes
        given = _checked_ids(class_ids, tdam.num_steps(network), len(images), classes)
        class_ids = given.to(images.device, torch.long, non_blocking=True)
    with evaluation_mode(network):
        return own_maps(images, class_ids) if method == "cam" else own_maps(images, class_ids, method)


def _check_layers(network: nn.Module, methods: Sequence[MapMethod], layers: Sequence[str]) -> None:
    for layer in layers:
        check_name("layer (module of the network)", layer, [name for name, _ in network.named_modules() if name])
    fixed = [method.name for method in methods if not method.takes_layers]
    if layers and fixed:
        raise UsageError(f"map method {fixed[0]!r} has its own layer; layers= goes with methods of gradients")


_warned: WeakSet[nn.Module] = WeakSet()


def _warn_once(network: nn.Module, text: str) -> None:
    if network not in _warned:
        _warned.add(network)
        warnings.warn(f"{type(network).__name__}: {text}", InexactMapWarning, stacklevel=4)

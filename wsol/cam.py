"""Class activation maps of every computation step, from one forward pass.

cams = wsol.class_activation_maps(model, images)            # each step's own prediction
cams = wsol.class_activation_maps(model, images, labels)    # a given class, as GT-known asks for
cams.maps[0], cams.maps[-1]                                 # step 1, last step: (B, h, w)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import tdam
from tdam.errors import check_name
from wsol.cam_methods import CAM_METHODS, other_maps


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


def _class_ids(class_ids: Tensor | None, logits: Tensor) -> Tensor:
    """The class of every map ``(T, B)``: as given, or each step's own prediction."""
    steps, batch, classes = logits.shape
    if class_ids is None:
        return logits.argmax(dim=-1)
    class_ids = torch.as_tensor(class_ids, device=logits.device)
    if class_ids.shape not in ((batch,), (steps, batch)):
        raise ValueError(
            f"class_ids must be (B,) = ({batch},) or (T, B) = ({steps}, {batch}), got {tuple(class_ids.shape)}"
        )
    if class_ids.is_floating_point() or class_ids.min() < 0 or class_ids.max() >= classes:
        raise ValueError(f"class_ids must be integers in [0, {classes - 1}]")
    return class_ids.long().expand(steps, batch)


def maps_of_classes(outputs: tdam.StepOutputs, class_ids: Tensor | None = None) -> ClassActivationMaps:
    """Class activation maps from a forward pass that is done already, for example of several classes in turn.

    A map is ``sum_d W[class, d] * features[d]``: the classifier's weights over the features under global
    pooling, without bias (Zhou et al., CVPR 2016).

    Args:
        outputs: Result of `tdam.forward_steps`.
        class_ids: Classes ``(B,)`` or, per step, ``(T, B)``; None takes each step's own top prediction.

    Returns:
        Raw maps, their classes and the logits of every step, in float32 also under autocast, without gradient.

    Raises:
        ValueError: If `class_ids` has the wrong shape or a class that does not exist.
    """
    classes = _class_ids(class_ids, outputs.logits)
    with torch.no_grad(), torch.autocast(outputs.features.device.type, enabled=False):
        weights = outputs.classifier_weight[classes].float()
        maps = torch.einsum("tbd,tbdhw->tbhw", weights, outputs.features.float())
    return ClassActivationMaps(maps, classes, outputs.logits.detach())


def makes_own_maps(model: nn.Module) -> bool:
    """Whether class activation maps come from heads of the model's own, as with the training method ACoL."""
    return hasattr(model, "class_activation_maps")


def class_activation_maps(
    model: nn.Module,
    images: Tensor,
    class_ids: Tensor | None = None,
    method: str = "cam",
    scope: str = "last",
) -> ClassActivationMaps:
    """Class activation maps of every computation step (see `maps_of_classes`), or maps of another method.

    Args:
        model: A network of `tdam.create_model`, or any timm classification CNN (one step).
        images: Preprocessed images ``(B, 3, H, W)``.
        class_ids: Classes ``(B,)`` or, per step, ``(T, B)``; None takes each step's own top prediction.
        method: "cam", or the name of a gradient- or score-based method of torchcam (see `CAM_METHODS`), which runs
            once per step.
        scope: Which stages take step t's count: "last" (the authors' definition) or "all".

    Returns:
        Raw maps, their classes and the logits of every step. Maps and logits carry no gradient.

    Raises:
        ValueError: If `class_ids` has the wrong shape or a class that does not exist.
        UnknownNameError: If `method` is unknown.
    """
    check_name("map method", method, CAM_METHODS)
    if method == "cam" and makes_own_maps(model):
        own_maps: Callable[..., ClassActivationMaps] = model.class_activation_maps  # type: ignore[assignment]
        return own_maps(images, class_ids)
    with torch.no_grad():
        outputs = tdam.forward_steps(model, images, scope=scope)
    if method == "cam":
        return maps_of_classes(outputs, class_ids)
    classes = _class_ids(class_ids, outputs.logits)
    return ClassActivationMaps(other_maps(model, images, classes, method, scope), classes, outputs.logits)

"""Map methods other than CAM, taken from torchcam and run on the network stopped at each step."""

from __future__ import annotations

from importlib import import_module

import torch
from torch import Tensor, nn

import tdam
from tdam.errors import UserError

# Our names, in the hyphenation of the papers, and torchcam's classes.
_TORCHCAM_CLASSES = {
    "grad-cam": "GradCAM",
    "grad-cam++": "GradCAMpp",
    "smooth-grad-cam++": "SmoothGradCAMpp",
    "xgrad-cam": "XGradCAM",
    "layer-cam": "LayerCAM",
    "score-cam": "ScoreCAM",
    "ss-cam": "SSCAM",
    "is-cam": "ISCAM",
}
CAM_METHODS = ("cam", *_TORCHCAM_CLASSES)


def feature_layer(model: nn.Module) -> str:
    """Name of the submodule whose output global pooling sees, the layer to hook.

    Raises:
        UserError: If the network does not describe its feature layers as timm's do.
    """
    feature_info = getattr(model, "feature_info", None)
    if not feature_info:
        raise UserError(
            f"{type(model).__name__} has no feature_info, so its last feature layer is unknown; use method 'cam'"
        )
    last = feature_info[-1] if isinstance(feature_info, list) else feature_info.info[-1]
    return last["module"]


def other_maps(model: nn.Module, images: Tensor, class_ids: Tensor, method: str, scope: str) -> Tensor:
    """Maps of every step with a method of torchcam.

    Args:
        model: Network with steps (or one step).
        images: Preprocessed images ``(B, 3, H, W)``.
        class_ids: Class of every map ``(T, B)``.
        method: A name of `CAM_METHODS` other than "cam".
        scope: As in `class_activation_maps`.

    Returns:
        Maps ``(T, B, h, w)`` float32, not normalised; these methods apply a ReLU themselves.

    Raises:
        UserError: If torchcam is not installed.
    """
    try:
        methods = import_module("torchcam.methods")
    except ImportError as error:
        raise UserError(f"map method {method!r} needs torchcam: pip install 'wsol[cam]'") from error
    extractor_class = getattr(methods, _TORCHCAM_CLASSES[method])
    maps = []
    for step, classes in enumerate(class_ids.tolist(), start=1):
        stopped = tdam.at_step(model, step, scope=scope)
        # A frozen network gives gradients only if its input asks for them.
        inputs = images.detach().clone().requires_grad_()
        with torch.enable_grad(), extractor_class(stopped, target_layer=feature_layer(model)) as extractor:
            scores = stopped(inputs)
            (step_maps,) = extractor(class_idx=classes, scores=scores, normalized=False)
        maps.append(step_maps.detach().float())
    return torch.stack(maps)

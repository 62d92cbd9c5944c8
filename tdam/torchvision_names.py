"""Files of torchvision's ConvNeXt, EfficientNet and MobileNetV3, whose tensors bear other names than timm's.

Both libraries build these networks of the same layers in the same order, so that the n-th tensor of one is the n-th
of the other; its kind (weight, bias, running_mean, …) and its inputs must agree as well. torchvision's ResNets and
VGGs bear timm's names.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

STEM = "features.0.0.weight"
COUNTER = "num_batches_tracked"


def is_torchvision(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> bool:
    """Whether a state dict is of such a network of torchvision, and the expected one is not."""
    return STEM in state and STEM not in expected


def in_timm_names(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """The tensors under timm's names; None if the two are not of one architecture.

    Args:
        state: torchvision's state dict, in its own order.
        expected: The plain network's state dict: without what feedback adds.
    """
    theirs = [(key, value) for key, value in state.items() if not key.endswith(COUNTER)]
    ours = [(key, value) for key, value in expected.items() if not key.endswith(COUNTER)]
    if len(theirs) != len(ours):
        return None
    renamed = {}
    for (name, value), (key, wanted) in zip(theirs, ours, strict=True):
        # A linear layer of one is a 1x1 convolution of the other. A classifier may have other classes.
        if _kind(name) != _kind(key) or value[0].numel() != wanted[0].numel():
            return None
        renamed[key] = value.reshape(len(value), *wanted.shape[1:])
    return renamed


def _kind(name: str) -> str:
    return name.rpartition(".")[2].replace("layer_scale", "gamma")

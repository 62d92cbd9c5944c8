"""Files whose tensors come in a network's own order, under other names.

torchvision's ConvNeXt, EfficientNet and MobileNetV3 are such: both libraries build them of the same layers in the same
order. torchvision's ResNets and VGGs bear timm's names.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from tdam.errors import CheckpointError

TORCHVISION_STEM = "features.0.0.weight"
COUNTER = "num_batches_tracked"


def is_torchvision(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> bool:
    """Whether a state dict is of such a network of torchvision, and the expected one is not."""
    return TORCHVISION_STEM in state and TORCHVISION_STEM not in expected


def rename_by_position(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give tensors the names of a network's own, in order.

    Args:
        state: Tensors under other names, in the order of the network's state.
        expected: The plain network's state, without what feedback adds.

    Returns:
        The tensors under the names of `expected`, in its shapes; the classifier, which comes last, may be of other
        classes. Counters of batches are left out where only one side has them.

    Raises:
        CheckpointError: If number, shape or kind of the tensors say that the order is another one.
    """
    if len(state) != len(expected):
        state, expected = _without_counters(state), _without_counters(expected)
    if len(state) != len(expected):
        raise CheckpointError(f"{len(state)} tensors cannot be the {len(expected)} of this network")
    renamed: dict[str, Tensor] = {}
    for (source, tensor), (target, wanted) in zip(state.items(), expected.items(), strict=True):
        same_outputs = tensor.shape[:1] == wanted.shape[:1] or len(renamed) >= len(expected) - 2
        # A linear layer of one is a 1x1 convolution of the other.
        same_inputs = tensor.shape[1:].numel() == wanted.shape[1:].numel()
        # "running_mean", "bias" …: equal last parts make a shift by equal shapes impossible.
        if not same_outputs or not same_inputs or _kind(source) != _kind(target):
            raise CheckpointError(f"{source} {tuple(tensor.shape)} does not fit {target} {tuple(wanted.shape)}")
        renamed[target] = tensor.reshape(tensor.shape[:1] + wanted.shape[1:])
    return renamed


def _without_counters(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if not key.endswith(COUNTER)}


def _kind(name: str) -> str:
    # ConvNeXt's layer scale: torchvision's name and timm's.
    return name.rpartition(".")[2].replace("layer_scale", "gamma")

"""Checkpoints of the methods' authors, told and read by the names of their tensors.

The names are from the authors' code; the files themselves were not at hand when this was written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

# Beginning of a name (regular expression) -> what stands there instead; None: the tensor is left out.
Names = Sequence[tuple[str, str | Callable[[re.Match[str]], str] | None]]

# Number of the first layer of each of VGG-16's stages, as torchvision counts layers.
VGG16_STAGES = (0, 5, 10, 17, 24)


def rename(state: Mapping[str, Tensor], names: Names) -> dict[str, Tensor]:
    """Tensors under our names: the first rule that fits the beginning of a name replaces it.

    >>> list(rename({"copy.a": Tensor(), "head.b": Tensor()}, [("copy", None), ("head", "network.fc")]))
    ['network.fc.b']
    """
    renamed = {}
    for key, value in state.items():
        for pattern, ours in names:
            if found := re.match(pattern, key):
                if ours is not None:
                    renamed[(ours if isinstance(ours, str) else ours(found)) + key[found.end() :]] = value
                break
        else:
            renamed[key] = value
    return renamed


def vgg_convolution(stage: int, number: int) -> str:
    """Our VGG-16's name of a convolution by stage and number, both from 1.

    >>> vgg_convolution(4, 3)
    'features.stage4.21'
    """
    return f"features.stage{stage}.{VGG16_STAGES[stage - 1] + 2 * (number - 1)}"


def vgg_layer(number: int) -> str:
    """Our VGG-16's name of a layer by torchvision's number.

    >>> vgg_layer(21)
    'features.stage4.21'
    """
    stage = sum(number >= first for first in VGG16_STAGES)
    return f"features.stage{stage}.{number}"

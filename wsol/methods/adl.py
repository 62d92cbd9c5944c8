"""Attention-based Dropout Layer (Choe and Shim, CVPR 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tdam.families.vgg import VGGGap
from wsol.methods.base import Method
from wsol.methods.stages import block_names, named_module, stage_names


class ADL(Method):
    """At chosen blocks, either hides the most attended places or weighs all places by attention.

    Args:
        network: A classification network.
        drop_rate: Probability of hiding instead of weighing, drawn once per batch and block (wsolevaluation: 0.75).
        threshold: Places at or above this share of the map's maximum are hidden (wsolevaluation: 0.9).
        positions: Names of the modules after which it acts; empty: as wsolevaluation does, see `default_positions`.
        **options: See `Method`.

    Raises:
        UnknownNameError: If a position is no module of the network.
    """

    classifier_std = 0.01
    authors_strides: ClassVar[Mapping[str, int]] = {"layer4": 1}
    authors_key, authors_lack = "layer4.3.conv1.weight", "layer4.1.conv1.weight"
    authors_classifiers = ("fc.weight",)
    # wsolevaluation numbers its layers, which have no weights, among ResNet-50's blocks: one after a first block.
    authors_names = (
        (r"layer([34])\.(\d+)", lambda found: f"network.layer{found[1]}.{max(int(found[2]) - 1, 0)}"),
        (r"", "network."),
    )

    def __init__(
        self,
        network: nn.Module,
        drop_rate: float = 0.75,
        threshold: float = 0.9,
        positions: Sequence[str] = (),
        **options: Any,
    ) -> None:
        super().__init__(network, **options)
        self.drop_rate = drop_rate
        self.threshold = threshold
        self.positions = tuple(positions) or default_positions(network)
        for name in self.positions:
            named_module(network, name).register_forward_hook(self._act)

    def _act(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if not module.training:
            return output
        return attention_dropout(output, self.drop_rate, self.threshold)


def default_positions(network: nn.Module) -> tuple[str, ...]:
    """Wsolevaluation's places.

    ResNet-50: first block of the last but one stage, first and last block of the last stage, each once. VGG-16:
    pool3, relu4_3 and relu5_3.
    """
    if isinstance(network, VGGGap):
        return ("features.pool3", "features.stage4", "features.stage5")
    *_, before, last = stage_names(network)
    blocks = block_names(network, last)
    return tuple(dict.fromkeys([block_names(network, before)[0], blocks[0], blocks[-1]]))


def attention_dropout(features: Tensor, drop_rate: float, threshold: float) -> Tensor:
    """Drop mask with probability `drop_rate`, importance map otherwise.

    The self-attention is the mean over channels; the drop mask is 0 where it reaches `threshold` times the image's
    maximum, the importance map is its sigmoid.

    Args:
        features: ``(B, C, h, w)``.
        drop_rate: Probability in [0, 1].
        threshold: Share in [0, 1] of the maximum.
    """
    attention = features.mean(1, keepdim=True)
    # wsolevaluation's way to draw, so that equal draws decide equally.
    if torch.rand(()) + drop_rate >= 1:
        return features * (attention < threshold * attention.amax((2, 3), keepdim=True))
    return features * attention.sigmoid()

"""Feedback across stages, for the experiments: what the last map found is handed down to the places where it was found.

With f (B, D, h, w) the output of stage 4 and M (B, 1, h, w) its energy, the mean of its channels as a share of its
largest value:

    v  = sum(M · f) / sum(M)           # one vector: what was found
    f2 = M / mean(M) · v               # handed down; its class activation map is M, whatever the class

No parameters and none published; no part of `tdam`. `resnet_mini_cross` and `resnet18_cross` in timm's registry; with
two passes, of the former alone, the first pass's M also gates the input of stage 3, and M and v are those of a second
pass with batch norms of its own.
"""

from __future__ import annotations

import copy
from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import BasicBlock, ResNet
from torch import Tensor, nn

from tdam.families.resnet import ResNetMini, UndilatedBlock
from tdam.families.resnet import default_cfgs as mini_cfgs

EPSILON = 1e-6
NAME, NAME_18 = "resnet_mini_cross", "resnet18_cross"


def energy(features: Tensor) -> Tensor:
    """Mean of the channels (B, 1, h, w) of maps (B, D, h, w) that are not negative, as a share of its largest value."""
    maps = features.mean(1, keepdim=True)
    return maps / (maps.amax((2, 3), keepdim=True) + EPSILON)


class HandDown(nn.Module):
    """Weighs the last map by its energy and hands the found vector back down to these places."""

    def forward(self, features: Tensor) -> Tensor:
        """Maps (B, D, h, w) to maps of the same shape, whose average is the energy-weighted mean vector."""
        gate = energy(features)
        vector = (gate * features).sum((2, 3), keepdim=True) / (gate.sum((2, 3), keepdim=True) + EPSILON)
        # Pooling gives the vector back, whatever the area of the gate.
        return gate / (gate.mean((2, 3), keepdim=True) + EPSILON) * vector


class StepNorm(nn.Module):
    """A batch norm for each pass; `step` says which pass is running."""

    def __init__(self, norm: nn.BatchNorm2d, steps: int) -> None:
        super().__init__()
        self.steps = nn.ModuleList(copy.deepcopy(norm) for _ in range(steps))
        self.step = 0

    def forward(self, x: Tensor) -> Tensor:
        """Apply the norm of the running pass."""
        return self.steps[self.step](x)


class CrossStageResNet(ResNetMini):
    """`ResNetMini` with `HandDown` at its end.

    Args:
        passes: 2: the energy of a first pass gates the input of stage 3 for a second one.
    """

    def __init__(self, *args: Any, passes: int = 1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.num_passes, self.hand_down = passes, HandDown()
        if passes == 2:
            for stage in (self.layer3, self.layer4):
                for parent in list(stage.modules()):
                    for name, child in list(parent.named_children()):
                        if isinstance(child, nn.BatchNorm2d):
                            parent.add_module(name, StepNorm(child, 2))

    def bottom(self, x: Tensor) -> Tensor:
        """Output of stage 2 (B, C, h, w)."""
        x = self.maxpool(self.act1(self.bn1(self.conv1(x))))
        return self.layer2(self.layer1(x))

    def last_stages(self, bottom: Tensor, step: int) -> Tensor:
        """Stages 3 and 4 with the norms of a pass (from 0)."""
        for module in self.modules():
            if isinstance(module, StepNorm):
                module.step = step
        return self.layer4(self.layer3(bottom))

    def forward_features(self, x: Tensor) -> Tensor:
        """The map that is handed down by the last pass."""
        bottom = self.bottom(x)
        found = self.last_stages(bottom, 0)
        if self.num_passes == 2:
            found = self.last_stages(bottom * energy(found), 1)
        return self.hand_down(found)


class HandDownResNet(ResNet):
    """A ResNet with `HandDown` at its end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.hand_down = HandDown()

    def forward_features(self, x: Tensor) -> Tensor:
        """The map that is handed down."""
        return self.hand_down(super().forward_features(x))


UNTRAINED = mini_cfgs["resnet_mini"].cfgs["untrained"].to_dict()
default_cfgs = generate_default_cfgs({f"{name}.untrained": UNTRAINED for name in (NAME, NAME_18)})


@register_model
def resnet_mini_cross(pretrained: bool = False, **kwargs: Any) -> CrossStageResNet:
    """`resnet_mini` that hands what it found down."""
    arguments = {"block": UndilatedBlock, "layers": (1, 1, 1, 1), "channels": (24, 32, 48, 64), "output_stride": 8}
    return build_model_with_cfg(CrossStageResNet, NAME, pretrained, **dict(arguments, **kwargs))


@register_model
def resnet18_cross(pretrained: bool = False, **kwargs: Any) -> HandDownResNet:
    """`resnet18` that hands what it found down."""
    arguments = {"block": BasicBlock, "layers": (2, 2, 2, 2)}
    return build_model_with_cfg(HandDownResNet, NAME_18, pretrained, **dict(arguments, **kwargs))

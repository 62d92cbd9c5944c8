"""torchvision's ResNet, ResNeXt and wide ResNet with top-down attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from tdam.feedback import Family, FeedbackBlock, Segment
from tdam.gate import add_stage_gate


class ResNetFeedbackBlock(FeedbackBlock):
    """What both of torchvision's residual blocks share."""

    # torchvision has no types that a checker reads.
    conv1: nn.Conv2d
    conv2: nn.Conv2d
    relu: nn.ReLU
    downsample: nn.Module | None

    def _first(self, x: Tensor, step: int) -> Tensor:
        return self.relu(self.conv_norm("conv1", "bn1", x, step))

    def skip(self, x: Tensor) -> Tensor:
        """The shortcut, projected where the block changes the map's shape."""
        return x if self.downsample is None else self.downsample(x)

    def merge(self, top: Tensor, shortcut: Tensor) -> Tensor:
        """Sum and activation."""
        return self.relu(top + shortcut)


class BasicFeedbackBlock(ResNetFeedbackBlock, BasicBlock):
    """torchvision's BasicBlock with feedback; distance 1 repeats conv2, 2 repeats conv1 and conv2."""

    def segments(self) -> tuple[Segment, ...]:
        """conv1 to its activation; conv2 and its norm."""
        return (
            Segment(self._first, self.conv1.in_channels, ("bn1",)),
            Segment(self._second, self.conv2.in_channels, ("bn2",)),
        )

    def _second(self, x: Tensor, step: int) -> Tensor:
        return self.conv_norm("conv2", "bn2", x, step)

    def out_channels(self) -> int:
        """Channels of conv2."""
        return self.conv2.out_channels


class BottleneckFeedbackBlock(ResNetFeedbackBlock, Bottleneck):
    """torchvision's Bottleneck with feedback; distance m repeats the last m of its three convolutions."""

    conv3: nn.Conv2d

    def segments(self) -> tuple[Segment, ...]:
        """conv1, conv2 and conv3, each with its norm, the first two with their activation."""
        return (
            Segment(self._first, self.conv1.in_channels, ("bn1",)),
            Segment(self._second, self.conv2.in_channels, ("bn2",)),
            Segment(self._third, self.conv3.in_channels, ("bn3",)),
        )

    def _second(self, x: Tensor, step: int) -> Tensor:
        return self.relu(self.conv_norm("conv2", "bn2", x, step))

    def _third(self, x: Tensor, step: int) -> Tensor:
        return self.conv_norm("conv3", "bn3", x, step)

    def out_channels(self) -> int:
        """Channels of conv3."""
        return self.conv3.out_channels


class FeedbackResNet(ResNet):
    """torchvision's ResNet, run in the two parts that seeing every step needs, under timm's names for them."""

    def forward_features(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W) to the maps under global pooling (B, D, h, w)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def forward_head(self, x: Tensor) -> Tensor:
        """Maps (B, D, h, w) to logits (B, C)."""
        return self.fc(torch.flatten(self.avgpool(x), 1))

    def get_classifier(self) -> nn.Module:
        """The linear classifier."""
        return self.fc


TORCHVISION_RESNET = Family(
    network=ResNet,
    blocks={BasicBlock: BasicFeedbackBlock, Bottleneck: BottleneckFeedbackBlock},
    stages=lambda model: (model.layer1, model.layer2, model.layer3, model.layer4),
    add_stage_gate=lambda model: add_stage_gate(model.layer4, model.layer4[0].conv1.in_channels),
    carrier=FeedbackResNet,
)

"""ResNets with top-down attention: timm's ResNet and blocks, with feedback in the last stages."""

from __future__ import annotations

from typing import Any, cast

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import BasicBlock, Bottleneck, ResNet
from torch import Tensor, nn

from tdam.feedback import Family, FeedbackBlock, Segment
from tdam.gate import add_stage_gate


class BasicFeedbackBlock(FeedbackBlock, BasicBlock):
    """Timm's BasicBlock with feedback; distance 1 repeats conv2, 2 repeats conv1 and conv2."""

    def segments(self) -> tuple[Segment, ...]:
        """conv1 to its activation and anti-aliasing; conv2 and its norm."""
        return (
            Segment(self._first, self.conv1.in_channels, ("bn1",)),
            Segment(self._second, self.conv2.in_channels, ("bn2",)),
        )

    def _first(self, x: Tensor, step: int) -> Tensor:
        x = self.conv_norm("conv1", "bn1", x, step)
        return cast(nn.Module, self.aa)(self.act1(self.drop_block(x)))

    def _second(self, x: Tensor, step: int) -> Tensor:
        return self.conv_norm("conv2", "bn2", x, step)

    def out_channels(self) -> int:
        """Channels of conv2."""
        return self.conv2.out_channels

    def skip(self, x: Tensor) -> Tensor:
        """The shortcut, projected where the block changes the map's shape."""
        return x if self.downsample is None else self.downsample(x)

    def merge(self, top: Tensor, shortcut: Tensor) -> Tensor:
        """Timm's end of the block: SE, drop path, sum and activation."""
        return self.act2(_after_branch(self, top) + shortcut)


class BottleneckFeedbackBlock(FeedbackBlock, Bottleneck):
    """Timm's Bottleneck with feedback; distance m repeats the last m of its three convolutions."""

    def segments(self) -> tuple[Segment, ...]:
        """conv1, conv2 and conv3, each with its norm and activation."""
        return (
            Segment(self._first, self.conv1.in_channels, ("bn1",)),
            Segment(self._second, self.conv2.in_channels, ("bn2",)),
            Segment(self._third, self.conv3.in_channels, ("bn3",)),
        )

    def _first(self, x: Tensor, step: int) -> Tensor:
        return self.act1(self.conv_norm("conv1", "bn1", x, step))

    def _second(self, x: Tensor, step: int) -> Tensor:
        x = self.conv_norm("conv2", "bn2", x, step)
        return cast(nn.Module, self.aa)(self.act2(self.drop_block(x)))

    def _third(self, x: Tensor, step: int) -> Tensor:
        return self.conv_norm("conv3", "bn3", x, step)

    def out_channels(self) -> int:
        """Channels of conv3."""
        return self.conv3.out_channels

    def default_pool_grid(self) -> int:
        """The map's side at 224 px, as the authors choose; 8 for widths that their table lacks."""
        bottom = (self.conv3.out_channels, *(segment.channels for segment in reversed(self.segments())))
        return {64: 56, 128: 28, 256: 14, 512: 7}.get(bottom[self.distance], 8)

    def skip(self, x: Tensor) -> Tensor:
        """The shortcut, projected where the block changes the map's shape."""
        return x if self.downsample is None else self.downsample(x)

    def merge(self, top: Tensor, shortcut: Tensor) -> Tensor:
        """Timm's end of the block: SE, drop path, sum and activation."""
        return self.act3(_after_branch(self, top) + shortcut)


def _after_branch(block: BasicBlock | Bottleneck, top: Tensor) -> Tensor:
    if block.se is not None:
        top = block.se(top)
    return top if block.drop_path is None else block.drop_path(top)


class UndilatedBlock(BasicBlock):
    """A BasicBlock that ignores dilation: late stages without stride stay as cheap as their map is small."""

    def __init__(self, *args: Any, dilation: int = 1, first_dilation: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


class UndilatedFeedbackBlock(BasicFeedbackBlock, UndilatedBlock):
    """The same with feedback."""


class ResNetMini(ResNet):
    """A ResNet whose stem is one 3x3 convolution to `stem_channels`: 7x7 to 64 would cost more than all the rest."""

    def __init__(self, *args: Any, stem_channels: int = 24, in_chans: int = 3, **kwargs: Any) -> None:
        # timm's deep stem ends in 2 * stem_width channels, which the first stage then expects.
        kwargs |= {"in_chans": in_chans, "stem_type": "deep", "stem_width": stem_channels // 2}
        super().__init__(*args, **kwargs)
        convolution = nn.Conv2d(in_chans, stem_channels, kernel_size=3, stride=2, padding=1, bias=False)
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        self.add_module("conv1", convolution)


RESNET = Family(
    network=ResNet,
    blocks={
        BasicBlock: BasicFeedbackBlock,
        Bottleneck: BottleneckFeedbackBlock,
        UndilatedBlock: UndilatedFeedbackBlock,
    },
    stages=lambda model: (model.layer1, model.layer2, model.layer3, model.layer4),
    add_stage_gate=lambda model: add_stage_gate(model.layer4, model.layer4[0].conv1.in_channels),
)

default_cfgs = generate_default_cfgs(
    {
        "resnet_mini.untrained": {
            "url": "",
            "num_classes": 12,
            "input_size": (3, 96, 96),
            "pool_size": (12, 12),
            "crop_pct": 1.0,
            "interpolation": "bilinear",
            "mean": IMAGENET_DEFAULT_MEAN,
            "std": IMAGENET_DEFAULT_STD,
            "first_conv": "conv1",
            "classifier": "fc",
        }
    }
)


@register_model
def resnet_mini(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """A thin ResNet for 96 px images on a CPU: a 3x3 stem, four BasicBlocks, stride 8, a 12x12 map, 12 classes."""
    arguments = {"block": UndilatedBlock, "layers": (1, 1, 1, 1), "channels": (24, 32, 48, 64), "output_stride": 8}
    return build_model_with_cfg(ResNetMini, "resnet_mini", pretrained, **dict(arguments, **kwargs))

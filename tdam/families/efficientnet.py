"""EfficientNet and MobileNetV3 with top-down attention: both are built of timm's inverted residual blocks."""

from __future__ import annotations

from typing import Any, cast

from timm.models._efficientnet_blocks import ConvBnAct, DepthwiseSeparableConv, InvertedResidual
from timm.models.efficientnet import EfficientNet
from timm.models.mobilenetv3 import MobileNetV3
from torch import Tensor, nn

from tdam.feedback import Family, FeedbackBlock, Segment


class InvertedFeedbackBlock(FeedbackBlock, InvertedResidual):
    """Timm's InvertedResidual with feedback; distance m repeats the last m of its three convolutions.

    SE belongs to the depthwise convolution, so distance 1 modulates its output. Blocks that change
    the map's shape have no shortcut and carry feedback all the same.
    """

    def segments(self) -> tuple[Segment, ...]:
        """Expansion; depthwise convolution and SE; projection."""
        return (
            Segment(self._expand, self.conv_pw.in_channels, ("bn1",)),
            Segment(self._depthwise, self.conv_dw.in_channels, ("bn2",)),
            Segment(self._project, self.conv_pwl.in_channels, ("bn3",)),
        )

    def _expand(self, x: Tensor, step: int) -> Tensor:
        return self.conv_norm("conv_pw", "bn1", _space_to_depth(self, x), step)

    def _depthwise(self, x: Tensor, step: int) -> Tensor:
        return self.se(cast(nn.Module, self.aa)(self.conv_norm("conv_dw", "bn2", x, step)))

    def _project(self, x: Tensor, step: int) -> Tensor:
        return self.conv_norm("conv_pwl", "bn3", x, step)

    def out_channels(self) -> int:
        """Channels of the projection."""
        return self.conv_pwl.out_channels

    def merge(self, top: Tensor, shortcut: Tensor) -> Tensor:
        """Drop path and sum, where the block has a shortcut."""
        return self.drop_path(top) + shortcut if self.has_skip else top


class SeparableFeedbackBlock(FeedbackBlock, DepthwiseSeparableConv):
    """Timm's DepthwiseSeparableConv with feedback; distance 1 repeats the pointwise convolution, 2 both."""

    def segments(self) -> tuple[Segment, ...]:
        """Depthwise convolution and SE; pointwise convolution."""
        return (
            Segment(self._depthwise, self.conv_dw.in_channels, ("bn1",)),
            Segment(self._pointwise, self.conv_pw.in_channels, ("bn2",)),
        )

    def _depthwise(self, x: Tensor, step: int) -> Tensor:
        x = self.conv_norm("conv_dw", "bn1", _space_to_depth(self, x), step)
        return self.se(cast(nn.Module, self.aa)(x))

    def _pointwise(self, x: Tensor, step: int) -> Tensor:
        return self.conv_norm("conv_pw", "bn2", x, step)

    def out_channels(self) -> int:
        """Channels of the pointwise convolution."""
        return self.conv_pw.out_channels

    def merge(self, top: Tensor, shortcut: Tensor) -> Tensor:
        """Drop path and sum, where the block has a shortcut."""
        return self.drop_path(top) + shortcut if self.has_skip else top


def _space_to_depth(block: Any, x: Tensor) -> Tensor:
    """Rarely used by timm: a strided convolution before everything else in the block."""
    if getattr(block, "conv_s2d", None) is None:
        return x
    return block.bn_s2d(block.conv_s2d(x))


def _stages(model: Any) -> list[nn.Sequential]:
    """Stages of blocks with a branch; MobileNetV3's last "stage" is one plain convolution, part of the head."""
    return [stage for stage in model.blocks if not isinstance(stage[-1], ConvBnAct)]


BLOCKS: dict[type[nn.Module], type[FeedbackBlock]] = {
    InvertedResidual: InvertedFeedbackBlock,
    DepthwiseSeparableConv: SeparableFeedbackBlock,
}
EFFICIENTNET = Family(network=EfficientNet, blocks=BLOCKS, stages=_stages)
MOBILENETV3 = Family(network=MobileNetV3, blocks=BLOCKS, stages=_stages)

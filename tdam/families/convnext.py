"""ConvNeXt with top-down attention: the MLP of a block runs again; depthwise convolution and LayerNorm do not."""

from __future__ import annotations

import re
from collections.abc import Callable

from timm.models.convnext import ConvNeXt, ConvNeXtBlock
from torch import Tensor

from tdam.feedback import Family, FeedbackBlock, Segment


class ConvNeXtFeedbackBlock(FeedbackBlock, ConvNeXtBlock):
    """Timm's ConvNeXtBlock with feedback; distance 1 repeats fc2, 2 the MLP, 3 the whole branch.

    The LayerNorm is the same at every step, as in the TDAM code.
    """

    def segments(self) -> tuple[Segment, ...]:
        """Depthwise convolution and norm; fc1 and activation; fc2."""
        channels = self.conv_dw.out_channels
        return (
            Segment(self._depthwise, self.conv_dw.in_channels),
            Segment(self._expand, channels),
            Segment(self._project, self._hidden_channels()),
        )

    def _hidden_channels(self) -> int:
        return self.mlp.fc1.weight.shape[0]

    def _depthwise(self, x: Tensor, step: int) -> Tensor:
        return self._pointwise(self.norm, self.conv_dw(x))

    def _expand(self, x: Tensor, step: int) -> Tensor:
        return self._pointwise(self._expand_layers, x)

    def _expand_layers(self, x: Tensor) -> Tensor:
        x = self.mlp.drop1(self.mlp.act(self.mlp.fc1(x)))
        # ConvNeXt V2 has a global response norm in this place.
        norm = getattr(self.mlp, "grn" if hasattr(self.mlp, "grn") else "norm")
        return norm(x)

    def _project(self, x: Tensor, step: int) -> Tensor:
        return self._pointwise(lambda x: self.mlp.drop2(self.mlp.fc2(x)), x)

    def _pointwise(self, layers: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """Apply layers that want channels last, unless the block is built of 1x1 convolutions; NCHW in and out."""
        if self.use_conv_mlp:
            return layers(x)
        return layers(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def out_channels(self) -> int:
        """Channels of fc2."""
        return self.mlp.fc2.weight.shape[0]

    def skip(self, x: Tensor) -> Tensor:
        """The shortcut, projected where the block changes the map's shape."""
        return self.shortcut(x)

    def merge(self, top: Tensor, shortcut: Tensor) -> Tensor:
        """Layer scale, drop path and sum."""
        if self.gamma is not None:
            top = top.mul(self.gamma.reshape(1, -1, 1, 1))
        return self.drop_path(top) + shortcut


def authors_name(name: str) -> str:
    """The name that a tensor of ours has in the files of the ConvNeXt and TDAM authors.

    >>> authors_name("stages.1.downsample.0.weight"), authors_name("stages.2.blocks.0.mlp.fc1.bias")
    ('downsample_layers.1.0.weight', 'stages.2.0.pwconv1.bias')
    """
    name = re.sub(r"^stem\.", "downsample_layers.0.", name)
    name = re.sub(r"^stages\.(\d+)\.downsample\.", r"downsample_layers.\1.", name)
    name = re.sub(r"^stages\.(\d+)\.blocks\.", r"stages.\1.", name)
    name = name.replace(".conv_dw.", ".dwconv.").replace(".mlp.fc", ".pwconv")
    return name.replace("head.fc.", "head.").replace("head.norm.", "norm.")


CONVNEXT = Family(
    network=ConvNeXt,
    blocks={ConvNeXtBlock: ConvNeXtFeedbackBlock},
    stages=lambda model: [stage.blocks for stage in model.stages],
    foreign_name=authors_name,
)

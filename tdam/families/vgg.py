"""VGG-16 as weakly-supervised localization uses it, plain and with top-down attention.

VGG-16-GAP (Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016) is VGG-16
without the last max pooling and the fully connected layers: 14x14 maps of 512 channels at 224 px go
through global average pooling to one linear classifier.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from functools import partial
from typing import Any, cast

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, resolve_model_data_config
from timm.layers import ClassifierHead
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.vgg import VGG, cfgs
from torch import Tensor, nn

from tdam.errors import UserError
from tdam.feedback import Family, FeedbackBlock, Segment


class VGGStage(nn.Sequential):
    """Convolutions of one map size, each with norm and activation; children keep their numbers in timm's VGG."""

    def units(self) -> list[list[str]]:
        """Names of the layers, one list for each convolution."""
        units: list[list[str]] = []
        for name, layer in self._modules.items():
            if isinstance(layer, nn.Conv2d) and name.isdigit():
                units.append([])
            if name.isdigit():
                units[-1].append(name)
        return units


class VGGFeedbackStage(FeedbackBlock, VGGStage):
    """A stage with feedback; distance m repeats its last m convolutions. There is no shortcut."""

    def segments(self) -> tuple[Segment, ...]:
        """One segment for each convolution."""
        return tuple(
            Segment(
                partial(self._unit, names),
                self._convolution(names[0]).in_channels,
                tuple(name for name in names if isinstance(self._modules[name], nn.BatchNorm2d)),
            )
            for names in self.units()
        )

    def _unit(self, names: list[str], x: Tensor, step: int) -> Tensor:
        for name in names:
            own = f"{name}_{step}"
            x = self._modules[own if own in self._modules else name](x)
        return x

    def scalable_norm(self) -> str | None:
        """None: the convolutions have biases, which a smaller input does not make smaller."""
        return None

    def out_channels(self) -> int:
        """Channels of the last convolution."""
        return self._convolution(self.units()[-1][0]).out_channels

    def _convolution(self, name: str) -> nn.Conv2d:
        return cast(nn.Conv2d, self._modules[name])

    def merge(self, top: Tensor, shortcut: Tensor) -> Tensor:
        """The branch alone."""
        return top


class VGGGap(VGG):
    """Timm's VGG without its last max pooling and fully connected layers, its layers grouped by stage."""

    def __init__(
        self,
        cfg: list[int | str],
        num_classes: int = 1000,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        **kwargs: Any,
    ) -> None:
        # The fully connected layers are replaced below; the ratio keeps timm from building them in full size.
        super().__init__(cfg[:-1], num_classes=0, mlp_ratio=1 / 4096, **kwargs)
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        layers = VGGStage()
        for name, layer in self.features.named_children():
            if isinstance(layer, nn.MaxPool2d):
                stages[f"stage{len(stages) // 2 + 1}"], stages[f"pool{len(stages) // 2 + 1}"] = layers, layer
                layers = VGGStage()
            else:
                layers.add_module(name, layer)
        stages[f"stage{len(stages) // 2 + 1}"] = layers
        self.features = nn.Sequential(stages)
        self.feature_ends = list(range(0, len(stages), 2))
        for index, info in enumerate(self.feature_info):
            info["module"] = f"features.stage{index + 1}"
        self.num_classes = num_classes
        self.drop_rate = drop_rate
        self.add_module("pre_logits", nn.Identity())
        self.head = ClassifierHead(self.num_features, num_classes, pool_type=global_pool, drop_rate=drop_rate)
        self.head_hidden_size = self.num_features * self.head.global_pool.feat_mult()
        if num_classes > 0:
            nn.init.normal_(self.head.fc.weight, 0, 0.01)
            nn.init.zeros_(self.head.fc.bias)


def timm_name(name: str) -> str:
    """The name that a tensor of ours has in timm's and torchvision's VGG.

    >>> timm_name("features.stage5.24.weight")
    'features.24.weight'
    """
    return re.sub(r"^features\.stage\d+\.", "features.", name)


def refuse_single_place(model: nn.Module) -> None:
    """Refuse timm's plain VGG at an input where its first fully connected layer leaves a map of one place.

    That layer is a 7x7 convolution: 224 px, which the five poolings bring to 7x7, become 1x1, where nothing can be
    localized. At 448 px the map is 8x8.

    Raises:
        UserError: With the name of the network to use.
    """
    layer = getattr(getattr(model, "pre_logits", None), "fc1", None)
    if not isinstance(model, VGG) or not isinstance(layer, nn.Conv2d):
        return
    _, height, width = resolve_model_data_config(model)["input_size"]
    if min(height, width) // 32 > layer.kernel_size[0]:
        return
    bn = any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    raise UserError(
        f"timm's plain VGG makes maps of 1 x 1 at {height} x {width} px, where nothing can be localized: "
        f"use {'vgg16_gap_bn' if bn else 'vgg16_gap'}, VGG-16 with global average pooling in place of its fully "
        "connected layers"
    )


# Names whose published weights are the convolutions alone.
NEW_CLASSIFIERS = ("vgg16_gap", "vgg16_gap_bn")

VGG_GAP = Family(
    network=VGGGap,
    blocks={VGGStage: VGGFeedbackStage},
    stages=lambda model: [[stage] for stage in model.features if isinstance(stage, VGGStage)],
    foreign_name=timm_name,
    replaced_head=("pre_logits.", "classifier."),
)


def _convolutions(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The convolutions of a plain VGG-16 file under our names; its fully connected layers have no place here."""
    names = {timm_name(key): key for key in model.state_dict()}
    return {names[key]: value for key, value in state.items() if key.startswith("features.")}


def _configuration(source: str) -> dict[str, Any]:
    return {
        "hf_hub_id": source,
        "num_classes": 1000,
        "input_size": (3, 224, 224),
        "pool_size": (14, 14),
        "crop_pct": 0.875,
        "interpolation": "bilinear",
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "first_conv": "features.stage1.0",
        "classifier": "head.fc",
        "license": "bsd-3-clause",
    }


default_cfgs = generate_default_cfgs(
    {
        "vgg16_gap.tv_in1k": _configuration("timm/vgg16.tv_in1k"),
        "vgg16_gap_bn.tv_in1k": _configuration("timm/vgg16_bn.tv_in1k"),
    }
)


@register_model
def vgg16_gap(pretrained: bool = False, **kwargs: Any) -> VGGGap:
    """VGG-16-GAP without batch norm. Pretrained means timm's VGG-16 convolutions; the classifier is new."""
    return _create("vgg16_gap", pretrained, **kwargs)


@register_model
def vgg16_gap_bn(pretrained: bool = False, **kwargs: Any) -> VGGGap:
    """VGG-16-GAP with batch norm, otherwise as `vgg16_gap`."""
    return _create("vgg16_gap_bn", pretrained, norm_layer=nn.BatchNorm2d, **kwargs)


def _create(name: str, pretrained: bool, **kwargs: Any) -> VGGGap:
    return build_model_with_cfg(
        VGGGap,
        name,
        pretrained,
        model_cfg=cfgs["vgg16"],
        feature_cfg={"feature_cls": "getter"},
        pretrained_filter_fn=_convolutions,
        pretrained_strict=False,
        **kwargs,
    )

"""Which map method works on which network, by running every cell: docs/what-works.md.

python scripts/table_map_methods.py            # print the table
python scripts/table_map_methods.py --write    # and put it into docs/what-works.md

One small random network for each kind of source, an image of 64 x 64, every map method. A cell either gives maps of the
right shape, with finite values, or is refused by an error of ours, which becomes a note. Anything else ends the script.
IS-CAM and SS-CAM average over one masked set here instead of 10 and 35; what they ask of a network is the same.
"""

from __future__ import annotations

import re
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
import tyro
from torch import nn
from transformers import (
    AutoModelForImageClassification,
    ConvNextConfig,
    CvtConfig,
    Dinov2Config,
    MobileNetV2Config,
    ResNetConfig,
    SwinConfig,
    ViTConfig,
)

import tdam
import wsol
from tdam.errors import UserError
from wsol.maps.scores import is_cam, ss_cam
from wsol.methods import create_method

DOCUMENT = Path(__file__).parents[1] / "docs" / "what-works.md"
START, END = "<!-- table_map_methods.py: start -->", "<!-- table_map_methods.py: end -->"
SIDE, CLASSES = 64, 5
TOKENS = {"embed_dim": 24, "depth": 2, "num_heads": 2, "img_size": SIDE, "patch_size": 16}
HUGGING_FACE = {"image_size": SIDE, "patch_size": 16, "hidden_size": 24, "num_hidden_layers": 2, "num_labels": CLASSES}
HEADS = {"num_attention_heads": 2, "intermediate_size": 48}


class OneLayer(nn.Module):
    """A network as anyone writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 16, 3, stride=8, padding=1), nn.Linear(16, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolution, activation, mean, linear layer."""
        return self.fc(torch.relu(self.conv(x)).mean((2, 3)))


def of_timm(name: str, **options: Any) -> nn.Module:
    """A network of timm's registry, with ours."""
    return timm.create_model(name, num_classes=CLASSES, **options)


def of_hugging_face(config: Any) -> nn.Module:
    """A network of transformers."""
    return AutoModelForImageClassification.from_config(config)


def with_weights(network: nn.Module) -> nn.Module:
    """The network with a classifier that is not zero, as torchvision's ViT has it before training."""
    nn.init.normal_(network.heads.head.weight)
    return network


def of_a_file() -> nn.Module:
    """A TDAM network, written and opened again."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trained.safetensors"
        config = {"model": "resnet_mini_tdam", "num_classes": CLASSES, "model_args": {}, "trained": True}
        tdam.save_checkpoint(of_timm("resnet_mini_tdam"), path, config)
        return wsol.open_network(path).model


SOURCES: dict[str, Callable[[], nn.Module]] = {
    "timm ResNet": lambda: of_timm("resnet10t", channels=(8, 16, 24, 32)),
    "timm MobileNetV2": lambda: of_timm("mobilenetv2_035"),
    "timm MobileNetV3": lambda: of_timm("mobilenetv3_small_050"),
    "timm ConvNeXt": lambda: of_timm("convnext_atto", depths=(1, 1, 1, 1), dims=(8, 16, 24, 32)),
    "timm DenseNet": lambda: of_timm("densenet121", block_config=(2, 2, 2, 2), growth_rate=8),
    "timm ViT, class token": lambda: of_timm("vit_tiny_patch16_224", **TOKENS),
    "timm ViT, mean of patches": lambda: of_timm("vit_tiny_patch16_224", global_pool="avg", **TOKENS),
    "timm DeiT, distilled": lambda: of_timm("deit_tiny_distilled_patch16_224", **TOKENS),
    "timm DINOv2, registers": lambda: of_timm("vit_small_patch14_reg4_dinov2", **TOKENS),
    "timm BEiT": lambda: of_timm("beit_base_patch16_224", **TOKENS),
    "timm Swin": lambda: of_timm(
        "swin_tiny_patch4_window7_224", embed_dim=12, depths=(2, 2), num_heads=(2, 4), img_size=SIDE, window_size=4
    ),
    "TDAM ResNet": lambda: of_timm("resnet_mini_tdam"),
    "TDAM by add_feedback, torchvision": lambda: tdam.add_feedback(
        torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=CLASSES)
    ),
    "checkpoint of ours": of_a_file,
    "trained by method acol": lambda: create_method("acol", of_timm("resnet_mini")),
    "torchvision ResNet": lambda: torchvision.models.ResNet(
        torchvision.models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=CLASSES
    ),
    "torchvision MobileNetV3": lambda: torchvision.models.mobilenet_v3_small(num_classes=CLASSES, width_mult=0.25),
    "torchvision DenseNet": lambda: torchvision.models.DenseNet(8, (2, 2, 2, 2), 16, num_classes=CLASSES),
    "torchvision VGG": lambda: torchvision.models.vgg11(num_classes=CLASSES),
    "torchvision ViT": lambda: with_weights(
        torchvision.models.VisionTransformer(SIDE, 16, 2, 2, 24, 48, num_classes=CLASSES)
    ),
    "torchvision Swin": lambda: torchvision.models.SwinTransformer(
        [4, 4], 12, [2, 2], [2, 4], [4, 4], num_classes=CLASSES
    ),
    "Hugging Face ResNet": lambda: of_hugging_face(
        ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=CLASSES)
    ),
    "Hugging Face ConvNeXt": lambda: of_hugging_face(
        ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], num_labels=CLASSES)
    ),
    "Hugging Face MobileNetV2": lambda: of_hugging_face(MobileNetV2Config(depth_multiplier=0.35, num_labels=CLASSES)),
    "Hugging Face ViT": lambda: of_hugging_face(ViTConfig(**HUGGING_FACE, **HEADS)),
    "Hugging Face DINOv2": lambda: of_hugging_face(Dinov2Config(**HUGGING_FACE, num_attention_heads=2)),
    "Hugging Face Swin": lambda: of_hugging_face(
        SwinConfig(image_size=SIDE, embed_dim=12, depths=[2, 2], num_heads=[2, 4], window_size=4, num_labels=CLASSES)
    ),
    "Hugging Face CvT": lambda: of_hugging_face(
        CvtConfig(embed_dim=[8, 16, 24], num_heads=[1, 2, 3], depth=[1, 2, 3], num_labels=CLASSES)
    ),
    "module of one's own": OneLayer,
    "the same in DataParallel": lambda: nn.DataParallel(OneLayer()),
}


def main(write: bool = False) -> None:
    """Run every cell and print the table.

    Args:
        write: Put it into docs/what-works.md as well, between its two marks.
    """
    is_cam.STEPS = ss_cam.SAMPLES = 1
    torch.set_num_threads(1)
    text = table({name: row(name) for name in SOURCES})
    print(text)
    if write:
        document = DOCUMENT.read_text(encoding="utf-8")
        pattern = re.compile(f"{re.escape(START)}.*?{re.escape(END)}", re.DOTALL)
        DOCUMENT.write_text(pattern.sub(lambda _: f"{START}\n{text}\n{END}", document), encoding="utf-8")


def row(source: str) -> dict[str, str]:
    """What every map method says of a source: "" if it works, else why it is refused."""
    torch.manual_seed(0)
    network = SOURCES[source]().eval()
    images = torch.randn(1, 3, SIDE, SIDE)
    found = {method: cell(network, images, method) for method in wsol.map_methods()}
    print(source, "refused:", sum(map(bool, found.values())), file=sys.stderr)
    return found


def cell(network: nn.Module, images: torch.Tensor, method: str) -> str:
    """Why a method is refused, with the names of network and method left out; "" if it gives maps."""
    try:
        with warnings.catch_warnings():
            # That a map is not exact is said on docs/your-own-network.md.
            warnings.simplefilter("ignore", wsol.cam.InexactMapWarning)
            cams = wsol.class_activation_maps(network, images, method=method)
    except UserError as error:
        inner = network.module if isinstance(network, nn.DataParallel) else network
        return str(error).replace(type(inner).__name__, "the network").replace(f"method {method!r}", "the method")
    steps = tdam.num_steps(network)
    if cams.maps.shape[:2] != (steps, 1) or not torch.isfinite(cams.maps).all():
        raise AssertionError(f"{method} gives maps {tuple(cams.maps.shape)}, or values that are not finite")
    return ""


def table(rows: dict[str, dict[str, str]]) -> str:
    """Markdown: networks by methods, and the reasons below."""
    methods = wsol.map_methods()
    reasons = list(dict.fromkeys(reason for found in rows.values() for reason in found.values() if reason))
    numbers = {"": "✓", **{reason: str(number) for number, reason in enumerate(reasons, start=1)}}
    lines = ["| network | " + " | ".join(methods) + " |", "| --- |" + " :---: |" * len(methods)]
    lines += [
        f"| {name} | " + " | ".join(numbers[found[method]] for method in methods) + " |" for name, found in rows.items()
    ]
    return "\n".join([*lines, "", *(f"{number}. {reason}" for reason, number in numbers.items() if reason)])


if __name__ == "__main__":
    tyro.cli(main)

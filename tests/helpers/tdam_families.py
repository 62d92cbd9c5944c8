"""One thin network of every family that carries feedback."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

import tdam

FAMILIES: dict[str, dict[str, Any]] = {
    "resnet18_tdam": {"channels": (16, 32, 48, 64)},
    "resnet50d_tdam": {"channels": (8, 16, 24, 32), "layers": (1, 1, 1, 2)},
    "seresnet50_tdam": {"channels": (8, 16, 24, 32), "layers": (1, 1, 1, 2)},
    "convnext_tiny_tdam": {"dims": (16, 32, 48, 64), "depths": (1, 1, 1, 2)},
    "efficientnet_b0_tdam": {},
    "mobilenetv3_small_100_tdam": {},
    "vgg16_tdam": {},
    "vgg16_bn_tdam": {},
}


def family(name: str, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    return tdam.create_model(name, num_classes=5, **FAMILIES[name], **options).eval()


def images(batch: int = 2, height: int = 64, width: int = 64) -> torch.Tensor:
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(0))


def assert_close(ours: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-4) -> None:
    torch.testing.assert_close(ours, expected, rtol=0, atol=tolerance * float(expected.detach().abs().max()))


def trained(model: nn.Module) -> nn.Module:
    """Norms with the statistics of data, some of channels that hardly vary, where eps matters."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.groups == 1:
            module.weight[::5] *= 1e-3
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    model.train()(images())
    return model.eval()

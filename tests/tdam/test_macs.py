from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import tdam
from tdam.macs import count_macs

# Parameters, and multiply-accumulates in G by both conventions, that the reference data lists for the
# authors' code at 224 px and 1000 classes.
ROWS: list[tuple[str, dict[str, Any], int, float, float]] = [
    ("resnet50", {}, 25_557_032, 4.089, 4.12),
    ("resnet50_tdam", {}, 27_645_992, 4.554, 4.59),
    ("resnet50_tdam", {"attention": "top"}, 27_056_168, 4.553, 4.59),
    ("resnet50_tdam", {"attention": "top", "distance": 3}, 27_789_352, 6.159, 6.20),
    ("resnet50_tdam", {"attention": "top", "distance": 0}, 27_916_328, 4.094, 4.13),
    ("resnet50_tdam", {"steps": 3}, 27_670_568, 5.018, 5.06),
    ("resnet50_tdam", {"steps": 3, "distance": 2, "attention": "sum"}, 27_387_944, 7.098, 7.14),
    ("resnet50_tdam", {"pooling": ("max", "avg")}, 27_645_992, 4.556, 4.60),
    ("resnet101_tdam", {}, 46_754_856, 8.317, 8.37),
    ("resnet101_tdam", {"td_blocks": {4: "all"}}, 45_937_704, 7.957, 8.01),
    ("resnet18_tdam", {}, 11_828_776, 2.623, 2.63),
    ("resnet18_tdam", {"attention": "top", "distance": 1}, 11_774_504, 2.277, 2.29),
    ("resnet34_tdam", {}, 22_074_152, 5.629, 5.64),
    ("resnet34_tdam", {"distance": 1}, 22_098_728, 4.705, 4.72),
    ("resnet26d_tdam", {}, 17_173_576, 2.789, 2.82),
]


@pytest.mark.parametrize(("name", "options", "parameters", "conv_linear", "ptflops"), ROWS)
def test_counts_of_the_authors_networks(
    name: str, options: dict[str, Any], parameters: int, conv_linear: float, ptflops: float
) -> None:
    with torch.device("meta"):
        model = tdam.create_model(name, **options)
    macs = count_macs(model)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    assert round(macs.conv_linear / 1e9, 3) == conv_linear
    assert round(macs.ptflops / 1e9, 2) == ptflops


def test_by_hand() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(4, 5),
    )  # fmt: skip
    macs = count_macs(model, (3, 8, 8))
    places = 4 * 4
    assert macs.conv_linear == 27 * 4 * places + 4 * 5
    assert macs.ptflops == macs.conv_linear + 4 * places + 2 * 4 * places + 4 * places + 4 * places + 5
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())

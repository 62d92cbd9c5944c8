"""BAS where its authors' outputs do not reach: equal activations, first weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import tdam
from wsol.methods import create_method
from wsol.methods.bas import suppression


@pytest.mark.parametrize(("ratio", "at_equality"), [("cub", 0.0), ("ilsvrc", 1.0)])
def test_an_activation_that_erasing_does_not_lower_counts_as_zero_without_gradient(ratio, at_equality):
    left = torch.tensor([1.0, 2.0, 3.0, 0.0], dtype=torch.float64, requires_grad=True)
    full = torch.tensor([2.0, 2.0, 2.0, 0.0], dtype=torch.float64)
    shares = suppression(left, full, equal_counts_as_zero=ratio == "cub")
    expected = torch.tensor([0.5, at_equality, 0.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(shares, expected, atol=1e-8, rtol=0)
    (gradient,) = torch.autograd.grad(shares[:3].sum(), left)
    torch.testing.assert_close(gradient[:3], torch.tensor([0.5, at_equality / 2, 0.0]).double(), atol=1e-8, rtol=0)


def test_first_weights_are_the_authors():
    torch.manual_seed(0)
    xavier = create_method("bas", tdam.create_model("resnet_mini", num_classes=3), {"width": 64})
    normal = create_method("bas", tdam.create_model("vgg16_gap", num_classes=3), {"width": 64})
    for method in (xavier, normal):
        convolutions = [module for part in (method.head, method.generator) for module in part.modules()]
        convolutions = [module for module in convolutions if isinstance(module, nn.Conv2d)]
        assert len(convolutions) == 4
        assert not any(convolution.bias.any() for convolution in convolutions)
    hidden = xavier.head[2].weight
    limit = (6 / (9 * (64 + 64))) ** 0.5
    assert hidden.abs().max().item() == pytest.approx(limit, rel=0.01)
    assert hidden.std().item() == pytest.approx(limit / 3**0.5, rel=0.02)
    assert normal.head[2].weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert normal.generator[0].weight.std().item() == pytest.approx(0.02, rel=0.05)

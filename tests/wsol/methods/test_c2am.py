"""C2AM: which of its two maps is the foreground, and when that is decided."""

from __future__ import annotations

import math

import pytest
import torch

import tdam
from wsol.methods import create_method
from wsol.methods.c2am import attraction, covers_border


@pytest.mark.parametrize(
    ("sides", "covers"),
    [((1, 1, 0, 0), False), ((1, 1, 1, 0), True), ((0, 0, 1, 1), False), ((0, 0, 0, 0), False)],
)
def test_the_border_is_the_mean_of_its_four_sides(sides, covers):
    """Sides count alike, however long, and a corner belongs to two."""
    activation = torch.zeros(3, 40)
    top, bottom, left, right = sides
    activation[0, 1:-1], activation[-1, 1:-1] = 0.9 * top, 0.9 * bottom
    activation[1:-1, 0], activation[1:-1, -1] = 0.9 * left, 0.9 * right
    if left and right:
        activation[1:-1, :] = 0.9
    share = [top * 38 / 40, bottom * 38 / 40, left / 3, right / 3]
    assert bool(covers_border(activation)) == (sum(share) / 4 > 0.5) == covers


def test_the_last_batch_of_the_first_epoch_decides_once():
    torch.manual_seed(0)
    method = create_method("c2am", tdam.create_model("resnet_mini", num_classes=3)).train()
    pictures, targets = torch.randn(4, 3, 48, 48), torch.arange(4) % 3

    def forward(bias):
        torch.nn.init.constant_(method.norm.bias, bias)
        method(pictures, targets)

    assert bool(method.complement)
    forward(-50.0)
    assert not bool(method.complement)
    method.eval()
    forward(50.0)
    assert not bool(method.complement), "only training decides"
    method.train()
    forward(50.0)
    assert bool(method.complement)
    method.finish_epoch()
    forward(-50.0)
    assert bool(method.complement)
    # What was decided is saved with the weights.
    other = create_method("c2am", tdam.create_model("resnet_mini", num_classes=3))
    other.complement.fill_(False)
    other.load_state_dict(method.state_dict())
    assert bool(other.complement)
    assert bool(other.decided)


@pytest.mark.parametrize("alpha", [0.05, 0.75])
def test_the_nearest_neighbour_weighs_most(alpha):
    vectors = torch.randn(5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = 0.0
    for one in vectors:
        likeness = [float(one @ other / one.norm() / other.norm()) for other in vectors]
        limited = sorted((min(max(value, 0.0005), 0.9995) for value in likeness), reverse=True)
        # The vector itself comes first, with rank 0.
        expected += sum(-math.exp(-alpha * (rank - 1)) * math.log(value) for rank, value in enumerate(limited))
    assert attraction(vectors, alpha).item() == pytest.approx(expected / 25, rel=1e-12)

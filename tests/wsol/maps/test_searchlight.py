"""The searchlight's map against the gate that the block applies."""

from __future__ import annotations

import pytest
import torch

import tdam
import wsol

IMAGES = torch.randn(2, 3, 96, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    model = tdam.create_model("resnet_mini_tdam", num_classes=4, steps=3).eval()
    for module in model.modules():
        if isinstance(module, tdam.TopDownAttention):
            torch.nn.init.normal_(module.expand.weight, std=0.5)
    return model


def test_the_map_of_a_step_is_the_factor_its_block_was_multiplied_by(network):
    maps = wsol.class_activation_maps(network, IMAGES, method="searchlight").maps
    assert maps.shape == (3, 2, 12, 8)
    assert torch.equal(maps[0], torch.ones_like(maps[0])), "nothing is gated before step 1"
    for step in (2, 3):
        stopped = tdam.at_step(network, step)
        attention = stopped.layer4[0].attention
        calls: list[tuple[torch.Tensor, ...]] = []
        handle = attention.register_forward_hook(
            lambda module, inputs, output, calls=calls: calls.append((*inputs, output))
        )
        with torch.no_grad():
            stopped(IMAGES)
            handle.remove()
            bottom, top, output = calls[-1]
            channel_gate = attention.searchlight(bottom, top).sigmoid()
        # What is left of the output without the channel step, at places where the bottom map is not zero.
        gated = bottom * channel_gate
        factors = torch.where(gated.abs() > 1e-3, output / gated, torch.nan).nanmean(1)
        seen = ~factors.isnan()
        assert seen.any()
        torch.testing.assert_close(maps[step - 1][seen], factors[seen], atol=1e-4, rtol=1e-3)
    assert not torch.equal(maps[1], maps[2])


def test_networks_without_feedback_or_without_a_spatial_step_are_refused():
    with pytest.raises(tdam.UserError, match="no feedback"):
        wsol.class_activation_maps(tdam.create_model("resnet_mini", num_classes=4), IMAGES, method="searchlight")
    channel_only = tdam.create_model("resnet_mini_tdam", num_classes=4, order="channel")
    with pytest.raises(tdam.UserError, match="no spatial gate"):
        wsol.class_activation_maps(channel_only, IMAGES, method="searchlight")

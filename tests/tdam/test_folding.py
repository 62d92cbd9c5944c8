from __future__ import annotations

import pytest
import torch
from tdam_families import FAMILIES, assert_close, family, images, trained
from torch import nn

import tdam
from tdam.errors import UserError


@pytest.mark.parametrize("distance", [1, 2])
@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_a_network_without_norms_computes_the_same(name: str, distance: int) -> None:
    model = trained(family(name, steps=3, distance=distance)).double()
    x = images().double()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    folded = tdam.fold_norms(model)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    expected = tdam.forward_steps(model, x)
    steps = tdam.forward_steps(folded, x)
    for t in range(3):
        assert_close(steps.logits[t], expected.logits[t], 1e-9)
        assert_close(steps.features[t], expected.features[t], 1e-9)
    assert_close(tdam.at_step(folded, 2)(x), expected.logits[1], 1e-9)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@torch.no_grad()
def test_steps_without_norms_keep_the_first_ones() -> None:
    model = trained(family("resnet18_tdam", steps=2, distance=1, step_norm="none")).double()
    x = images().double()
    folded = tdam.fold_norms(model)
    kept = {name for name, module in folded.named_modules() if isinstance(module, nn.BatchNorm2d)}
    assert kept == {f"layer{stage}.{block}.bn2" for stage in (3, 4) for block in (0, 1)}
    assert_close(folded(x), model(x), 1e-9)


def test_training_mode_is_refused() -> None:
    with pytest.raises(UserError, match="in eval mode only"):
        tdam.fold_norms(tdam.create_model("resnet_mini").train())

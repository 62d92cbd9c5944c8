from __future__ import annotations

import pytest
import torch
from tdam_families import assert_close, images
from torch import nn

import tdam
from tdam.errors import UserError
from tdam.gate import GatedStage

THIN = {"num_classes": 5, "channels": (16, 32, 48, 64)}


def gated(name: str = "resnet18_tdam2", **options: object) -> nn.Module:
    """A thin network whose gate lets through more here and less there."""
    torch.manual_seed(0)
    model = tdam.create_model(name, **THIN, **options).eval()
    nn.init.normal_(model.layer4.stage_gate.weight)
    return model


@torch.no_grad()
def test_a_new_gate_changes_nothing() -> None:
    model = tdam.create_model("resnet18_tdam2", **THIN).eval()
    faithful = tdam.create_model("resnet18_tdam.joint_t2_m1", **THIN).eval()
    names = faithful.state_dict().keys()
    faithful.load_state_dict({key: value for key, value in model.state_dict().items() if key in names})
    assert_close(model(images()), faithful(images()), 1e-6)


@torch.no_grad()
def test_the_gate_is_the_formula() -> None:
    """out = 2 sigmoid(w · x + b) * stage(x), the gate averaged to the size of the stage's output."""
    model = gated()
    stage = model.layer4
    x = torch.randn(2, 48, 8, 6)
    expected = x
    for block in (stage[0], stage[1]):
        expected = block(expected)
    gate = stage.stage_gate
    scores = torch.einsum("c,bchw->bhw", gate.weight[0, :, 0, 0], x) + gate.bias
    small = (2 / (1 + torch.exp(-scores))).unflatten(1, (4, 2)).unflatten(3, (3, 2)).mean((2, 4))
    assert_close(stage(x), expected * small.unsqueeze(1))


@pytest.mark.parametrize("scope", ["last", "all"])
@torch.no_grad()
def test_steps_at_once_equal_single_ones(scope: str) -> None:
    model = gated(steps=3)
    together = tdam.forward_steps(model, images(), scope)
    for t in (1, 2, 3):
        alone = tdam.at_step(model, t, scope)
        assert_close(together.logits[t - 1], alone(images()))
        assert_close(together.features[t - 1], alone.forward_features(images()))
    assert_close(together.logits[-1], model(images()))


@torch.no_grad()
def test_hooks_and_features_see_the_gated_map() -> None:
    model = gated()
    seen: list[torch.Tensor] = []
    model.layer4.register_forward_hook(lambda module, inputs, output: seen.append(output))
    expected = model.forward_features(images())
    _, levels = model.forward_intermediates(images())
    assert torch.equal(seen[0], expected)
    assert torch.equal(levels[-1], expected)


def test_a_plain_file_leaves_the_gate_new(tmp_path) -> None:
    plain = tdam.create_model("resnet18", **THIN)
    tdam.save_checkpoint(plain, tmp_path / "plain.safetensors", {})
    model = gated()
    report = tdam.load_checkpoint(model, tmp_path / "plain.safetensors")
    assert {"layer4.stage_gate.weight", "layer4.stage_gate.bias"} <= set(report.initialised)
    assert not model.layer4.stage_gate.weight.any()


def test_a_gate_alone_needs_no_feedback() -> None:
    model = tdam.create_model("resnet18_tdam", **THIN, steps=1, td_blocks={}, stage_gate=True)
    assert isinstance(model.layer4, GatedStage)
    assert not any(isinstance(module, tdam.TopDownAttention) for module in model.modules())


def test_families_without_gate_refuse() -> None:
    with pytest.raises(UserError, match="cannot have a stage_gate"), torch.device("meta"):
        tdam.create_model("convnext_tiny_tdam", stage_gate=True)

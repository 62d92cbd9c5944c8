from __future__ import annotations

import copy

import pytest
import timm
import torch
from torch import nn

import tdam
from tdam.errors import UserError


def randomize(model: nn.Module, seed: int = 0) -> nn.Module:
    """Every norm of every step different, so that no mix-up goes unseen."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight, module.running_var):
                    tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
                for tensor in (module.bias, module.running_mean):
                    tensor.copy_(0.1 * torch.randn(tensor.shape, generator=generator))
    return model


def small(**options: object) -> nn.Module:
    torch.manual_seed(0)
    return randomize(tdam.create_model("resnet_mini_tdam", layers=(1, 1, 2, 3), **options)).eval()


def assert_close(ours: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal but for the rounding of sums taken in another order."""
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-4 * float(expected.detach().abs().max()))


IMAGES = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("scope", ["last", "all"])
@pytest.mark.parametrize("distance", [0, 1, 2])
@pytest.mark.parametrize("steps", [1, 2, 4])
@torch.no_grad()
def test_all_at_once_equals_one_by_one(steps: int, distance: int, scope: str) -> None:
    model = small(steps=steps, distance=distance)
    together = tdam.forward_steps(model, IMAGES, scope)
    assert together.logits.shape == (steps, 2, 12)
    for t in range(1, steps + 1):
        alone = tdam.at_step(model, t, scope)
        assert_close(together.logits[t - 1], alone(IMAGES))
        assert_close(together.features[t - 1], alone.forward_features(IMAGES))
    assert_close(together.logits[-1], model(IMAGES))
    pooled = together.features.mean((-2, -1)) @ together.classifier_weight.T + model.fc.bias
    assert_close(together.logits, pooled)


@torch.no_grad()
def test_a_step_is_a_network_of_fewer_steps() -> None:
    """Scope "all" at t has the weights of a T = t network; scope "last" of one whose earlier stages keep T."""
    three = small(steps=3)
    two = small(steps=2)
    two.load_state_dict({key: value for key, value in three.state_dict().items() if key in two.state_dict()})
    assert_close(tdam.at_step(three, 2, "all")(IMAGES), two(IMAGES))
    early = three.layer3(three.layer2(three.layer1(three.maxpool(three.act1(three.bn1(three.conv1(IMAGES)))))))
    assert_close(tdam.at_step(three, 2)(IMAGES), two.forward_head(two.layer4(early)))


@torch.no_grad()
def test_one_step_is_the_plain_network() -> None:
    model = small()
    plain = tdam.create_model("resnet_mini", layers=(1, 1, 2, 3)).eval()
    plain.load_state_dict({key: value for key, value in model.state_dict().items() if key in plain.state_dict()})
    torch.testing.assert_close(tdam.at_step(model, 1, "all")(IMAGES), plain(IMAGES), rtol=0, atol=0)


@torch.no_grad()
def test_nothing_is_computed_twice() -> None:
    """Count the images that every convolution sees."""
    model = small(steps=3)
    seen: dict[str, int] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d) and "attention" not in name:
            module.register_forward_hook(
                lambda module, inputs, output, name=name: seen.update({name: seen.get(name, 0) + len(output)})
            )
    tdam.forward_steps(model, IMAGES)
    images = len(IMAGES)
    assert seen["conv1"] == seen["layer3.0.conv1"] == images
    assert seen["layer3.0.conv2"] == 3 * images
    assert seen["layer4.0.conv1"] == images
    assert seen["layer4.0.conv2"] == 3 * images  # the passes of step 1 and 2 are the first ones of step 3
    assert seen["layer4.0.downsample.0"] == images
    assert seen["layer4.1.conv1"] == 3 * images
    assert seen["layer4.1.conv2"] == (1 + 2 + 3) * images


def test_gradients_of_all_steps_match() -> None:
    model = small(steps=3, pooling=("max", "avg"))
    tdam.forward_steps(model, IMAGES).logits.square().sum().backward()
    together = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    sum(tdam.at_step(model, t)(IMAGES).square().sum() for t in (1, 2, 3)).backward()
    for name, parameter in model.named_parameters():
        assert_close(together[name], parameter.grad)


def test_training_mode_keeps_the_statistics_of_steps_apart() -> None:
    model = small(steps=2).train()
    reference = copy.deepcopy(model)
    outputs = tdam.forward_steps(model, IMAGES)
    assert_close(outputs.logits[1], reference(IMAGES))
    assert outputs.features.shape[:2] == (2, 2)


def test_at_step_shares_weights_and_nothing_else() -> None:
    model = small(steps=2)
    first = tdam.at_step(model, 1)
    names = [name for name, _ in model.named_modules()]
    assert [name for name, _ in first.named_modules()] == names
    assert all(a is b for a, b in zip(model.parameters(), first.parameters(), strict=True))
    assert tdam.num_steps(first) == 1
    assert tdam.num_steps(model) == 2

    calls: list[str] = []
    model.layer4.register_forward_hook(lambda *_: calls.append("model"))
    first.layer4.register_forward_hook(lambda *_: calls.append("step"))
    model(IMAGES)
    assert calls == ["model"]
    first(IMAGES)
    assert calls == ["model", "step"]
    tdam.forward_steps(first, IMAGES)
    assert calls[2:] == ["step"]


@torch.no_grad()
def test_moves_and_loads_reach_a_step() -> None:
    model = small(steps=2)
    first = tdam.at_step(model, 1)
    before = first(IMAGES)
    model.load_state_dict(randomize(copy.deepcopy(model), seed=5).state_dict())
    assert not torch.allclose(before, first(IMAGES))
    model.double()
    assert first(IMAGES.double()).dtype == torch.float64


@pytest.mark.parametrize(
    "name",
    ["resnet10t", "mobilenetv3_small_050", "test_convnext", "regnetx_002", "densenet121", "ghostnet_050", "lcnet_035"],
)
@torch.no_grad()
def test_plain_networks_have_one_step(name: str) -> None:
    model = tdam.create_model(name, num_classes=5).eval()
    outputs = tdam.forward_steps(model, torch.randn(1, 3, 64, 64))
    assert outputs.logits.shape == (1, 1, 5)
    assert outputs.classifier_weight.shape == (5, outputs.features.shape[2])
    assert outputs.features.ndim == 5
    assert tdam.num_steps(model) == 1
    images = torch.randn(2, 3, 64, 64)
    assert_close(tdam.at_step(model, 1)(images), model(images))


def test_networks_without_class_maps_are_refused() -> None:
    with pytest.raises(UserError, match="class activation maps need a CNN"):
        tdam.forward_steps(timm.create_model("vit_tiny_patch16_224", img_size=32).eval(), torch.randn(1, 3, 32, 32))
    with pytest.raises(UserError, match="no classifier"):
        tdam.forward_steps(tdam.create_model("resnet_mini", num_classes=0).eval(), IMAGES)


def test_steps_that_do_not_exist() -> None:
    model = small(steps=2)
    for t in (0, 3):
        with pytest.raises(UserError, match=f"no step {t}; .* has steps 1 to 2"):
            tdam.at_step(model, t)
    with pytest.raises(UserError, match="unknown scope 'first'; valid: last, all"):
        tdam.forward_steps(model, IMAGES, scope="first")

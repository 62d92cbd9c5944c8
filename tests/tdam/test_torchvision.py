from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from tdam_families import assert_close, images, trained
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

import tdam
from tdam.errors import UserError
from tdam.feedback import FeedbackBlock

NETWORKS: dict[str, dict[str, Any]] = {
    "BasicBlock": {"block": BasicBlock, "layers": (1, 1, 2, 2)},
    "Bottleneck": {"block": Bottleneck, "layers": (1, 1, 1, 2), "width_per_group": 16},
    "ResNeXt": {"block": Bottleneck, "layers": (1, 1, 1, 1), "groups": 4, "width_per_group": 8},
}


def plain(name: str) -> nn.Module:
    torch.manual_seed(0)
    with torch.no_grad():
        return trained(ResNet(num_classes=5, **NETWORKS[name]))


@pytest.mark.parametrize("distance", [0, 1, 2])
@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_a_pretrained_network_starts_as_good_as_it_was(name: str, distance: int) -> None:
    network = plain(name)
    expected = network(images(2, 64, 80))
    weight = network.layer4[0].conv1.weight
    model = tdam.add_feedback(network, tdam.FeedbackOptions(steps=3, distance=distance))
    assert model is network
    assert model.layer4[0].conv1.weight is weight
    assert model.feedback.init == "identity"
    for logits in tdam.forward_steps(model, images(2, 64, 80), "all").logits:
        assert_close(logits, expected, 2e-5)


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_step_one_is_the_plain_network_and_steps_at_once_equal_single_ones(name: str) -> None:
    network = plain(name)
    expected = network(images())
    model = tdam.add_feedback(network, tdam.FeedbackOptions(steps=3, init="random"))
    together = tdam.forward_steps(model, images(), "all")
    assert torch.equal(tdam.at_step(model, 1, "all")(images()), expected)
    for t in (1, 2, 3):
        assert_close(together.logits[t - 1], tdam.at_step(model, t, "all")(images()))
    assert_close(together.logits[2], model(images()))
    means = together.features[-1].mean((2, 3)) @ together.classifier_weight.T + model.fc.bias
    assert_close(means, together.logits[2])
    assert not torch.allclose(together.logits[0], together.logits[2])


@torch.no_grad()
def test_it_is_the_network_that_timm_makes_of_the_same_weights() -> None:
    theirs = plain("BasicBlock")
    ours = timm.create_model("resnet18", num_classes=5, layers=(1, 1, 2, 2)).eval()
    ours.load_state_dict(theirs.state_dict())
    options = tdam.FeedbackOptions(steps=2, distance=2, init="random")
    for network in (theirs, ours):
        torch.manual_seed(1)
        tdam.add_feedback(network, options)
    assert theirs.state_dict().keys() == ours.state_dict().keys()
    assert_close(theirs(images()), ours(images()), 1e-6)


def test_weights_of_another_file_load_and_learn(tmp_path: Path) -> None:
    model = tdam.add_feedback(plain("BasicBlock"))
    tdam.save_checkpoint(model, tmp_path / "own.safetensors", {})
    other = tdam.add_feedback(ResNet(num_classes=5, **NETWORKS["BasicBlock"]))
    assert tdam.load_checkpoint(other, tmp_path / "own.safetensors").initialised == ()
    torch.testing.assert_close(other.eval()(images()), model(images()))
    torch.save(torchvision.models.resnet18(num_classes=5).state_dict(), tmp_path / "plain.pth")
    fresh = tdam.add_feedback(torchvision.models.resnet18(num_classes=5))
    assert tdam.load_checkpoint(fresh, tmp_path / "plain.pth").initialised
    fresh.train()(images()).sum().backward()
    blocks = [module for module in fresh.modules() if isinstance(module, FeedbackBlock)]
    assert len(blocks) == 4
    assert all(block.attention.expand.weight.grad.any() for block in blocks)


def test_what_cannot_carry_feedback_says_so() -> None:
    class Reordered(ResNet):
        pass

    with pytest.raises(UserError, match=r"a Reordered, a subclass of torchvision\.models\.resnet\.ResNet"):
        tdam.add_feedback(Reordered(BasicBlock, [1, 1, 1, 1]))
    with pytest.raises(UserError, match=r"DenseNet of torchvision; families: .*ConvNeXt of timm.*register_family"):
        tdam.add_feedback(torchvision.models.densenet121(num_classes=2))
    with pytest.raises(UserError, match="already"):
        tdam.add_feedback(tdam.add_feedback(plain("BasicBlock")))

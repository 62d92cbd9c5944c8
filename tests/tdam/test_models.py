from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from tdam_families import assert_close, images, trained
from timm.models.resnet import ResNet
from torch import nn

import tdam
from tdam.errors import CheckpointError, UnknownNameError, UserError
from tdam.feedback import FeedbackBlock


def test_names_are_timms() -> None:
    assert {"resnet18_tdam", "resnet34_tdam", "resnet50_tdam", "resnet101_tdam", "resnet_mini_tdam"} <= set(
        timm.list_models("*_tdam")
    )
    model = timm.create_model("resnet_mini_tdam", num_classes=3, steps=3, drop_path_rate=0.1)
    assert isinstance(model, ResNet)
    assert tdam.num_steps(model) == 3
    assert timm.data.resolve_data_config(model=model)["input_size"] == (3, 96, 96)


def test_published_defaults() -> None:
    with torch.device("meta"):
        r18, r50, r101 = (tdam.create_model(f"resnet{depth}_tdam") for depth in (18, 50, 101))
    assert (r18.feedback.steps, r18.feedback.distance, r18.feedback.attention) == (2, 2, "joint")
    assert (r50.feedback.steps, r50.feedback.distance, r50.feedback.attention) == (2, 1, "joint")
    chosen = [i for i, block in enumerate(r101.layer3) if isinstance(block, FeedbackBlock)]
    assert chosen == [0, 1, 2, 8, 13, 18, 22]


def test_blocks_are_chosen_by_stage_and_index() -> None:
    model = tdam.create_model("resnet_mini_tdam", layers=(1, 2, 2, 2), td_blocks={2: [1, 9], 4: "all", 1: []})
    chosen = [name for name, module in model.named_modules() if isinstance(module, FeedbackBlock)]
    assert chosen == ["layer2.1", "layer4.0", "layer4.1"]


def test_zero_init_is_of_the_last_step() -> None:
    """A new block is its shortcut, whatever the number of steps."""
    model = tdam.create_model("resnet_mini_tdam", steps=3)
    block = model.layer4[0]
    assert block.bn2.weight.all()
    assert block.bn2_1.weight.all()
    assert not block.bn2_2.weight.any()
    x = torch.randn(2, 48, 6, 6)
    torch.testing.assert_close(block(x), block.act2(block.downsample(x)))
    torch.nn.init.zeros_(block.bn2.weight)
    torch.nn.init.ones_(block.bn2_2.weight)
    model.init_weights()
    assert block.bn2.weight.all()
    assert not block.bn2_2.weight.any()
    kept = tdam.create_model("resnet_mini_tdam", zero_init_last=False).layer4[0]
    assert kept.bn2_1.weight.all()


@pytest.mark.parametrize("name", ["resnet_mini_tdam", "resnet18_tdam", "resnet50_tdam"])
@pytest.mark.parametrize("attention", ["joint", "top"])
def test_what_comes_from_the_top_learns_from_the_start(name: str, attention: str) -> None:
    """In a new network every weight on the way from the top map to the searchlight gets a gradient.

    After one step of training, as the last norm of the last step starts at zero and passes none before.
    """
    torch.manual_seed(0)
    model = tdam.create_model(name, num_classes=3, attention=attention, distance=1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    images = torch.randn(4, 3, 64, 64)
    for _ in range(2):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), torch.tensor([0, 1, 2, 0])).backward()
        optimizer.step()
    for block in (module for module in model.modules() if isinstance(module, FeedbackBlock)):
        last = block.segments()[-1].norms[-1]
        for weight in (block.attention.top_reduce.weight, block.norm_at(last, 0).weight):
            assert weight.grad is not None
            assert weight.grad.any()


def test_checkpoint_is_loaded(tmp_path: Path) -> None:
    source = tdam.create_model("resnet_mini_tdam")
    tdam.save_checkpoint(source, tmp_path / "x.safetensors", {})
    loaded = tdam.create_model("resnet_mini_tdam", checkpoint=tmp_path / "x.safetensors")
    assert torch.equal(loaded.fc.weight, source.fc.weight)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        tdam.create_model("resnet_mini_tdam", checkpoint=tmp_path / "y.safetensors")


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("resnet50_tdm", {}, UnknownNameError, "unknown model 'resnet50_tdm'; valid: resnet50_tdam"),
        ("resnet50_tdam.joint_t2_m2", {}, UnknownNameError, "valid: resnet50_tdam.joint_t2_m1"),
        ("resnet50", {"steps": 2}, UserError, "resnet50 is a plain network and takes no steps"),
        ("resnet_mini_tdam", {"depth": 2}, UserError, "does not take this option.*depth"),
        ("resnet_mini_tdam", {"distance": 3}, UserError, "distance 3 is more than .* choose 0 to 2"),
        ("resnet_mini_tdam", {"steps": 0}, UserError, "steps must be an integer of at least 1, not 0"),
        ("resnet_mini_tdam", {"steps": True}, UserError, "steps must be an integer"),
        ("resnet_mini_tdam", {"steps": 10**9}, UserError, "steps must be at most 64"),
        ("resnet_mini_tdam", {"order": "channel->spatial"}, UnknownNameError, "valid: channel_spatial"),
        ("resnet_mini_tdam", {"td_blocks": {5: "all"}}, UserError, "no stage 5; .* stages 1 to 4"),
        ("resnet_mini_tdam", {"td_blocks": {4: "al"}}, UserError, "block indices from 0, or 'all', not 'al'"),
        ("resnet_mini_tdam", {"td_blocks": {4: [3]}}, UserError, "stage 4 has blocks 0 to 0"),
        ("resnet_mini_tdam", {"td_blocks": [3, 4]}, UserError, "td_blocks must map"),
        ("resnet_mini_tdam", {"attention": "identity", "distance": 2}, UserError, "as many bottom as top channels"),
    ],
)
def test_errors_say_how_to_mend(name: str, options: dict, error: type[UserError], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        tdam.create_model(name, **options)
    assert "\n" not in str(caught.value)


def test_plain_networks_of_other_families_get_no_feedback() -> None:
    known = r"no feedback for a RegNet of timm; families: .*ResNet of timm, ResNet of torchvision"
    with pytest.raises(UserError, match=known):
        tdam.add_feedback(tdam.create_model("regnetx_002"), tdam.FeedbackOptions())
    with pytest.raises(UserError, match="already"):
        tdam.add_feedback(tdam.create_model("resnet_mini_tdam"), tdam.FeedbackOptions())


def test_add_feedback_keeps_a_networks_weights() -> None:
    model = tdam.create_model("resnet10t")
    weight = model.layer4[0].conv1.weight
    tdam.add_feedback(model, tdam.FeedbackOptions(steps=2))
    assert model.layer4[0].conv1.weight is weight
    assert isinstance(model.layer4[0], nn.Module)
    assert tdam.num_steps(model) == 2


def test_a_transformer_of_another_input_size_says_so_in_its_configuration():
    model = tdam.create_model("vit_tiny_patch16_224", num_classes=2, img_size=(32, 48), depth=1)
    assert timm.data.resolve_model_data_config(model)["input_size"] == (3, 32, 48)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "identity"),
        ({"init": "random"}, "random"),
        ({"attention": "mapping"}, "random"),
        ({"channel_gate": "none"}, "random"),
        ({"channel_gate": "none", "order": "parallel"}, "identity"),
        ({"step_norm": "none"}, "random"),
    ],
)
def test_feedback_on_weights_starts_as_the_plain_network_where_it_can(options: dict, expected: str) -> None:
    model = tdam.add_feedback(tdam.create_model("resnet_mini"), tdam.FeedbackOptions(**options))
    assert model.feedback.init == expected


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet_mini_tdam", {"zero_init_last": False}),
        ("convnext_tiny_tdam", {"dims": (16, 32, 48, 64), "depths": (1, 1, 1, 1), "ls_init_value": 0.5}),
        ("efficientnet_lite0_tdam", {}),
    ],
)
@torch.no_grad()
def test_a_plain_file_starts_every_step_as_the_plain_network(name: str, options: dict, tmp_path: Path) -> None:
    """Also where the attention carries a divisor (ConvNeXt), which the file of the trained network then holds."""
    plain = trained(tdam.create_model(name.removesuffix("_tdam"), num_classes=3, **options))
    expected = plain(images())
    torch.save(plain.state_dict(), tmp_path / "plain.pth")
    created = tdam.create_model(name, num_classes=3, checkpoint=tmp_path / "plain.pth", **options)
    assert created.feedback.init == "identity"
    for logits in tdam.forward_steps(created.eval(), images(), "all").logits:
        assert_close(logits, expected, 2e-5)

    for module in created.modules():
        if isinstance(module, FeedbackBlock):
            module.attention.expand.weight.normal_()
    config = {"model": name, "num_classes": 3, "model_args": options}
    tdam.save_checkpoint(created, tmp_path / "trained.safetensors", config)
    opened, _ = tdam.load_model(tmp_path / "trained.safetensors")
    torch.testing.assert_close(opened(images()), created(images()))
    assert not torch.allclose(opened(images()), expected, rtol=1e-3)

    kept_random = tdam.create_model(name, num_classes=3, init="random", checkpoint=tmp_path / "plain.pth", **options)
    assert kept_random.feedback.init == "random"
    last = tdam.forward_steps(kept_random.eval(), images(), "all").logits[-1]
    assert not torch.allclose(last, expected, rtol=1e-3)

from __future__ import annotations

import math

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

import tdam
import wsol
from tdam.errors import UnknownNameError, UserError
from wsol.methods import METHODS, create_method
from wsol.methods.acol import ACoL
from wsol.methods.adl import attention_dropout, default_positions
from wsol.methods.base import step_likeness
from wsol.methods.cutmix import CutMix
from wsol.methods.has import hide_squares
from wsol.methods.spg import SPG, UNSURE, confident_mask, default_layers, guided_loss

SMALL = {"acol": {"width": 16}, "bas": {"width": 16}}
FOR_TRANSFORMERS = ("ts-cam", "scm")


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  timm's Mixup draws from the global generator


def images_and_targets(batch=4, size=96):
    return torch.randn(batch, 3, size, size), torch.arange(batch) % 3


@pytest.mark.parametrize("model", ["resnet_mini", "resnet_mini_tdam"])
@pytest.mark.parametrize("name", [name for name in METHODS if name not in FOR_TRANSFORMERS])
def test_every_method_trains_every_parameter_and_gives_maps(name, model):
    method = create_method(name, tdam.create_model(model, num_classes=3), SMALL.get(name), label_smoothing=0.1)
    images, targets = images_and_targets()
    method.train()
    # Norms that begin at zero stop gradients on their way; give them their common value.
    for module in method.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    output = method(images, targets)
    output.loss.backward()
    assert output.logits.shape == (4, 3)
    without = [key for key, value in method.named_parameters() if value.requires_grad and value.grad is None]
    assert without == []
    cams = method.eval().class_activation_maps(images, targets)
    assert cams.maps.shape == (tdam.num_steps(method.network), 4, 12, 12)
    assert torch.equal(cams.class_ids, targets.expand(len(cams.maps), 4))


@pytest.mark.parametrize("name", [name for name in METHODS if name not in FOR_TRANSFORMERS])
def test_a_network_made_from_timms_class_is_taken_as_one_from_its_registry(name):
    network = timm.models.resnet.ResNet(timm.models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=3, channels=(8,) * 4)
    assert not hasattr(network, "pretrained_cfg")
    method = create_method(name, network, SMALL.get(name))
    images, targets = images_and_targets()
    method(images, targets).loss.backward()
    maps = method.eval().class_activation_maps(images, targets).maps
    assert maps.shape[:2] == (1, 4)
    torch.testing.assert_close(wsol.class_activation_maps(method.deployed, images, targets).maps, maps)


def test_unknown_methods_and_hyper_parameters_are_named():
    network = tdam.create_model("resnet_mini", num_classes=3)
    with pytest.raises(UnknownNameError, match="unknown method 'hass'; valid: has"):
        create_method("hass", network)
    with pytest.raises(UnknownNameError, match="unknown hyper-parameter of method has 'grid'; valid: grid_size"):
        create_method("has", network, {"grid": 4})


def test_hidden_squares_are_whole_squares_of_each_image_alone():
    images = torch.rand(64, 3, 10, 13) + 1
    hidden = hide_squares(images, 4, 0.3)
    patterns = set()
    dropped = total = 0
    for image, result in zip(images, hidden, strict=True):
        pattern = []
        for top in range(0, 10, 4):
            for left in range(0, 13, 4):
                before, after = (picture[:, top : top + 4, left : left + 4] for picture in (image, result))
                pattern.append(bool((after == 0).all()))
                assert pattern[-1] or torch.equal(before, after)
        patterns.add(tuple(pattern))
        dropped += sum(pattern)
        total += len(pattern)
    assert len(patterns) > 32
    assert abs(dropped / total - 0.3) < 4 * math.sqrt(0.3 * 0.7 / total)
    assert torch.equal(hide_squares(images, 4, 0.0), images)
    assert not hide_squares(images, 4, 1.0).any()


class MeanColour(nn.Module):
    """Logits are the mean of each channel, so a loss can be worked out by hand."""

    num_classes = 3

    def forward(self, images):
        return images.mean((2, 3))


def test_cutmix_weighs_labels_by_the_area_of_the_pasted_box():
    method = CutMix(MeanColour(), label_smoothing=0.1)
    images = torch.rand(5, 3, 16, 24) + torch.arange(5.0).view(5, 1, 1, 1)
    targets = torch.tensor([0, 1, 2, 0, 1])
    seen = []
    method.network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    original = images.clone()
    output = method(images, targets)
    assert torch.equal(images, original)
    (mixed,) = seen
    pasted = (mixed != images).any(1).any(0)
    rows, columns = pasted.any(1).nonzero().flatten(), pasted.any(0).nonzero().flatten()
    row, column = int(rows[0]), int(columns[0])
    partner = torch.tensor([int(mixed[i, 0, row, column]) for i in range(5)])
    assert sorted(partner.tolist()) == list(range(5))
    assert torch.equal(mixed, torch.where(pasted, images[partner], images))
    area = len(rows) * len(columns)
    assert 0 < area < 384
    assert int(pasted.sum()) == area
    kept = 1 - area / 384
    logits = mixed.mean((2, 3))
    own, other = (F.cross_entropy(logits, ids, label_smoothing=0.1) for ids in (targets, targets[partner]))
    torch.testing.assert_close(output.loss, kept * own + (1 - kept) * other)


def test_a_cutmix_that_is_not_drawn_changes_nothing():
    method = CutMix(MeanColour(), prob=0.0)
    images, targets = torch.rand(3, 3, 8, 8), torch.tensor([0, 1, 2])
    torch.testing.assert_close(method(images, targets).loss, F.cross_entropy(images.mean((2, 3)), targets))


def test_attention_dropout_is_the_papers_formula():
    features = torch.randn(3, 5, 4, 6)
    array = features.numpy().astype(np.float64)
    for drop_rate in (0.0, 1.0):
        result = attention_dropout(features, drop_rate, 0.8).numpy()
        for image in range(3):
            attention = array[image].mean(0)
            for row in range(4):
                for column in range(6):
                    factor = 1 / (1 + math.exp(-attention[row, column]))
                    if drop_rate == 1.0:
                        factor = float(attention[row, column] < 0.8 * attention.max())
                    np.testing.assert_allclose(
                        result[image, :, row, column], array[image, :, row, column] * factor, rtol=1e-5, atol=1e-6
                    )


def test_attention_dropout_chooses_at_the_stated_rate():
    features = torch.rand(1, 2, 3, 3)
    dropped = sum(bool((attention_dropout(features, 0.75, 0.9) == 0).any()) for _ in range(400))
    assert abs(dropped / 400 - 0.75) < 4 * math.sqrt(0.75 * 0.25 / 400)


def test_adl_acts_where_wsolevaluation_puts_it_and_only_in_training():
    network = timm.create_model("resnet50", num_classes=3)
    assert default_positions(network) == ("layer3.0", "layer4.0", "layer4.2")
    method = create_method("adl", tdam.create_model("resnet_mini", num_classes=3))
    images, targets = images_and_targets()
    method.eval()
    plain = method.network(images)
    torch.testing.assert_close(method(images, targets).logits, plain)
    for module in method.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    method.network.layer4[0].train()
    assert not torch.equal(method.network(images), plain)


def test_adl_refuses_a_position_that_is_not_there():
    with pytest.raises(UnknownNameError, match="unknown module of ResNetMini 'layer9'"):
        create_method("adl", tdam.create_model("resnet_mini", num_classes=3), {"positions": ["layer9"]})


def test_acol_erases_what_head_a_attends_to_and_joins_both_maps():
    method = ACoL(tdam.create_model("resnet_mini", num_classes=3), threshold=0.6, width=8).eval()
    images, targets = images_and_targets(2)
    features = method.network.forward_features(images)
    loss, expected = 0.0, []
    for image in range(2):
        label = int(targets[image])
        maps_a = method.head_a(features[image : image + 1])
        own = maps_a[0, label].detach()
        attention = (own - own.min()) / (own.max() - own.min())
        erased = features[image : image + 1].clone()
        for row in range(12):
            for column in range(12):
                if attention[row, column] >= 0.6:
                    erased[0, :, row, column] = 0
        maps_b = method.head_b(erased)
        other = maps_b[0, label].detach()
        other = (other - other.min()) / (other.max() - other.min())
        expected.append(torch.maximum(attention, other))
        for maps in (maps_a, maps_b):
            loss = loss + F.cross_entropy(maps.mean((2, 3)), targets[image : image + 1]) / 2
    torch.testing.assert_close(method(images, targets).loss, loss)
    cams = method.class_activation_maps(images, targets)
    torch.testing.assert_close(cams.maps[0], torch.stack(expected))
    torch.testing.assert_close(cams.logits[0], method(images, targets).logits)


def test_acol_comes_back_from_its_checkpoint_and_is_opened_as_any_network(tmp_path):
    method = ACoL(tdam.create_model("resnet_mini_tdam", num_classes=3), width=8).eval()
    config = {
        "model": "resnet_mini_tdam",
        "num_classes": 3,
        "model_args": {},
        "method": "acol",
        "trained": True,
        "training": {"method_args": {"width": 8}},
    }
    tdam.save_checkpoint(method.deployed, tmp_path / "acol.safetensors", config)
    opened = wsol.open_trained("resnet_mini_tdam", checkpoint=tmp_path / "acol.safetensors", num_classes=3)
    images, targets = images_and_targets(2)
    for classes in (targets, None):
        expected = method.class_activation_maps(images, classes)
        cams = wsol.class_activation_maps(opened.model, images, classes)
        assert cams.maps.shape == (2, 2, 12, 12)
        assert torch.equal(cams.maps, expected.maps)
        assert torch.equal(cams.class_ids, expected.class_ids)


def test_confident_pixels_by_the_rules_of_wsolevaluation():
    guides = torch.rand(3, 9, 11)
    guides[1] *= 0.6
    mask = confident_mask(guides, 0.7, 0.2)
    for image in range(3):
        guide = guides[image].numpy()
        high = 0.7 if (guide > 0.7).sum() >= 30 else 0.7 * guide.max()
        for row in range(9):
            for column in range(11):
                value = UNSURE
                if guide[row, column] > high:
                    value = 1.0
                if guide[row, column] < 0.2:
                    value = 0.0
                assert mask[image, row, column] == value
    assert (guides[0] > 0.7).sum() < 30 or (guides[2] > 0.7).sum() < 30


def test_guided_loss_is_the_mean_over_confident_pixels():
    logits, guide = torch.randn(2, 8, 8), torch.rand(2, 8, 8)
    mask = confident_mask(guide, 0.6, 0.3)
    terms = []
    for logit, value in zip(logits.flatten().tolist(), mask.flatten().tolist(), strict=True):
        if value != UNSURE:
            probability = 1 / (1 + math.exp(-logit))
            terms.append(-math.log(probability if value == 1.0 else 1 - probability))
    assert 0 < len(terms) < 128
    assert guided_loss(logits, guide, 0.6, 0.3).item() == pytest.approx(sum(terms) / len(terms), rel=1e-5)


def test_spg_attaches_where_wsolevaluation_does_and_lets_no_gradient_into_guides():
    assert default_layers(timm.create_model("resnet50", num_classes=3)) == ("layer3.0", "layer3")
    method = SPG(tdam.create_model("resnet_mini", num_classes=3))
    images, targets = images_and_targets()
    method.train()
    method(images, targets).loss.backward()
    loss = method.criterion(method.network(images), targets)
    # The classifier's map guides B2 without being changed by it: only the cross-entropy reaches the classifier.
    with_heads = method.network.fc.weight.grad.clone()
    method.zero_grad()
    loss.backward()
    torch.testing.assert_close(with_heads, method.network.fc.weight.grad, atol=1e-6, rtol=1e-4)


def test_step_losses_are_the_weighted_losses_of_the_network_stopped_at_each_step():
    network = tdam.create_model("resnet_mini_tdam", num_classes=3, steps=3, distance=1)
    method = create_method("cam", network, label_smoothing=0.1, step_loss_weights=(0.5, 0.0, 2.0)).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
    images, targets = images_and_targets()
    losses = [F.cross_entropy(tdam.at_step(network, step)(images), targets, label_smoothing=0.1) for step in (1, 2, 3)]
    output = method(images, targets)
    torch.testing.assert_close(output.loss, 0.5 * losses[0] + 2.0 * losses[2])
    torch.testing.assert_close(output.logits, network(images))


def test_likeness_of_maps_is_one_for_equal_and_zero_for_opposed_ones():
    first = torch.rand(1, 4, 5, 5)
    assert step_likeness(torch.cat([first, 3 * first + 2])).item() == pytest.approx(1.0, abs=1e-5)
    assert step_likeness(torch.cat([first, -first])).item() == 0.0
    second = torch.rand(1, 4, 5, 5)
    expected = [
        max(np.corrcoef(first[0, image].flatten(), second[0, image].flatten())[0, 1], 0.0) for image in range(4)
    ]
    assert step_likeness(torch.cat([first, second])).item() == pytest.approx(np.mean(expected), abs=1e-5)


def test_the_diversity_penalty_is_the_likeness_of_the_labels_maps():
    network = tdam.create_model("resnet_mini_tdam", num_classes=3, distance=1)
    images, targets = images_and_targets()
    plain = create_method("cam", network).eval()
    diverse = create_method("cam", network, step_diversity=0.3).eval()
    likeness = step_likeness(plain.class_activation_maps(images, targets).maps)
    expected = plain(images, targets).loss + 0.3 * likeness
    torch.testing.assert_close(diverse(images, targets).loss, expected)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("resnet_mini_tdam", {"step_loss_weights": (1.0,)}, "needs 2 numbers, one per step, got 1"),
        ("resnet_mini", {"step_diversity": 0.1}, "needs a network of two or more steps"),
    ],
)
def test_supervision_of_steps_that_are_not_there_is_refused(model, options, message):
    with pytest.raises(UserError, match=message):
        create_method("cam", tdam.create_model(model, num_classes=3), **options)


@pytest.mark.parametrize("name", ["acol", "spg"])
def test_methods_with_heads_of_their_own_refuse_supervision_of_steps(name):
    with pytest.raises(UserError, match="step_loss_weights"):
        create_method(name, tdam.create_model("resnet_mini_tdam", num_classes=3), step_loss_weights=(1.0, 1.0))

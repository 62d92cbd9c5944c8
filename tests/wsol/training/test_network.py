from __future__ import annotations

import pytest
import timm
import torch
from tiny_training import tiny_config

import tdam
from tdam.errors import CheckpointError, UnknownNameError, UsageError
from wsol.training.network import create_network, freeze_modules, start_from


def test_a_network_starts_from_a_file_with_other_classes(tmp_path):
    source = tdam.create_model("resnet_mini_tdam", num_classes=5)
    tdam.save_checkpoint(source, tmp_path / "source.safetensors", {})
    network = create_network(tiny_config(init=str(tmp_path / "source.safetensors")), num_classes=3)
    state, expected = network.state_dict(), source.state_dict()
    for name, tensor in state.items():
        if name.startswith("fc."):
            assert tensor.shape[0] == 3
        else:
            assert torch.equal(tensor, expected[name]), name


def test_a_classifier_of_the_same_classes_is_kept(tmp_path):
    source = tdam.create_model("resnet_mini_tdam", num_classes=3)
    tdam.save_checkpoint(source, tmp_path / "source.safetensors", {})
    network = create_network(tiny_config(init=str(tmp_path / "source.safetensors")), num_classes=3)
    assert torch.equal(network.fc.weight, source.fc.weight)


def test_a_plain_backbone_fills_a_network_with_feedback():
    plain = timm.create_model("resnet_mini", num_classes=7)
    network = tdam.create_model("resnet_mini_tdam", num_classes=3)
    start_from(network, plain.state_dict())
    assert torch.equal(network.layer4[0].conv2.weight, plain.layer4[0].conv2.weight)


def test_a_file_of_another_network_is_refused(tmp_path):
    other = timm.create_model("resnet18", num_classes=3)
    with pytest.raises(CheckpointError, match="does not fit"):
        start_from(tdam.create_model("resnet_mini", num_classes=3), other.state_dict())


def test_init_backbone_is_for_networks_with_feedback():
    with pytest.raises(UsageError, match="resnet_mini takes init pretrained"):
        create_network(tiny_config(model="resnet_mini", init="backbone"), num_classes=3)


def test_freezing_a_module_that_is_not_there_names_the_nearest():
    with pytest.raises(UnknownNameError, match="unknown module to freeze 'layer5'; valid: layer"):
        freeze_modules(tdam.create_model("resnet_mini"), ["layer5"])

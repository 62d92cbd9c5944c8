"""Trained weights are found in the stated order; random ones never pass as trained."""

from __future__ import annotations

import pytest
import safetensors.torch
import timm
import torch
from tiny_dataset import write_checkpoint

import wsol
from tdam.errors import CheckpointError, UnknownNameError, UserError
from wsol.opening import bundled_datasets, find_checkpoint


def test_training_output_comes_before_bundled_weights(tmp_path):
    path, source = find_checkpoint("resnet_mini_tdam", "minibirds", runs=tmp_path)
    assert "bundled" in source
    trained = tmp_path / "minibirds" / "resnet_mini_tdam"
    trained.mkdir(parents=True)
    own = write_checkpoint(trained / "best.safetensors")
    assert find_checkpoint("resnet_mini_tdam", "minibirds", runs=tmp_path) == (own, "trained here on minibirds")
    assert path != own


def test_all_bundled_networks_open_and_are_small(tmp_path):
    assert bundled_datasets() == ["minibirds"]
    for name in ("resnet_mini", "resnet_mini_tdam", "resnet_mini_tdam2"):
        path, _ = find_checkpoint(name, "minibirds", runs=tmp_path)
        assert path.stat().st_size < 4_000_000
        network = wsol.open_trained(name, dataset="minibirds", num_classes=12, runs=tmp_path)
        assert not network.model.training
        assert len(network.class_names) == network.num_classes == 12
        assert network.input_size == (96, 96)


@pytest.mark.parametrize("name", ["resnet_mini_tdam", "resnet_mini_tdam2"])
def test_what_comes_from_the_top_changes_the_bundled_networks(name, tmp_path):
    """The step before the last has an output, and the searchlight reads it."""
    model = wsol.open_trained(name, dataset="minibirds", runs=tmp_path).model
    images = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    for stage in (model.layer3, model.layer4):
        assert stage[0].bn2.weight.abs().max() > 0.01
        before = model(images)
        with torch.no_grad():
            stage[0].attention.top_reduce.weight.zero_()
        assert not torch.allclose(model(images), before, atol=0.01)


def test_without_weights_the_training_command_is_named(tmp_path):
    with pytest.raises(UserError, match="wsol-train --model resnet50_tdam --dataset cub"):
        wsol.open_trained("resnet50_tdam", dataset="cub", runs=tmp_path)


def test_weights_of_another_number_of_classes_are_refused(tmp_path):
    checkpoint = write_checkpoint(tmp_path / "six.safetensors")
    with pytest.raises(CheckpointError, match="6 classes, the dataset has 200"):
        wsol.open_trained("resnet_mini_tdam", checkpoint=checkpoint, num_classes=200)


def test_an_unknown_network_lists_the_nearest(tmp_path):
    with pytest.raises(UnknownNameError, match="valid: resnet_mini_tdam"):
        wsol.open_trained("resnet_mini_tdma")


def test_a_plain_state_dict_of_timm_is_loaded(tmp_path):
    torch.manual_seed(0)
    model = timm.create_model("resnet_mini", num_classes=6).eval()
    torch.save(model.state_dict(), tmp_path / "timm.pth")
    network = wsol.open_trained("resnet_mini", checkpoint=tmp_path / "timm.pth", num_classes=6)
    images = torch.randn(2, 3, 96, 96)
    torch.testing.assert_close(network.model(images), model(images))
    assert network.class_names is None


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"nothing\.safetensors"):
        wsol.open_trained("resnet_mini", checkpoint=tmp_path / "nothing.safetensors")


def test_a_safetensors_file_of_timm_is_loaded(tmp_path):
    plain = timm.create_model("resnet_mini", num_classes=6)
    safetensors.torch.save_file(plain.state_dict(), tmp_path / "model.safetensors")
    network = wsol.open_trained("resnet_mini", checkpoint=tmp_path / "model.safetensors", num_classes=6)
    assert torch.equal(network.model.fc.weight, plain.fc.weight)


def test_untrained_parts_are_never_judged(tmp_path):
    torch.save(timm.create_model("resnet_mini", num_classes=6).state_dict(), tmp_path / "plain.pth")
    with pytest.raises(CheckpointError, match="would be untrained"):
        wsol.open_trained("resnet_mini_tdam", checkpoint=tmp_path / "plain.pth", num_classes=6)
    with pytest.raises(UserError, match="convolutions alone"):
        wsol.open_trained("vgg16_gap", dataset="imagenet", runs=tmp_path)


def test_without_a_dataset_a_file_is_opened_with_the_classes_it_has(tmp_path):
    plain = timm.create_model("resnet_mini", num_classes=3)
    torch.save({"model_state_dict": plain.state_dict()}, tmp_path / "three.pth")
    assert wsol.open_trained("resnet_mini", checkpoint=tmp_path / "three.pth").num_classes == 3
    with pytest.raises(CheckpointError, match="it has 3 classes, the network 2"):
        wsol.open_trained("resnet_mini", checkpoint=tmp_path / "three.pth", num_classes=2)

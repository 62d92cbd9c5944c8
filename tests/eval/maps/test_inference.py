"""Faster forms of inference compute what the plain one does, and fail with one line."""

from __future__ import annotations

import dataclasses
import functools

import pytest
import torch
from tiny_dataset import write_checkpoint, write_dataset
from torch import nn

import tdam
import wsol
from eval.evaluation import evaluate
from eval.judging.process import Process
from eval.maps.inference import compiled_steps, prepare
from eval.options import EvaluationOptions
from tdam.errors import UserError
from tdam.files import tensors_sha256


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return wsol.open_trained(
        "resnet_mini_tdam", checkpoint=write_checkpoint(tmp_path_factory.mktemp("w") / "w.safetensors")
    )


IMAGES = torch.randn(3, 3, 96, 96, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_prepared_networks_compute_the_same_and_leave_values_as_they_were(network):
    before = {key: value.clone() for key, value in network.model.state_dict().items()}
    expected = tdam.forward_steps(network.model, IMAGES)
    prepared = prepare(network, fold_norms=True, channels_last=True).model
    assert not any(isinstance(module, nn.BatchNorm2d) for module in prepared.modules())
    assert prepared.layer1[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(tdam.forward_steps(prepared, IMAGES).features, expected.features, rtol=1e-3, atol=1e-3)
    laid_out = prepare(network, fold_norms=False, channels_last=True).model
    assert laid_out.layer1[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(tdam.forward_steps(laid_out, IMAGES).features, expected.features, rtol=1e-4, atol=1e-4)
    assert all(torch.equal(value, before[key]) for key, value in network.model.state_dict().items())
    assert tensors_sha256(network.model.state_dict()) == tensors_sha256(before)


class Flattening(nn.Module):
    """Takes its map apart by `view`, which another layout does not allow; its first layer has five axes."""

    def __init__(self) -> None:
        super().__init__()
        self.volume = nn.Conv3d(1, 1, (3, 1, 1))
        self.body = nn.Conv2d(1, 4, 3, stride=16)
        self.head = nn.Linear(4 * 6 * 6, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.body(self.volume(images[:, None])[:, :, 0])
        return self.head(maps.view(len(maps), -1))


def test_a_network_that_another_layout_breaks_keeps_its_own(network):
    own = Flattening().eval()
    prepared = prepare(dataclasses.replace(network, model=own), fold_norms=False, channels_last=True).model
    assert prepared.body.weight.is_contiguous()
    assert prepared(IMAGES).shape == (3, 3)


@torch.inference_mode()
def test_a_compiled_network_computes_the_same_for_all_batch_sizes(network, monkeypatch):
    # The default backend compiles C++ for a minute; this one takes the same graph.
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager", fullgraph=True))
    forward = compiled_steps(network.model)
    for count in (3, 2):
        expected = tdam.forward_steps(network.model, IMAGES[:count])
        torch.testing.assert_close(forward(IMAGES[:count]).logits, expected.logits, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(forward(IMAGES[:count]).features, expected.features, rtol=1e-4, atol=1e-4)
    torch._dynamo.reset()


def test_a_compiler_that_fails_is_one_line(network, monkeypatch):
    def broken(graph, inputs):
        raise RuntimeError("no C++ compiler\nlong trace")

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=broken))
    with pytest.raises(UserError, match=r"torch\.compile failed .*no C\+\+ compiler"), torch.inference_mode():
        compiled_steps(network.model)(IMAGES)
    torch._dynamo.reset()


def test_networks_with_maps_of_their_own_are_not_compiled(network):
    class OwnMaps(nn.Module):
        def class_activation_maps(self, images: torch.Tensor) -> None: ...

    with pytest.raises(UserError, match="leave --compile out"):
        compiled_steps(OwnMaps())


def test_settings_stand_in_the_results_and_hardly_move_them(tmp_path):
    dataset, checkpoint = write_dataset(tmp_path / "things"), write_checkpoint(tmp_path / "weights.safetensors")
    options = {"dataset": str(dataset), "model": "resnet_mini_tdam", "checkpoint": checkpoint, "bootstrap": 0}
    plain, fast = (
        evaluate(EvaluationOptions(**options, **setting), Process(), torch.device("cpu"))
        for setting in ({"channels_last": False}, {"fold_norms": True})
    )
    assert fast["network"]["fold_norms"]
    assert fast["network"]["channels_last"]
    assert not fast["network"]["compile"]
    assert fast["network"]["weights_sha256"] == plain["network"]["weights_sha256"]
    assert fast["metrics"]["top1_cls"] == plain["metrics"]["top1_cls"]
    assert fast["metrics"]["max_box_acc_v2"] == pytest.approx(plain["metrics"]["max_box_acc_v2"], abs=100 / 7)

"""Names that open no network say how what was meant is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tdam.errors import UserError
from wsol.opening import open_network
from wsol.opening.architectures import build


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("./nets.py:build", "write nets:build$"),
        ("nets/mine.py:build", "write nets.mine:build$"),
        ("nets:", "write package.module:function"),
        (":build", "write package.module:function"),
        ("microsoft/resnet-50", "a network on the hub is named hf-hub:microsoft/resnet-50"),
    ],
)
def test_misspelt_kinds_of_names(name, message):
    for open_it in (open_network, lambda model: build(model, 3)):
        with pytest.raises(UserError, match=message):
            open_it(name)


def test_weights_that_are_not_published_are_not_to_be_trained():
    with pytest.raises(UserError, match=r"unknown model 'resnet18\.nope'; valid: resnet18\.a1_in1k"):
        open_network("resnet18.nope")


def test_an_empty_name():
    with pytest.raises(UserError, match="--model is empty"):
        open_network("")


def test_untrained_weights_of_torchvision_are_refused():
    with pytest.raises(UserError, match="weights=None leaves it untrained"):
        open_network("torchvision/resnet18", model_args={"weights": None})


def test_a_network_in_half_precision_is_trained_in_float32(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    layers = "nn.Conv2d(3, 4, 3, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)"
    Path("half_nets.py").write_text(
        f"from torch import nn\n\ndef build():\n    return nn.Sequential({layers}).half()\n"
    )
    network = build("half_nets:build", 3)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert network(torch.zeros(1, 3, 8, 8)).shape == (1, 3)

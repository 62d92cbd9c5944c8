"""Files whose form is one project's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import tdam
from tdam.checkpoints import classes_of
from tdam.errors import CheckpointError


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_network_in_two_halves_whose_classifier_is_a_convolution(prefix: str, tmp_path: Path) -> None:
    """BagCAMs' and DA-WSOL's files."""
    source, target = (tdam.create_model("resnet_mini", num_classes=5).eval() for _ in range(2))
    state = {f"{prefix}{key}": value for key, value in source.state_dict().items()}
    classifier = {key: state.pop(key) for key in (f"{prefix}fc.weight", f"{prefix}fc.bias")}
    classifier[f"{prefix}fc.weight"] = classifier[f"{prefix}fc.weight"][:, :, None, None]
    path = tmp_path / "last_checkpoint.pth.tar"
    torch.save({"epoch": 50, "state_dict_extractor": state, "state_dict_classifier": classifier}, path)
    assert classes_of(path, target) == 5
    tdam.load_checkpoint(target, path)
    images = torch.rand(2, 3, 48, 48)
    with torch.no_grad():
        assert torch.equal(target(images), source(images))
    with pytest.raises(CheckpointError, match=r"fc.weight \(5, \d+\) for \(6, \d+\).*it has 5 classes, the network 6"):
        tdam.load_checkpoint(tdam.create_model("resnet_mini", num_classes=6), path)

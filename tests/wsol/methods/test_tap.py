"""TAP as a whole network, in its authors' names, against the same layers written down plainly."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, relu

import tdam
import wsol
from wsol.methods import create_method, load_authors, method_of_authors
from wsol.opening.trained import open_trained

VGG16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512)


def authors_network(classes):
    """Layers under their names; numbers are torchvision's, without its last pooling."""
    layers, channels = [], 3
    for width in VGG16:
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()] if width else [nn.MaxPool2d(2)]
        channels = width or channels
    layers += [nn.Conv2d(512, 1024, 3, padding=1), nn.ReLU()]
    return nn.ModuleDict({"main_layers": nn.Sequential(*layers), "fc": nn.Linear(1024, classes)})


def pooled(features, threshold):
    rows = []
    for channels in features:
        kept = [one[(one > threshold * one.max()) & (one > 0)] for one in channels]
        rows.append(torch.stack([values.sum() / max(len(values), 1) for values in kept]))
    return torch.stack(rows)


@pytest.fixture
def theirs():
    torch.manual_seed(0)
    network = authors_network(3)
    for parameter in network.parameters():
        nn.init.kaiming_normal_(parameter) if parameter.ndim > 1 else nn.init.normal_(parameter, std=0.1)
    return network


def test_a_file_of_the_authors_gives_their_logits_and_maps(theirs, tmp_path):
    torch.save({"state_dict": {f"module.{k}": v for k, v in theirs.state_dict().items()}}, tmp_path / "tap.pth")
    opened = open_trained("vgg16_gap", checkpoint=tmp_path / "tap.pth")
    assert "tap" in opened.source
    pictures, classes = torch.randn(2, 3, 32, 48), torch.tensor([2, 0])
    with torch.no_grad():
        features = theirs["main_layers"](pictures)
        logits = theirs["fc"](pooled(features, 0.1))
    weight = theirs["fc"].weight.detach()
    for method, weights in (("cam", weight), ("nwc", relu(weight))):
        cams = wsol.class_activation_maps(opened.model, pictures, classes, method=method)
        torch.testing.assert_close(cams.logits[0], logits, atol=1e-4, rtol=1e-4)
        maps = (weights[classes][:, :, None, None] * features).sum(1)
        torch.testing.assert_close(cams.maps[0], maps, atol=1e-3, rtol=1e-4)


def test_gradients_of_the_backbone_are_a_tenth(theirs):
    theirs.double()
    assert method_of_authors(theirs.state_dict()) == "tap"
    options = {"threshold": 0.3, "width": 1024, "backbone_gradient": 0.1}
    method = create_method("tap", tdam.create_model("vgg16_gap", num_classes=3), options).double()
    load_authors(method, theirs.state_dict(), "tap.pth")
    pictures, targets = torch.randn(2, 3, 32, 32, dtype=torch.float64), torch.tensor([1, 2])
    loss = cross_entropy(theirs["fc"](pooled(theirs["main_layers"](pictures), 0.3)), targets)
    loss.backward()
    output = method(pictures, targets)
    output.loss.backward()
    torch.testing.assert_close(output.loss, loss)
    found = dict(method.named_parameters())
    gradients = method.in_our_names({key: value.grad for key, value in theirs.named_parameters()})
    for key, gradient in gradients.items():
        factor = 0.1 if key.startswith("network.") else 1.0
        torch.testing.assert_close(found[key].grad, factor * gradient)

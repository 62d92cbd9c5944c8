"""BagCAMs and CAM without negative weights, against their authors' code in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from method_goldens import arrays, assert_close, configuration, images, labels, state
from torch import nn

import tdam
import wsol
from tdam.errors import UserError
from wsol.maps import find_method
from wsol.methods import create_method
from wsol.networks import Reading, structure_of
from wsol.scoremap import score_maps


def test_bag_cams_of_every_layer_are_those_of_the_authors():
    name = "bagcams_resnet50"
    expected = arrays(name)
    strides = {"layer3": 1, "layer4": 1}
    network = tdam.create_model("resnet50", num_classes=configuration(name)["num_classes"], strides=strides)
    ours = {key.partition(".")[2]: value for key, value in state(name).items()}
    ours["fc.weight"] = ours["fc.weight"].flatten(1)
    network.double().eval().load_state_dict(ours)
    structure = structure_of(network, (3, 64, 64))
    for layer in ("layer2", "layer3", "layer4"):
        shown = score_maps(expected[f"{layer}/raw"][0], (64, 64), "bilinear")
        np.testing.assert_allclose(shown, expected[f"{layer}/map0"], atol=1e-5)
    # Image 0 has a negative logit, whose logarithm does not exist.
    assert expected["logits"][0, labels(name)[0]] < 0
    for layers in (["layer4"], ["layer3"], ["layer2"], []):
        forward = Reading(network, images(name), "last", True, layers, structure).at(1)
        maps = find_method("bagcams").maps(forward, labels(name))
        layer = layers[0] if layers else "layer3"
        assert_close(maps, expected[f"{layer}/raw"], what=f"map of {layer}")
        assert_close(forward.logits, expected["logits"])
    assert not any(module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize("model", ["resnet_mini", "resnet_mini_tdam"])
def test_bag_cams_leave_the_network_as_it_was_and_map_every_step(model):
    network = tdam.create_model(model, num_classes=3).eval()
    pictures = torch.randn(2, 3, 64, 96)
    before = network(pictures)
    cams = wsol.class_activation_maps(network, pictures, torch.tensor([0, 2]), method="bagcams")
    assert cams.maps.shape == (tdam.num_steps(network), 2, 8, 12)
    assert (cams.maps >= 0).all()
    assert torch.equal(network(pictures), before)


def test_negative_weights_are_left_out_of_the_map_and_not_of_the_logits():
    network = tdam.create_model("resnet_mini_tdam", num_classes=3).eval()
    pictures, classes = torch.randn(2, 3, 64, 96), torch.tensor([0, 2])
    outputs = tdam.forward_steps(network, pictures)
    cams = wsol.class_activation_maps(network, pictures, classes, method="nwc")
    weights = network.fc.weight.detach().numpy()
    for step in range(2):
        for image, label in enumerate(classes.tolist()):
            expected = np.tensordot(np.maximum(weights[label], 0), outputs.features[step, image].detach().numpy(), 1)
            np.testing.assert_allclose(cams.maps[step, image].numpy(), expected, atol=1e-5)
    torch.testing.assert_close(cams.logits, outputs.logits)


def test_thresholded_pooling_has_both_maps():
    expected = arrays("tap_01")
    method = create_method("tap", tdam.create_model("resnet_mini", num_classes=6)).eval()
    features, classes = torch.from_numpy(expected["features"]), labels("tap_01")
    method.network.fc = nn.Linear(features.shape[1], 6)
    from method_goldens import fill

    with torch.no_grad():
        method.network.fc.weight.copy_(fill("fc.weight", (6, features.shape[1])))
        method.network.fc.bias.copy_(fill("fc.bias", (6,)))
    method.network.forward_features = lambda images: features
    for name, golden in (("cam", "cam"), ("nwc", "cam_nwc")):
        cams = wsol.class_activation_maps(method, torch.zeros(2, 3, 96, 96), classes, method=name)
        for ours, theirs in zip(cams.maps[0].numpy(), expected[golden], strict=True):
            np.testing.assert_allclose(score_maps(ours, (28, 28)), score_maps(theirs, (28, 28)), atol=1e-4)
        np.testing.assert_allclose(cams.logits[0].detach().numpy(), expected["pred"], atol=1e-4)
    with pytest.raises(UserError, match="makes its maps itself"):
        wsol.class_activation_maps(method, torch.zeros(2, 3, 96, 96), classes, method="grad-cam")


def test_a_logit_of_exactly_zero_gives_an_empty_map():
    """As of a classifier that starts at zero: the logarithm's gradient does not exist there."""
    network = tdam.create_model("resnet_mini", num_classes=3).eval()
    nn.init.zeros_(network.fc.weight)
    nn.init.zeros_(network.fc.bias)
    cams = wsol.class_activation_maps(network, torch.rand(2, 3, 48, 64), method="bagcams")
    assert not cams.maps.any()

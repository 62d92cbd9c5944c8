"""Class activation maps against what they are defined by: pooled and with the bias added, they are the logits."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

import tdam
import wsol
from tdam.errors import UnknownNameError
from wsol.cam import maps_of_classes
from wsol.maps import find_method, map_methods
from wsol.methods import create_method


@pytest.fixture(scope="module", params=["resnet_mini", "resnet_mini_tdam", "mobilenetv3_small_050"])
def network(request):
    torch.manual_seed(0)
    model = tdam.create_model(request.param, num_classes=6).eval()
    for parameter in model.parameters():
        if parameter.ndim == 1:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    return model


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(0)
    model = tdam.create_model("resnet_mini_tdam", num_classes=6).eval()
    for parameter in model.parameters():
        if parameter.ndim == 1:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    return model


IMAGES = torch.randn(3, 3, 96, 96, generator=torch.Generator().manual_seed(0))
CLASSES = torch.tensor([5, 0, 2])


def test_the_mean_of_a_map_and_the_bias_are_the_logit(resnet):
    cams = wsol.class_activation_maps(resnet, IMAGES, CLASSES)
    logits = cams.logits.gather(-1, cams.class_ids[..., None])[..., 0]
    torch.testing.assert_close(cams.maps.mean(dim=(2, 3)) + resnet.fc.bias[CLASSES], logits)
    assert cams.maps.dtype == torch.float32
    assert not torch.equal(cams.maps[0], cams.maps[1]), "the steps of this network differ"


def test_maps_of_a_step_are_those_of_the_network_stopped_there(resnet):
    cams = wsol.class_activation_maps(resnet, IMAGES, CLASSES)
    for step in (1, 2):
        stopped = tdam.at_step(resnet, step)
        with torch.no_grad():
            features = stopped.forward_features(IMAGES)
        maps = (features * resnet.fc.weight[CLASSES][:, :, None, None]).sum(dim=1)
        torch.testing.assert_close(cams.maps[step - 1], maps, atol=1e-4, rtol=1e-4)


def test_without_classes_each_step_takes_its_own_prediction(network):
    cams = wsol.class_activation_maps(network, IMAGES)
    torch.testing.assert_close(cams.class_ids, cams.logits.argmax(dim=-1))
    again = wsol.class_activation_maps(network, IMAGES, cams.class_ids)
    torch.testing.assert_close(again.maps, cams.maps)
    assert cams.maps.shape[:2] == (tdam.num_steps(network), 3)


def test_one_forward_pass_gives_the_maps_of_several_classes(resnet):
    with torch.no_grad():
        outputs = tdam.forward_steps(resnet, IMAGES)
    for classes in (CLASSES, CLASSES.flip(0)):
        expected = wsol.class_activation_maps(resnet, IMAGES, classes)
        torch.testing.assert_close(maps_of_classes(outputs, classes).maps, expected.maps)


def test_maps_stay_float32_under_autocast(resnet):
    exact = wsol.class_activation_maps(resnet, IMAGES, CLASSES)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cams = wsol.class_activation_maps(resnet, IMAGES, CLASSES)
    assert cams.maps.dtype == torch.float32
    assert (cams.maps - exact.maps).abs().max() < 0.05 * exact.maps.abs().max()


@pytest.mark.parametrize(
    "class_ids", [torch.zeros(2).long(), torch.zeros(3), torch.tensor([0, 1, 6]), torch.tensor([-1, 0, 0])]
)
def test_classes_that_do_not_fit_are_refused(resnet, class_ids):
    with pytest.raises(ValueError, match="class_ids"):
        wsol.class_activation_maps(resnet, IMAGES, class_ids)
    with pytest.raises(ValueError, match="class_ids"):
        wsol.class_activation_maps(create_method("acol", copy.deepcopy(resnet)), IMAGES, class_ids)


@pytest.mark.parametrize("method", ["", "acol", "bas", "c2am", "tap"])
def test_classes_may_be_a_list_an_array_or_integers_of_any_width(resnet, method):
    network = create_method(method, copy.deepcopy(resnet)) if method else resnet
    expected = wsol.class_activation_maps(network, IMAGES, CLASSES)
    ids = CLASSES.tolist()
    for given in (ids, np.array(ids), CLASSES.to(torch.uint8), CLASSES.int(), CLASSES.expand(2, 3)):
        cams = wsol.class_activation_maps(network, IMAGES, given)
        assert torch.equal(cams.maps, expected.maps)
        assert torch.equal(cams.class_ids, CLASSES.expand(2, 3))


def test_an_unknown_method_lists_the_valid_ones(resnet):
    with pytest.raises(UnknownNameError, match="valid: grad-cam"):
        wsol.class_activation_maps(resnet, IMAGES, method="gradcam")


FOR_CNNS = [name for name in map_methods() if "attention" not in find_method(name).needs]


@pytest.mark.parametrize(
    "method", [method for method in FOR_CNNS if method not in ("cam", "ss-cam", "is-cam", "score-cam")]
)
def test_other_methods_give_a_map_of_every_step_and_leave_no_hooks(resnet, method):
    cams = wsol.class_activation_maps(resnet, IMAGES, CLASSES, method=method)
    assert cams.maps.shape == (2, 3, 12, 12)
    assert (cams.maps >= 0).all()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in resnet.modules())
    assert all(parameter.grad is None for parameter in resnet.parameters())


def test_grad_cam_of_a_pooled_linear_network_is_the_rectified_map(resnet):
    # Selvaraju et al. (ICCV 2017): for global average pooling and one linear layer Grad-CAM is CAM up to a factor.
    cam = wsol.class_activation_maps(resnet, IMAGES, CLASSES).maps.relu()
    grad_cam = wsol.class_activation_maps(resnet, IMAGES, CLASSES, method="grad-cam").maps
    torch.testing.assert_close(grad_cam * 12 * 12, cam, atol=1e-3, rtol=1e-3)


def test_frozen_networks_have_gradient_maps_too(resnet):
    expected = wsol.class_activation_maps(resnet, IMAGES, CLASSES, method="layer-cam")
    resnet.requires_grad_(False)
    frozen = wsol.class_activation_maps(resnet, IMAGES, CLASSES, method="layer-cam")
    resnet.requires_grad_(True)
    torch.testing.assert_close(frozen.maps, expected.maps)

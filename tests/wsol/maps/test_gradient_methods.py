"""The Grad-CAM family against torchcam, and against what theory says of it."""

from __future__ import annotations

import pytest
import torch
import torchvision

import tdam
import wsol
from wsol.maps import find_method
from wsol.networks import ForwardPass, structure_of

IMAGES = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
CLASSES = torch.tensor([3, 1])


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=5).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return model


@pytest.mark.parametrize(
    ("name", "theirs"),
    [("grad-cam", "GradCAM"), ("xgrad-cam", "XGradCAM"), ("layer-cam", "LayerCAM")],
)
@pytest.mark.parametrize("layer", ["layer4", "layer3"])
def test_maps_are_those_of_torchcam(resnet, name, theirs, layer):
    methods = pytest.importorskip("torchcam.methods")
    ours = wsol.class_activation_maps(resnet, IMAGES, CLASSES, method=name, layers=[layer]).maps[0]
    with getattr(methods, theirs)(resnet, layer) as extractor:
        (expected,) = extractor(CLASSES.tolist(), resnet(IMAGES), normalized=False)
    torch.testing.assert_close(ours, expected, atol=1e-6, rtol=1e-4)
    assert ours.max() > 0


def test_grad_cam_plus_plus_is_the_formula_of_the_paper(resnet):
    # Equations 10 and 19 of Chattopadhay et al. (WACV 2018), place by place. torchcam 0.5 divides a copy and so leaves
    # alpha's denominator out.
    ours = wsol.class_activation_maps(resnet, IMAGES, CLASSES, method="grad-cam++", layers=["layer3"]).maps[0]
    kept = []
    handle = resnet.layer3.register_forward_hook(lambda module, inputs, output: kept.append(output))
    logits = resnet(IMAGES)
    handle.remove()
    activation = kept[0]
    (gradient,) = torch.autograd.grad(logits.gather(1, CLASSES[:, None]).sum(), activation)
    for image in range(2):
        expected = torch.zeros(activation.shape[2:])
        for a, g in zip(activation[image].detach(), gradient[image], strict=True):
            alpha = torch.where(g != 0, g**2 / (2 * g**2 + a.sum() * g**3), torch.zeros(()))
            expected += (alpha * g.relu()).sum() * a
        torch.testing.assert_close(ours[image], expected.relu(), atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize(("name", "theirs"), [("score-cam", "ScoreCAM"), ("is-cam", "ISCAM")])
def test_score_maps_are_those_of_torchcam(name, theirs):
    methods = pytest.importorskip("torchcam.methods")
    torch.manual_seed(0)
    model = tdam.create_model("resnet_mini", num_classes=5).eval()
    torch.nn.init.normal_(model.fc.weight)
    images = IMAGES[:, :, :48, :48]
    ours = wsol.class_activation_maps(model, images, CLASSES, method=name).maps[0]
    with getattr(methods, theirs)(model, "layer4") as extractor, torch.no_grad():
        model(images)
        (expected,) = extractor(CLASSES.tolist(), normalized=False)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-3)
    assert ours.max() > 0


def test_layers_are_fused_as_layercam_says(resnet):
    # Equation 9 of Jiang et al. (TIP 2021), then the maximum over layers at the finest resolution.
    single = [
        wsol.class_activation_maps(resnet, IMAGES, CLASSES, "layer-cam", layers=[name]).maps[0]
        for name in ("layer3", "layer4")
    ]
    fused = wsol.class_activation_maps(resnet, IMAGES, CLASSES, "layer-cam", layers=["layer3", "layer4"]).maps[0]
    scaled = [(2 * one / one.amax((1, 2), keepdim=True)).tanh() for one in single]
    scaled[1] = torch.nn.functional.interpolate(scaled[1][:, None], scaled[0].shape[1:], mode="bilinear")[:, 0]
    torch.testing.assert_close(fused, torch.maximum(*scaled))
    assert fused.shape == single[0].shape


def test_gradients_are_computed_once_for_all_methods(resnet):
    forward = ForwardPass(resnet, structure_of(resnet, (3, 64, 96)), IMAGES, differentiable=True)
    first = forward.gradients(CLASSES)
    find_method("layer-cam").maps(forward, CLASSES)
    assert forward.gradients(CLASSES.clone()) is first


def test_a_layer_of_no_consequence_is_refused(resnet):
    with pytest.raises(tdam.UnknownNameError, match="layer5"):
        wsol.class_activation_maps(resnet, IMAGES, CLASSES, method="grad-cam", layers=["layer5"])
    with pytest.raises(tdam.UserError, match="own layer"):
        wsol.class_activation_maps(resnet, IMAGES, CLASSES, method="cam", layers=["layer3"])

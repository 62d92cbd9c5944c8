"""Other people's CAM tools run on the network of a step; where the method is the same, so are the maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tdam_families import FAMILIES, assert_close, family, images
from torch import nn

import tdam

# Family -> the layer whose output lies under global pooling, and the classifier.
LAYERS = {
    "resnet18_tdam": ("layer4", "fc"),
    "resnet50d_tdam": ("layer4", "fc"),
    "seresnet50_tdam": ("layer4", "fc"),
    "convnext_tiny_tdam": ("stages", "head.fc"),
    "efficientnet_b0_tdam": ("bn2", "classifier"),
    "mobilenetv3_small_100_tdam": ("blocks", "classifier"),
    "vgg16_tdam": ("features", "head.fc"),
    "vgg16_bn_tdam": ("features", "head.fc"),
}
# Between pooling and classifier these have a norm or a convolution, so that gradients say more than weights.
NONLINEAR_HEADS = {"convnext_tiny_tdam", "mobilenetv3_small_100_tdam"}
CLASSES = [1, 3]


def distinct_steps(name: str) -> nn.Module:
    """A network whose steps differ clearly, as trained ones do."""
    model = family(name)
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, tdam.TopDownAttention):
            nn.init.normal_(module.expand.weight, std=1.0)
    return model


def our_maps(model: nn.Module) -> torch.Tensor:
    """CAM of `CLASSES` at every step (T, B, h, w)."""
    with torch.no_grad():
        steps = tdam.forward_steps(model, images())
    return torch.einsum("tbdhw,bd->tbhw", steps.features, steps.classifier_weight[CLASSES]).detach()


@pytest.mark.parametrize("name", FAMILIES)
def test_torchcam(name: str) -> None:
    methods = pytest.importorskip("torchcam.methods")
    model = distinct_steps(name)
    layer, classifier = LAYERS[name]
    maps = our_maps(model)
    for t in (1, 2):
        step = tdam.at_step(model, t)
        if name != "mobilenetv3_small_100_tdam":  # the classifier's inputs are no channels of any map
            with methods.CAM(step, layer, classifier) as extractor, torch.no_grad():
                step(images())
                cam = extractor(class_idx=CLASSES, normalized=False)[0]
            assert_close(cam, maps[t - 1])
        with methods.GradCAM(step, layer) as extractor:
            scores = step(images())
            cam = extractor(class_idx=CLASSES, scores=scores, normalized=False)[0]
        assert cam.shape == maps[t - 1].shape
        if name not in NONLINEAR_HEADS:
            assert_close(cam * cam[0].numel(), maps[t - 1].relu())
    assert not model._forward_hooks


@pytest.mark.parametrize("name", FAMILIES)
def test_pytorch_grad_cam(name: str) -> None:
    library = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.image import scale_cam_image
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    model = distinct_steps(name)
    maps = our_maps(model)
    for t in (1, 2):
        step = tdam.at_step(model, t)
        with library.GradCAM(step, [step.get_submodule(LAYERS[name][0])]) as extractor:
            cam = extractor(images(), targets=[ClassifierOutputTarget(index) for index in CLASSES])
        assert cam.shape == (2, 64, 64)
        if name not in NONLINEAR_HEADS:
            weights = maps[t - 1].relu() / maps[t - 1][0].numel()  # a gradient of the mean, as theirs is
            expected = scale_cam_image(scale_cam_image(weights.numpy(), (64, 64)))
            np.testing.assert_allclose(cam, expected, atol=1e-3)


@pytest.mark.parametrize("name", FAMILIES)
def test_captum(name: str) -> None:
    attribution = pytest.importorskip("captum.attr")
    model = distinct_steps(name)
    maps = our_maps(model)
    for t in (1, 2):
        step = tdam.at_step(model, t)
        extractor = attribution.LayerGradCam(step, step.get_submodule(LAYERS[name][0]))
        cam = extractor.attribute(images(), target=torch.tensor(CLASSES))[:, 0].detach()
        assert cam.shape == maps[t - 1].shape
        if name not in NONLINEAR_HEADS:
            assert_close(cam * cam[0].numel(), maps[t - 1])

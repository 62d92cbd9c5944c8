"""Every registered TDAM network, and what a user does with one, family by family."""

from __future__ import annotations

import functools

import pytest
import timm
import torch
from tdam_families import FAMILIES, assert_close, family, images, trained
from timm.models.vgg import VGG

import tdam
from tdam.feedback import FeedbackBlock

NAMES = timm.list_models(["*_tdam", "*_tdam2"])
MOST_PARAMETERS = 32_000_000  # of larger networks, built without storage, only shapes are tested


@functools.cache
def parameters(name: str) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in timm.create_model(name, num_classes=5).parameters())


@pytest.mark.parametrize("name", [name for name in NAMES if parameters(name) <= MOST_PARAMETERS])
def test_forward_backward_and_steps(name: str) -> None:
    model = timm.create_model(name, num_classes=5, steps=4)
    x = images(2, 48, 64)
    model(x).sum().backward()
    feedback = [module for module in model.modules() if isinstance(module, FeedbackBlock)]
    assert len(feedback) >= 2
    assert all(block.attention.expand.weight.grad.isfinite().all() for block in feedback)
    with torch.no_grad():
        steps = tdam.forward_steps(model.eval(), x)
        assert_close(steps.logits[0], tdam.at_step(model, 1)(x))
        assert_close(steps.logits[3], model(x))
    assert steps.classifier_weight.shape == (5, steps.features.shape[2])


@pytest.mark.parametrize("name", [name for name in NAMES if parameters(name) > MOST_PARAMETERS])
@torch.no_grad()
def test_shapes_of_large_networks(name: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=5, steps=2).eval()
        steps = tdam.forward_steps(model, torch.randn(2, 3, 32, 32))
    assert steps.logits.shape == (2, 2, 5)
    assert steps.classifier_weight.shape == (5, steps.features.shape[2])


@pytest.mark.parametrize("scope", ["last", "all"])
@pytest.mark.parametrize("distance", [0, 1, 2])
@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_steps_at_once_equal_single_ones(name: str, distance: int, scope: str) -> None:
    model = family(name, steps=3, distance=distance)
    x = images()
    together = tdam.forward_steps(model, x, scope)
    for t in (1, 2, 3):
        assert_close(together.logits[t - 1], tdam.at_step(model, t, scope)(x))
    assert_close(together.logits[2], model(x))


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_one_step_is_the_plain_network(name: str) -> None:
    base = {"vgg16_tdam": "vgg16_gap", "vgg16_bn_tdam": "vgg16_gap_bn"}.get(name, name.removesuffix("_tdam"))
    torch.manual_seed(0)
    plain = timm.create_model(base, num_classes=5, **FAMILIES[name]).eval()
    expected = plain(images())
    model = tdam.add_feedback(plain, tdam.FeedbackOptions(steps=3))
    assert_close(tdam.at_step(model, 1, "all")(images()), expected, 1e-5)


@pytest.mark.parametrize(("distance", "order"), [(0, "parallel"), (1, "channel_spatial"), (2, "spatial")])
@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_identity_init_starts_every_step_as_the_plain_network(name: str, distance: int, order: str) -> None:
    base = {"vgg16_tdam": "vgg16_gap", "vgg16_bn_tdam": "vgg16_gap_bn"}.get(name, name.removesuffix("_tdam"))
    torch.manual_seed(0)
    plain = trained(timm.create_model(base, num_classes=5, **FAMILIES[name]))
    expected = plain(images())
    options = tdam.FeedbackOptions(steps=3, distance=distance, order=order, init="identity")
    steps = tdam.forward_steps(tdam.add_feedback(plain, options), images(), "all")
    for logits in steps.logits:
        assert_close(logits, expected, 2e-5)


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_uses_of_a_network(name: str) -> None:
    """Odd sizes, channels-last, features, another classifier, bfloat16."""
    model = family(name)
    for height, width in ((65, 79), (96, 33)):
        steps = tdam.forward_steps(model, images(1, height, width))
        assert_close(steps.logits[1], model(images(1, height, width)))
    expected = tdam.forward_steps(model, images())
    last = model.to(memory_format=torch.channels_last)
    steps = tdam.forward_steps(last, images().to(memory_format=torch.channels_last))
    assert_close(steps.logits, expected.logits)
    with torch.autocast("cpu", torch.bfloat16):
        half = tdam.forward_steps(model, images())
    assert_close(half.logits.float(), expected.logits, 0.1)
    model.reset_classifier(7)
    assert tdam.forward_steps(model, images()).logits.shape == (2, 2, 7)
    assert tdam.forward_steps(model, images()).classifier_weight.shape[0] == 7
    if isinstance(model, VGG) and not hasattr(VGG, "prune_intermediate_layers"):
        return  # the VGG of older timm does not give intermediate maps
    features = timm.create_model(name, features_only=True, **FAMILIES[name])
    maps = features(images())
    assert [feature.shape[1] for feature in maps] == features.feature_info.channels()


@pytest.mark.parametrize("name", ["resnet18_tdam", "convnext_tiny_tdam", "mobilenetv3_small_100_tdam", "vgg16_bn_tdam"])
@torch.no_grad()
def test_graph_capture(name: str) -> None:
    """`torch.compile` takes network and all its steps as one graph; `torch.export` unrolls the loop."""
    model = family(name)
    stepwise = tdam.stepwise(model)
    expected = stepwise(images())
    compiled = torch.compile(stepwise, backend="eager", fullgraph=True)(images())
    assert_close(compiled.logits, expected.logits)
    exported = torch.export.export(model, (images(),)).module()
    assert_close(exported(images()), expected.logits[1])
    torch._dynamo.reset()


@torch.no_grad()
def test_onnx(tmp_path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    reference = pytest.importorskip("onnx.reference")
    model = tdam.create_model("resnet_mini_tdam", layers=(0, 0, 1, 1)).eval()
    x = images(1, 32, 32)
    torch.onnx.export(tdam.stepwise(model), (x,), tmp_path / "steps.onnx", dynamo=True, verbose=False)
    evaluator = reference.ReferenceEvaluator(onnx.load(tmp_path / "steps.onnx"))
    logits = evaluator.run(None, {evaluator.input_names[0]: x.numpy()})[0]
    assert_close(torch.from_numpy(logits), tdam.forward_steps(model, x).logits)


def test_tags_are_published_configurations() -> None:
    with torch.device("meta"):
        top = timm.create_model("resnet50_tdam.top_t2_m3")
        paper = timm.create_model("resnet50_tdam.top_t2_m3_paper", attention="joint")
        layer4 = timm.create_model("resnet101_tdam.joint_t2_m1_layer4")
    assert (top.feedback.attention, top.feedback.distance) == ("top", 3)
    assert paper.feedback.attention == "joint"
    assert not isinstance(paper.layer3[5], FeedbackBlock)
    assert not any(isinstance(block, FeedbackBlock) for block in layer4.layer3)
    assert top.pretrained_cfg["tag"] == "top_t2_m3"

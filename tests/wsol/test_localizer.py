"""Localizing image files: the same as the stages one by one, in the original image's frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_dataset import write_checkpoint, write_dataset
from torch import nn

import tdam
import wsol
from wsol.data import ImageError


@pytest.fixture(scope="module")
def localizer(tmp_path_factory):
    checkpoint = write_checkpoint(tmp_path_factory.mktemp("weights") / "w.safetensors")
    return wsol.Localizer("resnet_mini_tdam", checkpoint=checkpoint, threshold=0.4, batch_size=2)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return sorted((write_dataset(tmp_path_factory.mktemp("data") / "d", images=5) / "test").glob("*.png"))


def test_results_are_those_of_the_stages(localizer, files):
    found = localizer(files)
    assert [one.path for one in found] == files
    for one in found:
        image = Image.open(one.path)
        assert one.image_size == image.size
        assert (one.network, one.steps[0].threshold) == ("resnet_mini_tdam", 0.4)
        inputs = localizer._transform(image.convert("RGB"))[None]
        cams = wsol.class_activation_maps(localizer.network.model, inputs)
        maps = wsol.score_maps(cams.maps[:, 0], size=(96, 96))
        for step, result in enumerate(one.steps):
            assert result.step == step + 1
            assert result.class_id == cams.class_ids[step, 0]
            assert result.label == localizer.network.class_names[result.class_id]
            probability = torch.softmax(cams.logits[step, 0], dim=0).max().item()
            assert result.score == pytest.approx(probability, abs=1e-4)
            most = torch.softmax(cams.logits[step, 0], dim=0).sort(descending=True)
            assert [one.class_id for one in result.top] == most.indices[: len(result.top)].tolist()
            assert [one.score for one in result.top] == pytest.approx(most.values[: len(result.top)].tolist(), abs=1e-4)
            assert all(one.label == localizer.network.class_names[one.class_id] for one in result.top)
            np.testing.assert_allclose(result.score_map, maps[step], atol=1e-3)
            x0, y0, x1, y1 = result.box
            assert 0 <= x0 <= x1 < image.size[0]
            assert 0 <= y0 <= y1 < image.size[1]
            (in_map,) = wsol.boxes_from_score_map(result.score_map, 0.4)
            np.testing.assert_array_equal(result.box, wsol.scale_boxes(in_map, (96, 96), image.size))


def test_images_come_as_paths_or_objects_one_or_many(localizer, files):
    (alone,) = localizer(str(files[0]))
    (as_object,) = localizer(Image.open(files[0]))
    assert as_object.path is None
    np.testing.assert_array_equal(alone.steps[1].box, as_object.steps[1].box)
    assert localizer([]) == []


def test_maps_and_boxes_of_a_class_one_names(localizer, files):
    own = localizer(files[:3])
    for class_id in (0, 2):
        for found, before in zip(localizer(files[:3], class_id=class_id), own, strict=True):
            assert {step.class_id for step in found.steps} == {class_id}
            for step, other in zip(found.steps, before.steps, strict=True):
                assert step.label == localizer.network.class_names[class_id]
                assert step.top == other.top, "what the network thinks does not depend on what one asks for"
                assert step.score <= other.score
                inputs = localizer._transform(Image.open(found.path).convert("RGB"))[None]
                cams = wsol.class_activation_maps(localizer.network.model, inputs, torch.tensor([class_id]))
                expected = wsol.score_maps(cams.maps[:, 0], size=(96, 96))[step.step - 1]
                np.testing.assert_allclose(step.score_map, expected, atol=1e-3)
    with pytest.raises(ValueError, match="class_ids"):
        localizer(files[:1], class_id=10_000)


def test_a_stream_holds_one_batch_at_a_time(localizer, files):
    asked = []

    def endless():
        for path in files:
            asked.append(path)
            yield path

    stream = localizer.stream(endless())
    next(stream)
    assert len(asked) == 2


def test_an_unreadable_file_is_named(localizer, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not an image")
    with pytest.raises(ImageError, match=r"broken\.png"):
        localizer([broken])


class RedNetwork(torch.nn.Module):
    """Its map of class 0 is how red the image is."""

    def __init__(self):
        super().__init__()
        self.features = torch.nn.AvgPool2d(4)
        self.classifier = torch.nn.Linear(3, 2, bias=False)
        self.classifier.weight.data = torch.tensor([[1.0, -1.0, -1.0], [-1.0, 1.0, 1.0]])

    def forward(self, images):
        return self.classifier(self.features(images).mean((2, 3)))


@pytest.mark.parametrize("input_size", [(64, 96), (96, 64)])
def test_width_and_height_are_not_swapped(input_size):
    image = Image.new("RGB", (200, 80), (0, 80, 80))
    image.paste((255, 0, 0), (120, 10, 180, 40))
    localizer = wsol.Localizer(RedNetwork(), input_size=input_size, threshold=0.5)
    (found,) = localizer(image, class_id=0)
    assert found.steps[0].score_map.shape == input_size
    np.testing.assert_allclose(found.steps[0].box, [120, 10, 180, 40], atol=8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1.0}, r"threshold must be a number in \[0, 1\), got 1.0"),
        ({"threshold": None}, "threshold must be a number"),
        ({"nms_iou": float("nan")}, r"nms_iou must be a number in \[0, 1\], got nan"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ({"batch_size": 2.5}, "batch_size must be a whole number"),
    ],
)
def test_bad_numbers_are_refused_before_anything_is_opened(options, message):
    with pytest.raises(tdam.UserError, match=message):
        wsol.Localizer("resnet_mini", **options)


def test_what_is_no_image_is_named(localizer):
    for given in (None, 5, b"abc", [5]):
        with pytest.raises(ImageError, match=f"not {type(given[0] if given == [5] else given).__name__}"):
            localizer(given)
    with pytest.raises(tdam.UserError, match="top_k must be a whole number"):
        localizer("a.png", top_k=1.5)


def test_probabilities_of_one_class_and_of_classes_that_do_not_exclude_each_other():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    for classes, last in ((1, nn.Identity()), (3, nn.Sigmoid())):
        torch.manual_seed(0)
        layers = (nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes), last)
        network = nn.Sequential(*layers).eval()
        localizer = wsol.Localizer(network, input_size=32)
        with torch.no_grad():
            output = network(localizer._transform(image)[None])[0]
        expected = output.sigmoid() if classes == 1 else output
        (found,) = localizer(image)
        assert found.steps[-1].score == pytest.approx(expected.max().item(), abs=1e-5)
        assert 0 < found.steps[-1].score < 1


def test_a_network_in_half_precision():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    image = Image.new("RGB", (40, 60), "orange")
    (whole,) = wsol.Localizer(network.eval(), input_size=32)(image)
    (half,) = wsol.Localizer(network.half(), input_size=32)(image)
    assert half.steps[-1].score == pytest.approx(whole.steps[-1].score, abs=5e-3)


def test_a_transform_that_fails_is_told_in_one_line():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    with pytest.raises(tdam.UserError, match="transform= fails on an RGB image of 224 x 224: division by zero"):
        wsol.Localizer(network, transform=lambda image: 1 / 0)


@pytest.mark.parametrize(
    ("model", "message"), [(nn.Linear, "the class Linear: call it"), (None, "NoneType"), ({}, "dict")]
)
def test_what_is_no_network_is_told(model, message):
    with pytest.raises(tdam.UserError, match=message):
        wsol.Localizer(model)

from __future__ import annotations

import pytest
import torch
from tiny_training import TinyImages, tiny_config

from tdam.errors import UserError
from wsol.training.batches import TrainingBatches, image_transform

PREPROCESSING = {"input_size": (3, 96, 96), "interpolation": "bilinear", "mean": (0.5,) * 3, "std": (0.5,) * 3}


def make_batches(rank=0, world_size=1, **settings):
    config = tiny_config(**settings)
    dataset = TinyImages()
    dataset.transform = image_transform(config, PREPROCESSING)
    labels = torch.from_numpy(dataset.ground_truth.labels)
    return TrainingBatches(dataset, labels, config, PREPROCESSING, torch.device("cpu"), rank, world_size)


def assert_same_batches(first, second):
    first, second = list(first), list(second)
    assert len(first) == len(second) > 0
    for (images, targets), (other_images, other_targets) in zip(first, second, strict=True):
        assert torch.equal(images, other_images)
        assert torch.equal(targets, other_targets)


def test_an_epoch_shows_every_image_once_in_another_order():
    batches = make_batches(flip=0.0, pad=0)
    signatures = []
    for epoch in (0, 1):
        images = torch.cat([images for images, _ in batches.epoch(epoch)])
        signatures.append([round(float(value), 5) for value in images.mean((1, 2, 3))])
    assert len(set(signatures[0])) == 24
    assert sorted(signatures[0]) == pytest.approx(sorted(signatures[1]), abs=1e-4)
    assert signatures[0] != signatures[1]


def test_two_processes_together_see_the_batches_of_one():
    whole = make_batches(color_jitter=0.3).epoch(2)
    shares = [make_batches(rank, 2, color_jitter=0.3).epoch(2) for rank in range(2)]
    for (images, targets), left, right in zip(whole, *shares, strict=True):
        assert torch.equal(images, torch.cat([left[0], right[0]]))
        assert torch.equal(targets, torch.cat([left[1], right[1]]))


def test_an_epoch_begun_in_the_middle_is_the_rest_of_the_whole():
    assert_same_batches(list(make_batches().epoch(1))[2:], make_batches().epoch(1, first_step=2))


def test_keeping_images_in_memory_changes_nothing():
    assert_same_batches(make_batches().epoch(0), make_batches(cache_gb=0).epoch(0))


def test_random_crops_do_not_depend_on_the_number_of_workers():
    settings = {"crop": "random_resized", "pad": 0}
    alone, helped = make_batches(**settings), make_batches(**settings, workers=2)
    assert_same_batches(alone.epoch(0), helped.epoch(0))
    first, second = (torch.cat([images for images, _ in alone.epoch(epoch)]) for epoch in (0, 1))
    assert not torch.equal(first.mean((1, 2, 3)).sort().values, second.mean((1, 2, 3)).sort().values)


def test_targets_are_the_labels_of_the_images():
    batches = make_batches(flip=0.0, pad=0)
    by_mean = {round(float(batches._images[0, i].float().mean()), 3): i for i in range(24)}
    for images, targets in batches.epoch(0):
        for image, target in zip(images, targets, strict=True):
            index = by_mean[round(float(((image * 0.5 + 0.5) * 255).mean()), 3)]
            assert int(target) == index % 3


@pytest.mark.parametrize(
    ("settings", "world_size"), [({"batch_size": 9}, 2), ({"accumulate": 3}, 1), ({"batch_size": 48}, 1)]
)
def test_batches_that_do_not_divide_or_do_not_fill_are_refused(settings, world_size):
    with pytest.raises(UserError, match="batch_size"):
        make_batches(0, world_size, **settings)

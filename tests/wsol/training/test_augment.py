from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from wsol.training.augment import BatchAugmentation, Choices, jitter_colors

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def test_every_image_is_padded_cropped_and_flipped_by_its_own_choices():
    augment = BatchAugmentation((10, 12), (8, 9), MEAN, STD, pad=3)
    images = torch.randint(0, 256, (16, 3, 10, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    choices = augment.draw(16, torch.Generator().manual_seed(1))
    result = augment(images, choices)
    assert choices.flip.any()
    assert not choices.flip.all()
    for index in range(16):
        padded = np.pad(images[index].numpy(), ((0, 0), (3, 3), (3, 3)), mode="reflect")
        top, left = int(choices.top[index]), int(choices.left[index])
        expected = padded[:, top : top + 8, left : left + 9] / 255.0
        if choices.flip[index]:
            expected = expected[:, :, ::-1]
        expected = (expected - np.array(MEAN)[:, None, None]) / np.array(STD)[:, None, None]
        np.testing.assert_allclose(result[index].numpy(), expected, atol=1e-5)


def test_crops_reach_every_corner_and_no_further():
    augment = BatchAugmentation((5, 6), (4, 4), MEAN, STD)
    choices = augment.draw(500, torch.Generator().manual_seed(0))
    assert set(choices.top.tolist()) == {0, 1}
    assert set(choices.left.tolist()) == {0, 1, 2}


def test_color_jitter_is_torchvisions_brightness_contrast_saturation():
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(6, 3, 5, 7, generator=generator)
    factors = 0.3 + 1.4 * torch.rand(6, 3, generator=generator)
    result = jitter_colors(pixels.clone(), factors)
    for index, (brightness, contrast, saturation) in enumerate(factors.tolist()):
        expected = tv.adjust_brightness(pixels[index], brightness)
        expected = tv.adjust_contrast(expected, contrast)
        expected = tv.adjust_saturation(expected, saturation)
        torch.testing.assert_close(result[index], expected, atol=2e-4, rtol=0)


def test_random_erasing_touches_the_stated_share_of_images():
    augment = BatchAugmentation((16, 16), (16, 16), MEAN, STD, flip=0.0, random_erasing=1.0)
    images = torch.full((8, 3, 16, 16), 127, dtype=torch.uint8)
    result = augment(images, augment.draw(8, torch.Generator().manual_seed(0)))
    plain = (127 / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    changed = (result - plain.view(1, 3, 1, 1)).abs().amax(1) > 1e-4
    assert changed.flatten(1).any(1).all()
    assert not changed.flatten(1).all(1).any()


def test_a_share_of_the_choices_is_a_slice_of_every_choice():
    choices = BatchAugmentation((9, 9), (8, 8), MEAN, STD, color_jitter=0.4).draw(6, torch.Generator().manual_seed(0))
    share = choices.share(2, 5)
    assert isinstance(share, Choices)
    for name in ("top", "left", "flip", "factors"):
        torch.testing.assert_close(getattr(share, name), getattr(choices, name)[2:5])


def test_images_smaller_than_the_crop_are_refused():
    with pytest.raises(ValueError, match="smaller than a crop"):
        BatchAugmentation((8, 8), (10, 10), MEAN, STD)

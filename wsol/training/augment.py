"""Augmentation of whole batches of uint8 images on the training device.

The choices are drawn for the whole batch before a process takes its share, so that N processes see the very images
that one process sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from timm.data.random_erasing import RandomErasing
from torch import Tensor

# ITU-R 601-2 luma, as PIL's and torchvision's grayscale.
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Choices:
    """Random choices for B images: crop corners in pixels, flips, and factors of brightness, contrast, saturation."""

    top: Tensor
    left: Tensor
    flip: Tensor
    factors: Tensor

    def share(self, start: int, stop: int) -> Choices:
        """The choices of the images from `start` until `stop`."""
        return Choices(*(getattr(self, name)[start:stop] for name in ("top", "left", "flip", "factors")))


class BatchAugmentation:
    """Random crop, flip, colour jitter, normalization and random erasing of a batch.

    Args:
        image_size: Height and width of the stored images in pixels.
        input_size: Height and width of the network's input.
        mean: Channel means in [0, 1].
        std: Channel standard deviations in [0, 1].
        pad: Reflection padding before the crop in pixels.
        flip: Probability of a horizontal flip.
        color_jitter: Half-width of the factors' uniform distribution around 1.
        random_erasing: Probability of erasing a rectangle.

    Raises:
        ValueError: If the padded images are smaller than the crop.
    """

    def __init__(
        self,
        image_size: tuple[int, int],
        input_size: tuple[int, int],
        mean: Sequence[float],
        std: Sequence[float],
        pad: int = 0,
        flip: float = 0.5,
        color_jitter: float = 0.0,
        random_erasing: float = 0.0,
    ) -> None:
        self.input_size = input_size
        self.pad = pad
        self.flip = flip
        self.color_jitter = color_jitter
        self.mean = torch.tensor(mean).view(1, 3, 1, 1)
        self.std = torch.tensor(std).view(1, 3, 1, 1)
        self.slack = tuple(image + 2 * pad - crop for image, crop in zip(image_size, input_size, strict=True))
        if min(self.slack) < 0:
            raise ValueError(f"images of {image_size} pixels, padded by {pad}, are smaller than a crop of {input_size}")
        self.erase = RandomErasing(random_erasing, mode="pixel", device="cpu") if random_erasing else None

    def draw(self, batch: int, generator: torch.Generator) -> Choices:
        """Draw the choices for a whole batch."""
        top, left = (torch.randint(slack + 1, (batch,), generator=generator) for slack in self.slack)
        flip = torch.rand(batch, generator=generator) < self.flip
        factors = 1 + self.color_jitter * (2 * torch.rand(batch, 3, generator=generator) - 1)
        return Choices(top, left, flip, factors)

    def __call__(self, images: Tensor, choices: Choices) -> Tensor:
        """Apply choices to uint8 images ``(B, 3, H, W)``; returns normalized float32 in channels-last layout."""
        images = self._crop(images, choices)
        images = torch.where(choices.flip.view(-1, 1, 1, 1).to(images.device), images.flip(3), images)
        pixels = images.contiguous(memory_format=torch.channels_last).float().div_(255)
        if self.color_jitter:
            pixels = jitter_colors(pixels, choices.factors.to(pixels.device))
        pixels = pixels.sub_(self.mean.to(pixels.device)).div_(self.std.to(pixels.device))
        if self.erase is not None:
            self.erase.device = pixels.device
            pixels = self.erase(pixels)
        return pixels

    def _crop(self, images: Tensor, choices: Choices) -> Tensor:
        if self.slack == (0, 0):
            return images
        if self.pad:
            # Reflection is not implemented for uint8.
            images = F.pad(images.float(), [self.pad] * 4, mode="reflect").byte()
        height, width = self.input_size
        corners = zip(choices.top.tolist(), choices.left.tolist(), strict=True)
        crops = (
            image[:, top : top + height, left : left + width]
            for image, (top, left) in zip(images, corners, strict=True)
        )
        return torch.stack(list(crops))


def jitter_colors(pixels: Tensor, factors: Tensor) -> Tensor:
    """Scale brightness, then contrast, then saturation of every image by its own factors.

    The definitions are torchvision's (blend with black, with the mean luma, with the luma); its order is random.

    Args:
        pixels: ``(B, 3, H, W)`` in [0, 1].
        factors: ``(B, 3)``, 1 leaves an image as it is.
    """
    brightness, contrast, saturation = (factors[:, index].view(-1, 1, 1, 1) for index in range(3))
    weights = torch.tensor(LUMA, device=pixels.device).view(1, 3, 1, 1)
    pixels = (pixels * brightness).clamp_(0, 1)
    mean_luma = (pixels * weights).sum(1, keepdim=True).mean((2, 3), keepdim=True)
    pixels = torch.lerp(mean_luma, pixels, contrast).clamp_(0, 1)
    luma = (pixels * weights).sum(1, keepdim=True)
    return torch.lerp(luma, pixels, saturation).clamp_(0, 1)

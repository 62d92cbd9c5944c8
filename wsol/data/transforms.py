"""From a decoded image to the tensor a network sees.

A transform takes a PIL image (``decode="exact"``) or a uint8 tensor (3, H, W)
(``decode="fast"``) and returns a float32 tensor (3, height, width).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.functional import pil_to_tensor

Size = int | Sequence[int]
RESIZE_RATIO = 256 / 224  # the field's training images are resized to 256 before a crop of 224


class ToFloat(torch.nn.Module):
    """PIL image or uint8 tensor to float32 in [0, 1], bit for bit as ``ToTensor`` does."""

    def forward(self, image: Image.Image | torch.Tensor) -> torch.Tensor:
        """Convert `image`, H x W RGB or (3, H, W) uint8, to (3, H, W)."""
        pixels = pil_to_tensor(image) if isinstance(image, Image.Image) else image
        return pixels.to(torch.float32).div(255)


def evaluation_transform(
    input_size: Size,
    mean: Sequence[float],
    std: Sequence[float],
    resize: Size | None = None,
    crop: Size | None = None,
    interpolation: str = "bilinear",
) -> v2.Compose:
    """Transform of validation and test images.

    The default, ``resize=None, crop=None``, resizes straight to `input_size` without keeping the
    aspect and crops nothing, as wsolevaluation does: every pixel of the image stays in the map.

    Args:
        input_size: Side, (height, width) or (channels, height, width) of the network's input.
        mean: Channel means of the network's normalisation.
        std: Channel standard deviations.
        resize: Size to resize to instead: (height, width), or one number for the shorter side.
        crop: Size of a centre crop after the resize.
        interpolation: "bilinear", "bicubic" or another of torchvision's names.
    """
    size = height_width(input_size) if resize is None else resize
    cut = [] if crop is None else [v2.CenterCrop(height_width(crop))]
    return v2.Compose([_resize(size, interpolation), *cut, ToFloat(), v2.Normalize(list(mean), list(std))])


def training_transform(
    input_size: Size,
    mean: Sequence[float],
    std: Sequence[float],
    resize: Size | None = None,
    flip: float = 0.5,
    interpolation: str = "bilinear",
) -> v2.Compose:
    """Transform of training images: resize, random crop of `input_size`, horizontal flip.

    Args:
        input_size: Side, (height, width) or (channels, height, width) of the network's input.
        mean: Channel means of the network's normalisation.
        std: Channel standard deviations.
        resize: Size before the crop; default: `input_size` times 256 / 224, aspect not kept, as
            wsolevaluation does.
        flip: Probability of the flip.
        interpolation: "bilinear", "bicubic" or another of torchvision's names.
    """
    crop = height_width(input_size)
    size = [round(side * RESIZE_RATIO) for side in crop] if resize is None else resize
    return v2.Compose(
        [
            _resize(size, interpolation),
            v2.RandomCrop(crop),
            v2.RandomHorizontalFlip(flip),
            ToFloat(),
            v2.Normalize(list(mean), list(std)),
        ]
    )


def height_width(size: Size) -> tuple[int, int]:
    """Height and width of a side, (height, width) or (channels, height, width).

    >>> height_width(96), height_width((3, 224, 192))
    ((96, 96), (224, 192))
    """
    if isinstance(size, int):
        return size, size
    height, width = tuple(size)[-2:]
    return int(height), int(width)


def _resize(size: Size, interpolation: str) -> v2.Resize:
    side = size if isinstance(size, int) else list(height_width(size))
    return v2.Resize(side, interpolation=v2.InterpolationMode(interpolation), antialias=True)

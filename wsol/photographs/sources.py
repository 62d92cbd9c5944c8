"""Images in the forms that programs have them: paths, PIL images, arrays, tensors."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from wsol.data.errors import ImageError
from wsol.photographs.files import open_image

ImageSource = str | os.PathLike[str] | Image.Image | npt.NDArray[Any] | torch.Tensor


def as_image(source: ImageSource) -> Image.Image:
    """Any form of an image as upright 8-bit RGB.

    Args:
        source: A path; a PIL image; an array ``(H, W)``, ``(H, W, 3)`` or ``(H, W, 4)``, or a tensor ``(3, H, W)`` or
            ``(1, H, W)``, either uint8 or floating-point in [0, 1]. Arrays hold red, green, blue in this order.

    Raises:
        ImageError: If a file cannot be read, or an array or tensor is no image.
    """
    if isinstance(source, torch.Tensor):
        if source.ndim != 3 or source.shape[0] not in (1, 3):
            raise ImageError(f"a tensor of an image must be (3, H, W), not {tuple(source.shape)}")
        pixels = source.detach().cpu().permute(1, 2, 0)
        source = (pixels.float() if pixels.is_floating_point() else pixels).numpy()
    if isinstance(source, str | os.PathLike | Image.Image):
        return open_image(source)
    if not isinstance(source, np.ndarray):
        raise ImageError(f"an image must be a path, a PIL image, an array or a tensor, not {type(source).__name__}")
    if source.ndim == 3 and source.shape[2] == 1:
        source = source[..., 0]
    if source.ndim not in (2, 3) or 0 in source.shape or (source.ndim == 3 and source.shape[2] not in (3, 4)):
        raise ImageError(f"an array of an image must be (H, W, 3), not {source.shape}")
    if np.issubdtype(source.dtype, np.floating):
        if not (np.isfinite(source).all() and source.min() >= 0 and source.max() <= 1):
            raise ImageError("a floating-point image must lie in [0, 1]; networks' normalization is applied later")
        source = (source * 255).round().astype(np.uint8)
    if source.dtype != np.uint8:
        raise ImageError(f"an image must be uint8, or floating-point in [0, 1], not {source.dtype}")
    return open_image(Image.fromarray(np.ascontiguousarray(source)))

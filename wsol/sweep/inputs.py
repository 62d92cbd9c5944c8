"""Checks of score maps and ground-truth boxes, and the 8-bit form of the maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wsol.errors import InputError


def as_score_maps(score_maps: Any) -> NDArray[np.floating]:
    """Score maps as a contiguous ``(N, H, W)`` float32 or float64 array.

    Raises:
        InputError: Naming the shape or type that does not fit.
    """
    refuse_masked(score_maps, "score maps")
    if isinstance(score_maps, torch.Tensor):
        if score_maps.dtype == torch.bfloat16:
            raise InputError("score maps must be float32 or float64, got bfloat16")
        score_maps = score_maps.detach().cpu().numpy()
    maps = np.ascontiguousarray(score_maps)
    if maps.dtype not in (np.float32, np.float64):
        raise InputError(f"score maps must be float32 or float64, got {maps.dtype}")
    if maps.ndim != 3 or 0 in maps.shape[1:]:
        raise InputError(f"score maps must have the shape (N, H, W), got {maps.shape}")
    return maps


def refuse_masked(values: Any, what: str) -> None:
    """Raise for a masked array: what its mask hides would be scored as if it were there."""
    if np.ma.isMaskedArray(values):
        raise InputError(f"{what} are a masked array; pass a plain one, such as values.filled(0)")


def check_range(maps: NDArray[np.floating]) -> None:
    """Raise for the first map that holds a value outside [0, 1] or NaN."""
    valid = ((maps >= 0) & (maps <= 1)).all(axis=(1, 2))
    if not valid.all():
        raise invalid_map(maps, int(np.argmin(valid)))


def invalid_map(maps: NDArray[np.floating], index: int) -> InputError:
    """The error that says what is wrong with one map of a batch."""
    fault = "holds NaN" if np.isnan(maps[index]).any() else "leaves [0, 1]"
    return InputError(f"score map {index} of the batch {fault}; normalize it with wsol.score_maps")


def quantize(maps: NDArray[np.floating]) -> NDArray[np.uint8]:
    """8-bit maps, truncated as wsolevaluation does; float32 and float64 give the same result."""
    check_range(maps)
    return (maps * 255).astype(np.uint8)


def as_boxes(boxes: Sequence[Any], num_images: int) -> list[NDArray[np.float64]]:
    """Ground-truth boxes as one float64 array ``(K_i, 4)`` per image.

    Raises:
        InputError: Naming the image whose boxes do not fit.
    """
    if len(boxes) != num_images:
        raise InputError(f"{num_images} score maps, but boxes of {len(boxes)} images")
    refuse_masked(boxes, "boxes")
    arrays = []
    for index, image_boxes in enumerate(boxes):
        refuse_masked(image_boxes, f"boxes of image {index}")
        array = np.asarray(image_boxes, dtype=np.float64)
        if array.ndim != 2 or array.shape[1] != 4 or len(array) == 0:
            raise InputError(f"boxes of image {index} must have the shape (K, 4), K >= 1, got {array.shape}")
        if not (array[:, :2] >= 0).all() or not (array[:, 2:] >= array[:, :2]).all():
            raise InputError(f"boxes of image {index} must satisfy 0 <= x0 <= x1 and 0 <= y0 <= y1")
        if not np.isfinite(array).all():
            raise InputError(f"boxes of image {index} hold an infinite corner")
        arrays.append(array)
    return arrays

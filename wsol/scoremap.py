"""Score maps: class activation maps at image size, in [0, 1].

cams = wsol.class_activation_maps(model, images)
score_maps = wsol.score_maps(cams.maps, size=(224, 224))
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch

from tdam.errors import check_name

ScoreMaps = npt.NDArray[np.float32]


def has_contrast(raw_map: npt.NDArray[np.floating]) -> bool:
    """Whether a raw map can rank its pixels: it is finite and not constant."""
    return bool(np.isfinite(raw_map).all() and raw_map.min() < raw_map.max())


def normalize_score_map(score_map: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Min-max normalisation of one map, as in wsolevaluation.

    Args:
        score_map: Raw map ``(H, W)``.

    Returns:
        Float64 ``(H, W)`` in [0, 1]. A constant map, or one that holds a NaN or an infinity, has no
        order of its pixels to show and becomes all zeros.
    """
    score_map = np.asarray(score_map, dtype=np.float64)
    if not has_contrast(score_map):
        return np.zeros_like(score_map)
    # Shifted first and divided by the shifted maximum, so that the maximum becomes exactly 1.
    shifted = score_map - score_map.min()
    return shifted / shifted.max()


INTERPOLATIONS = {"bicubic": cv2.INTER_CUBIC, "bilinear": cv2.INTER_LINEAR}


def score_maps(
    maps: torch.Tensor | npt.NDArray[np.floating], size: tuple[int, int], interpolation: str = "bicubic"
) -> ScoreMaps:
    """Resize raw class activation maps to image size and normalise each to [0, 1].

    The arithmetic is wsolevaluation's (CVPR 2020, `inference.py` and `util.py`): float64, OpenCV's
    bicubic interpolation, then min-max over the resized map, overshoot included. One difference: a raw map that
    is constant gives zeros here, where the rounding noise of its resized form would be scored there.

    Args:
        maps: Raw maps ``(..., h, w)``: those of one image, a batch, or all steps of a batch.
        size: Height and width of the score maps in pixels.
        interpolation: "bicubic", or "bilinear" as TS-CAM's evaluation has it.

    Returns:
        Float32 ``(..., H, W)`` in [0, 1]; a constant or non-finite map gives zeros.

    Raises:
        ValueError: If `maps` has fewer than two axes or an empty map, or `size` is not positive.
        UnknownNameError: If there is no such interpolation.

    >>> score_maps(np.array([[0.0, 2.0]]), size=(1, 2)).tolist()
    [[0.0, 1.0]]
    """
    method = INTERPOLATIONS[check_name("interpolation", interpolation, INTERPOLATIONS)]
    if isinstance(maps, torch.Tensor):
        maps = maps.detach().to("cpu", torch.float64).numpy()
    maps = np.asarray(maps, dtype=np.float64)
    height, width = size
    if maps.ndim < 2 or 0 in maps.shape[-2:]:
        raise ValueError(f"maps must be (..., h, w) with h and w at least 1, got shape {maps.shape}")
    if height < 1 or width < 1:
        raise ValueError(f"size must be a positive (height, width), got {size}")
    flat = maps.reshape(-1, *maps.shape[-2:])
    resized = np.zeros((len(flat), height, width), dtype=np.float32)
    for index, one in enumerate(flat):
        if not has_contrast(one):
            # Resized, a constant map holds rounding noise, which min-max would blow up to a full-range map.
            continue
        # OpenCV takes (width, height); wsolevaluation passes them swapped, which only shows on non-square input.
        large = cv2.resize(np.ascontiguousarray(one), (width, height), interpolation=method)
        resized[index] = normalize_score_map(large.astype(np.float64, copy=False))
    return resized.reshape(*maps.shape[:-2], height, width)

"""Runs the sweep of a batch: the compiled kernel on all threads, or OpenCV where it cannot compile."""

from __future__ import annotations

import functools
import importlib
import itertools
import os
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wsol.errors import InputError
from wsol.sweep import inputs
from wsol.sweep.contours import sweep_by_contours
from wsol.sweep.conventions import BoxConvention

MAX_SIDE = 2**15 - 1  # the kernel packs both coordinates of a pixel into 31 bits
Truth = list[NDArray[np.float64]]


def quantize(maps: NDArray[np.floating]) -> NDArray[np.uint8]:
    """8-bit maps as `wsol.sweep.inputs.quantize`, by the fastest way there is.

    Raises:
        InputError: If a map has a value outside [0, 1].
    """
    kernel = compiled_kernel()
    if kernel is None:
        return inputs.quantize(maps)
    quantized = np.empty(maps.shape, dtype=np.uint8)
    invalid = kernel.quantize_images(maps, quantized)
    if invalid < len(maps):
        raise inputs.invalid_map(maps, invalid)
    return quantized


def run_sweep(quantized: NDArray[np.uint8], truth: Truth, convention: BoxConvention, sweep: Any) -> None:
    """Fill the sweep of a batch of 8-bit maps by the fastest way that knows the convention's box rule."""
    kernel = compiled_kernel() if convention.largest_by != "polygon_points" else None
    if kernel is None:
        run_opencv(quantized, truth, convention, sweep)
    else:
        run_compiled(kernel.sweep_images, quantized, truth, convention, sweep)


@functools.cache
def compiled_kernel() -> ModuleType | None:
    """The compiled sweep, or None where it cannot compile.

    ``WSOL_SWEEP=opencv`` and ``NUMBA_DISABLE_JIT=1`` avoid compiling; as plain Python the kernel would take minutes.
    """
    if os.environ.get("WSOL_SWEEP") == "opencv" or os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return None
    try:
        kernel = importlib.import_module("wsol.sweep.kernel")
        from wsol.sweep.compiling import is_compiled

        if not is_compiled():
            print("compiling the box sweep for this machine (once, about 12 s)", file=sys.stderr, flush=True)
        _run_range(
            kernel.sweep_images, np.zeros((1, 2, 2), dtype=np.uint8), [np.zeros((1, 4))], BoxConvention(), _outputs(1)
        )
    except Exception as error:  # numba fails in many ways where it has no working LLVM or no writable cache
        warnings.warn(f"the compiled sweep is not available ({error}); OpenCV is used, slower", stacklevel=2)
        return None
    return kernel


def run_opencv(quantized: NDArray[np.uint8], truth: Truth, convention: BoxConvention, sweep: Any) -> None:
    """Fill the sweep of a batch image by image with `cv2.findContours`."""
    for i, image in enumerate(quantized):
        sweep.maximum[i] = image.max()
        outputs = sweep.largest[i], sweep.all[i], sweep.largest_boxes[i], sweep.num_boxes[i]
        sweep_by_contours(image, truth[i], convention, *outputs)


def run_compiled(
    kernel: Callable[..., None], quantized: NDArray[np.uint8], truth: Truth, convention: BoxConvention, sweep: Any
) -> None:
    """Fill the sweep of a batch, the images shared out to torch's number of threads.

    Raises:
        InputError: If the maps are too large.
    """
    if max(quantized.shape[1:]) > MAX_SIDE:
        raise InputError(f"score maps may have at most {MAX_SIDE} pixels a side, got {quantized.shape[1:]}")
    outputs = (sweep.maximum, sweep.largest, sweep.all, sweep.largest_boxes, sweep.num_boxes)
    workers = max(1, min(torch.get_num_threads(), len(quantized)))
    bounds = np.linspace(0, len(quantized), workers + 1).astype(int)
    if workers == 1:
        _run_range(kernel, quantized, truth, convention, outputs)
        return
    with ThreadPoolExecutor(workers) as pool:
        jobs = [
            pool.submit(
                _run_range, kernel, quantized[a:b], truth[a:b], convention, tuple(output[a:b] for output in outputs)
            )
            for a, b in itertools.pairwise(bounds)
        ]
    for job in jobs:
        job.result()


def _run_range(
    kernel: Callable[..., None],
    quantized: NDArray[np.uint8],
    truth: Truth,
    convention: BoxConvention,
    outputs: tuple[NDArray[Any], ...],
) -> None:
    height, width = quantized.shape[1:]
    last = (width - 1.0, height - 1.0) if convention.clamp_end else (float(width), float(height))
    rows = np.cumsum([0, *map(len, truth)])
    plus = 1.0 if convention.closed_pixels else 0.0
    empty_box = np.array(convention.empty_box_of(width, height), dtype=np.int32)
    by_contour_area = convention.largest_by == "contour_area"
    kernel(quantized, np.concatenate(truth), rows, by_contour_area, (plus, *last), empty_box, *outputs)


def _outputs(num_images: int) -> tuple[NDArray[Any], ...]:
    per_cut = (num_images, 256)
    return (
        np.empty(num_images, dtype=np.uint8),
        np.empty(per_cut),
        np.empty(per_cut),
        np.empty((*per_cut, 4), dtype=np.int32),
        np.empty(per_cut, dtype=np.int32),
    )

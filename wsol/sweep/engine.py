"""Runs the sweep of a batch: the compiled kernel on all threads, or OpenCV where it cannot compile."""

from __future__ import annotations

import functools
import itertools
import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wsol.errors import InputError
from wsol.sweep.contours import sweep_by_contours
from wsol.sweep.conventions import BoxConvention
from wsol.sweep.inputs import invalid_map, quantize

MAX_SIDE = 2**15 - 1  # the kernel packs both coordinates of a pixel into 31 bits
Truth = list[NDArray[np.float64]]


def run_sweep(maps: NDArray[np.floating], truth: Truth, convention: BoxConvention, sweep: Any) -> None:
    """Fill the sweep of a batch by the fastest way that knows the convention's box rule."""
    kernel = compiled_kernel() if convention.largest_by != "polygon_points" else None
    if kernel is None:
        run_opencv(maps, truth, convention, sweep)
    else:
        run_compiled(kernel, maps, truth, convention, sweep)


@functools.cache
def compiled_kernel() -> Callable[..., None] | None:
    """The compiled sweep, or None where it cannot compile; ``WSOL_SWEEP=opencv`` avoids compiling."""
    if os.environ.get("WSOL_SWEEP") == "opencv":
        return None
    try:
        from wsol.sweep.kernel import sweep_images

        probe = np.zeros((1, 2, 2), dtype=np.float32)
        _run_range(sweep_images, probe, [np.zeros((1, 4))], BoxConvention(), _outputs(1))
    except Exception as error:  # numba fails in many ways where it has no working LLVM or no writable cache
        warnings.warn(f"the compiled sweep is not available ({error}); OpenCV is used, slower", stacklevel=2)
        return None
    return sweep_images


def run_opencv(maps: NDArray[np.floating], truth: Truth, convention: BoxConvention, sweep: Any) -> None:
    """Fill the sweep of a batch image by image with `cv2.findContours`."""
    for i, quantized in enumerate(quantize(maps)):
        sweep.maximum[i] = quantized.max()
        outputs = sweep.largest[i], sweep.all[i], sweep.largest_boxes[i], sweep.num_boxes[i]
        sweep_by_contours(quantized, truth[i], convention, *outputs)


def run_compiled(
    kernel: Callable[..., None], maps: NDArray[np.floating], truth: Truth, convention: BoxConvention, sweep: Any
) -> None:
    """Fill the sweep of a batch, the images shared out to torch's number of threads.

    Raises:
        InputError: If a map has a value outside [0, 1] or is too large.
    """
    if max(maps.shape[1:]) > MAX_SIDE:
        raise InputError(f"score maps may have at most {MAX_SIDE} pixels a side, got {maps.shape[1:]}")
    outputs = (sweep.largest, sweep.all, sweep.largest_boxes, sweep.num_boxes, np.empty(len(maps), dtype=np.int64))
    workers = max(1, min(torch.get_num_threads(), len(maps)))
    bounds = np.linspace(0, len(maps), workers + 1).astype(int)
    if workers == 1:
        _run_range(kernel, maps, truth, convention, outputs)
    else:
        with ThreadPoolExecutor(workers) as pool:
            jobs = [
                pool.submit(
                    _run_range, kernel, maps[a:b], truth[a:b], convention, tuple(output[a:b] for output in outputs)
                )
                for a, b in itertools.pairwise(bounds)
            ]
        for job in jobs:
            job.result()
    maxima = outputs[-1]
    if (maxima < 0).any():
        raise invalid_map(maps, int(np.argmax(maxima < 0)))
    sweep.maximum[:] = maxima


def _run_range(
    kernel: Callable[..., None],
    maps: NDArray[np.floating],
    truth: Truth,
    convention: BoxConvention,
    outputs: tuple[NDArray[Any], ...],
) -> None:
    height, width = maps.shape[1:]
    last = (width - 1.0, height - 1.0) if convention.clamp_end else (float(width), float(height))
    rows = np.cumsum([0, *map(len, truth)])
    plus = 1.0 if convention.closed_pixels else 0.0
    empty_box = np.array(convention.empty_box_of(width, height), dtype=np.int32)
    by_contour_area = convention.largest_by == "contour_area"
    kernel(maps, np.concatenate(truth), rows, by_contour_area, (plus, *last), empty_box, *outputs)


def _outputs(num_images: int) -> tuple[NDArray[Any], ...]:
    per_cut = (num_images, 256)
    return (
        np.empty(per_cut),
        np.empty(per_cut),
        np.empty((*per_cut, 4), dtype=np.int32),
        np.empty(per_cut, dtype=np.int32),
        np.empty(num_images, dtype=np.int64),
    )

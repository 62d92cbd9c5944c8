"""Torch devices by name, checked before any work is done."""

from __future__ import annotations

import torch

from tdam.errors import UsageError, UserError


def open_device(name: str | torch.device) -> torch.device:
    """The device of a name, if this machine has it.

    Args:
        name: "cpu", "cuda", "cuda:1", "mps" …, or a device.

    Raises:
        UsageError: If there is no such kind of device.
        UserError: If this machine has none of that kind or number.

    >>> open_device("gpu")
    Traceback (most recent call last):
    ...
    tdam.errors.UsageError: unknown device 'gpu'; examples: cpu, cuda, cuda:0
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"unknown device {name!r}; examples: cpu, cuda, cuda:0") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device {str(name)!r}: no CUDA device is available here; use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"device {str(name)!r}: this machine has cuda:0 to cuda:{torch.cuda.device_count() - 1}")
    try:
        torch.empty(1, device=device)
    except (RuntimeError, NotImplementedError, AssertionError, ImportError) as error:
        raise UserError(f"device {str(name)!r} is not available here; use --device cpu") from error
    if device.type == "meta":
        raise UsageError("device 'meta' holds no numbers; use cpu or cuda")
    return device

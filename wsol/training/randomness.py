"""Randomness as a function of position instead of state.

Every random choice of training depends on (seed, epoch, step, …) alone. A run that was killed continues with the very
numbers it would have drawn, however many workers decode its images, and no generator state needs to be saved.
"""

from __future__ import annotations

import random
from enum import IntEnum

import numpy as np
import torch


class Stream(IntEnum):
    """Independent sources of random numbers within one run."""

    NETWORK = 0
    ORDER = 1
    IMAGE = 2
    AUGMENTATION = 3
    ERASING = 4
    STEP = 5


def derive_seed(seed: int, stream: Stream, *position: int) -> int:
    """One well-mixed 63-bit seed for a stream at a position (numpy's SeedSequence)."""
    state = np.random.SeedSequence([seed, int(stream), *position]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def generator_at(seed: int, stream: Stream, *position: int) -> torch.Generator:
    """CPU generator of a stream at a position."""
    return torch.Generator().manual_seed(derive_seed(seed, stream, *position))


def seed_at(seed: int, stream: Stream, *position: int) -> None:
    """Seed the global generators of Python, numpy and torch (all devices)."""
    value = derive_seed(seed, stream, *position)
    random.seed(value)
    np.random.seed(value % 2**32)  # noqa: NPY002  timm's Mixup draws from the global generator
    torch.manual_seed(value)

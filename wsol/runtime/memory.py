"""How the C library hands memory back to the system."""

from __future__ import annotations

import ctypes
import sys

# Parameters of glibc's mallopt and the largest value of both: what is freed stays with the process.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Keep freed memory for the next batch instead of handing it back, where the C library is glibc.

    The tensors of a batch are larger than glibc's thresholds: each is fetched from the system anew, and every page
    of it costs a page fault at its first use, batch after batch. With the thresholds raised the process keeps what
    one batch needs. The environment variable ``GLIBC_TUNABLES`` could do so only before the process starts.

    Returns:
        Whether the C library took the values; others have neither the function nor, as far as known, the fault.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST)) and bool(mallopt(M_TRIM_THRESHOLD, LARGEST))

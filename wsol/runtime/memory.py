"""How the C library hands memory back to the system.

hand_back_freed_memory()    # opening a network takes several times its weights, once
...
keep_freed_memory()         # every batch takes what the last one did
...
hand_back_freed_memory()    # the libraries of tables and figures take the place of the last batch
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping

# Parameters of glibc's mallopt. Blocks beyond the mmap threshold are fetched from the system and handed back singly;
# what lies free at the end of the heap is handed back beyond the trim threshold.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
SMALL, LARGEST = 2**20, 2**31 - 1


def hand_back_freed_memory() -> bool:
    """Hand back what is free, and from now on memory as soon as it is freed, where the C library is glibc.

    By itself glibc raises its threshold with every large block that is freed, and keeps such blocks from then on.

    Returns:
        Whether the C library took the values; others have neither the function nor, as far as known, the fault.
    """
    # One pool for all threads: else each keeps for itself what the others could use.
    taken = _set({M_MMAP_THRESHOLD: SMALL, M_ARENA_MAX: 1})
    if taken:
        ctypes.CDLL(None).malloc_trim(0)
    return taken


def keep_freed_memory() -> bool:
    """Keep freed memory for the next batch instead of handing it back, where the C library is glibc.

    The tensors of a batch are larger than glibc's thresholds: each is fetched from the system anew, and every page
    of it costs a page fault at its first use, batch after batch. With the thresholds raised the process keeps what
    one batch needs. The environment variable ``GLIBC_TUNABLES`` could do so only before the process starts.

    Returns:
        As `hand_back_freed_memory`.
    """
    return _set({M_MMAP_THRESHOLD: LARGEST, M_TRIM_THRESHOLD: LARGEST})


def _set(values: Mapping[int, int]) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return False
    return all(mallopt(parameter, value) for parameter, value in values.items())

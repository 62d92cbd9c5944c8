"""Freed memory goes back to the system where work is done once, and stays for the next batch where it is repeated."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")

CODE = """
import resource, sys
import numpy as np
from wsol.runtime import memory
assert sys.argv[1] == "nothing" or getattr(memory, sys.argv[1])()
np.ones(4_000_000)
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(4_000_000)  # 32 MB, beyond the thresholds that glibc has by itself
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults)
for size in (1_000_000, 2_000_000):  # 8 and 16 MB: glibc keeps what is as large as what was freed before
    pinned, large = [], [np.ones(size) for _ in range(8)]
    pinned.append(np.ones(1000))  # lies above them in the heap
    del large
print(int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() // 2**20)
"""


def measured(setting: str) -> tuple[int, int]:
    """Page faults of twenty large arrays one after the other, and MB that are held when arrays have been freed."""
    done = subprocess.run([sys.executable, "-c", CODE, setting], capture_output=True, text=True, check=True)
    faults, held = map(int, done.stdout.split())
    return faults, held


def test_the_next_array_takes_the_pages_of_the_last_one() -> None:
    assert measured("keep_freed_memory")[0] < 0.05 * measured("nothing")[0]


def test_what_is_freed_once_goes_back() -> None:
    assert measured("hand_back_freed_memory")[1] < measured("keep_freed_memory")[1] - 40

"""Freed memory stays with the process, so that the next batch costs no page faults."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

CODE = """
import resource, sys
import numpy as np
from wsol.runtime.memory import keep_freed_memory
assert sys.argv[1] == "no" or keep_freed_memory()
np.ones(4_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(4_000_000)  # 32 MB, beyond the thresholds that glibc has by itself
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(keep: str) -> int:
    done = subprocess.run([sys.executable, "-c", CODE, keep], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_the_next_array_takes_the_pages_of_the_last_one() -> None:
    assert page_faults("yes") < 0.05 * page_faults("no")

"""Batches from a dataset, and the share of time that is lost waiting for them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

Batch = TypeVar("Batch")


class WaitingClock(Generic[Batch]):
    """Iterates over a loader and measures how long its user waits for batches.

    >>> clock = WaitingClock([1, 2, 3])
    >>> sum(clock)
    6
    >>> 0 <= clock.share_waiting <= 1
    True

    Args:
        batches: A DataLoader, or anything else that can be iterated over.

    Attributes:
        waiting: Seconds spent waiting for batches.
        working: Seconds between batches, spent by the user.
    """

    def __init__(self, batches: Iterable[Batch]) -> None:
        self.batches = batches
        self.waiting = 0.0
        self.working = 0.0

    def __iter__(self) -> Iterator[Batch]:
        asked = time.perf_counter()
        for batch in self.batches:
            got = time.perf_counter()
            self.waiting += got - asked
            yield batch
            asked = time.perf_counter()
            self.working += asked - got
        self.waiting += time.perf_counter() - asked

    @property
    def share_waiting(self) -> float:
        """Share of the time that was spent waiting, 0 … 1; 0 before the first batch."""
        total = self.waiting + self.working
        return self.waiting / total if total else 0.0

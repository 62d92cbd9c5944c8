"""Stages of a run that overlap: items are prefetched by threads, and consumed by one more thread.

    with Consumer(judge) as consumer:
        for batch in prefetch(read_images, parts, threads=2):
            consumer.put(network(batch))

Only so many items are on their way at once, so memory does not grow; items keep their order; the first error is raised
once, where the items are made.
"""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
MOST_THREADS = 8  # Python itself runs in one thread at a time; more of them gain nothing
MOST_WAITING = 2  # items that wait for a consumer


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def prefetch(make: Callable[[Item], Result], items: Iterable[Item], threads: int | None = None) -> Iterator[Result]:
    """What a function makes of every item, in order, made a few items ahead by threads.

    Args:
        make: Called in any thread; should spend its time outside Python, such as in a decoder.
        items: What it is called with, taken as needed.
        threads: Number of threads, and of results that are ready or in the making; default: one per core, at most
            `MOST_THREADS`.

    Raises:
        Exception: What `make` raised, after the results before it.

    >>> list(prefetch(str, range(3)))
    ['0', '1', '2']
    """
    threads = threads or min(available_cores(), MOST_THREADS)
    ahead: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="prefetch")
    try:
        for item in items:
            ahead.append(pool.submit(make, item))
            if len(ahead) > threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


class Consumer(Generic[Item]):
    """Calls a function with one item after another in a thread of its own.

    A context: leaving it waits until every item is consumed, also where the context ends with an error or Ctrl+C, so
    that nothing is lost of what was made. After an error of the function the items behind it are dropped, and the error
    is raised by the next `put` or at the end. A second Ctrl+C drops what waits and finishes the item at hand.

    Args:
        consume: The function.
        most_waiting: So many items may wait before `put` does.
    """

    def __init__(self, consume: Callable[[Item], None], most_waiting: int = MOST_WAITING) -> None:
        self._consume = consume
        self._waiting: queue.Queue[Item | None] = queue.Queue(most_waiting)
        self._thread = threading.Thread(target=self._run, name="consumer", daemon=True)
        self._failure: BaseException | None = None
        self._stopped = False

    def put(self, item: Item) -> None:
        """Hand over an item; waits while too many wait.

        Raises:
            BaseException: What the function raised for an item before.
        """
        if self._failure is not None:
            raise self._failure
        if not self._thread.is_alive():
            # Not before: whoever makes items may first fork processes, which goes best without threads.
            self._thread.start()
        self._waiting.put(item)

    def __enter__(self) -> Consumer[Item]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, *_: object) -> None:
        try:
            self._finish()
        except KeyboardInterrupt:
            self._stopped = True
            self._finish()
            raise
        stopped_by_user = error is not None and not isinstance(error, Exception)
        if self._failure is not None and self._failure is not error and not stopped_by_user:
            # It belongs to an earlier item than an error of whoever makes them.
            raise self._failure from None

    def _finish(self) -> None:
        if not self._thread.is_alive():
            return
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            if self._failure is None and not self._stopped:
                try:
                    self._consume(item)
                except BaseException as error:  # raised again in the thread that puts items
                    self._failure = error
            item = None  # not kept while the next one is waited for

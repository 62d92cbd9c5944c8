"""Batches that other processes read: what goes wrong there is told in one line here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from tdam.errors import UserError
from wsol.data.errors import DatasetError

Batch = TypeVar("Batch")
# How torch names what the system did to a process that reads, or refused to give it.
SYSTEM_FAULTS = ("DataLoader worker", "shared memory", "ancdata", "Too many open files")


class WorkerError(DatasetError):
    """A process that reads images was stopped."""


def from_workers(batches: Iterable[Batch]) -> Iterator[Batch]:
    """The batches of a DataLoader.

    Raises:
        WorkerError: If a process that reads images was killed, usually because memory ran out.
        UserError: What a process raised, without the traceback that torch adds to the message.
    """
    try:
        yield from batches
    except UserError as error:
        lines = [line.strip() for line in str(error).strip().splitlines()]
        if len(lines) < 2:
            raise
        message = lines[-1].removeprefix(f"{type(error).__module__}.{type(error).__qualname__}: ")
        raise type(error)(message) from None
    except (RuntimeError, OSError, EOFError) as error:
        text = " ".join(str(error).split())
        known = isinstance(error, ConnectionError | EOFError) or any(fault in text for fault in SYSTEM_FAULTS)
        if text.startswith("Caught ") or not known:
            raise
        raise WorkerError(
            f"a process that reads images was stopped by the system ({text}), usually because memory ran out: "
            "use fewer --workers, or 0 to read in the main process"
        ) from error

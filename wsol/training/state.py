"""The state of a run on disk: complete, atomic, and read without executing anything from the file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from tdam.errors import CheckpointError, UserError

STATE_FILE = "state.pt"


@dataclass
class Position:
    """Where a run stands and what it has measured so far.

    Attributes:
        epoch: Epoch under way, from 0.
        step: Optimiser steps of that epoch that are done.
        loss_sum: Sum of the epoch's losses so far.
        correct: Training images classified correctly in the epoch so far.
        rows: One row of figures per finished epoch.
        best: Row of the best validated epoch by the selecting metric.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    rows: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, float] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the state file."""
        return asdict(self)


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it over `path`.

    A reader, or a process killed at any moment, finds the whole old file or the whole new one.

    Raises:
        UserError: If the file cannot be written (disk full, no permission); the old file is intact.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        # Temporary files are private; what is written is for others to read.
        temporary.chmod(0o644)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        # torch.save reports a full disk as RuntimeError.
        raise UserError(f"cannot write {path}: {error}; the last good checkpoint is intact") from error
    finally:
        if temporary is not None:
            with suppress(FileNotFoundError):
                temporary.unlink()


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain data atomically.

    Raises:
        UserError: If the file cannot be written; an older state is intact.
    """
    write_atomically(path, lambda temporary: torch.save(state, temporary))


def load_state(path: Path) -> dict[str, Any]:
    """Read a state file onto the CPU.

    Raises:
        CheckpointError: If the file is damaged or holds anything but tensors and plain data.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(f"cannot read {path}: {error}; remove it or start without --resume") from error


def keep_earlier_run(folder: Path) -> Path | None:
    """Rename the folder of an earlier run out of the way of a new one; returns its new name, None if there is none.

    >>> keep_earlier_run(Path("no/such/run"))
    """
    if not (folder / STATE_FILE).exists():
        return None
    number = 1
    while (kept := folder.with_name(f"{folder.name}-{number}")).exists():
        number += 1
    return folder.rename(kept)

"""The state of a run on disk: complete, atomic, and read without executing anything from the file."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from tdam.errors import CheckpointError
from tdam.files import DamagedFileError, make_folder, read_checked, write_checked
from wsol.runtime.runs import BEST, LAST
from wsol.runtime.trackers import IDS

STATE_FILE = "state.pt"
RUN_FILES = ("tensorboard", IDS, "curves.png", "log.csv", LAST, BEST)
RESTART = "train again without --resume: the earlier files are then kept in a folder beside"


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


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain data with a checksum, whole or not at all.

    Raises:
        WriteError: If the file cannot be written; an older state is as it was.
    """
    content = io.BytesIO()
    torch.save(state, content)
    write_checked(path, content.getvalue())


def load_state(path: Path) -> dict[str, Any]:
    """Read a state file onto the CPU.

    Raises:
        CheckpointError: If a single bit of the file is not as it was written, or it holds anything but tensors and
            plain data.
    """
    try:
        return torch.load(io.BytesIO(read_checked(path)), map_location="cpu", weights_only=True)
    except DamagedFileError as error:
        raise CheckpointError(f"{error}; {RESTART}") from error
    except Exception as error:  # a checksum is no signature: whoever wrote the file may have put anything into it
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{path} cannot be read: {reason}; {RESTART}") from error


def keep_earlier_run(folder: Path) -> Path | None:
    """Move the files of an earlier run into a folder of their own beside, out of the way of a new run.

    Args:
        folder: Folder of the run, held by this process.

    Returns:
        Where the files are now, None if there are none.

    >>> keep_earlier_run(Path("no/such/run"))
    """
    # The state goes last: should this be interrupted, what is left is still seen as an earlier run.
    files = [path for name in (*RUN_FILES, STATE_FILE) if (path := folder.resolve() / name).exists()]
    if not files:
        return None
    number = 1
    while (kept := files[0].parent.with_name(f"{files[0].parent.name}-{number}")).exists():
        number += 1
    make_folder(kept)
    for path in files:
        path.rename(kept / path.name)
    return kept

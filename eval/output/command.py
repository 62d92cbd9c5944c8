"""The command line that gives the same figures again."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from eval.options import EvaluationOptions
from wsol.data.registry import list_datasets

# They change no figure.
NOT_REPEATED = ("resume", "restart", "log")
WITHOUT_ROOT = ("minibirds",)


def command_line(options: EvaluationOptions, checkpoint: Path | None = None) -> str:
    """The command that repeats an evaluation, to be pasted in the folder it was given in.

    Args:
        options: What was evaluated. Options at their defaults are left out; the data root that the environment names
            is spelled out.
        checkpoint: The file that the weights came from, where the user named none and it is not the package's own.
    """
    data_root = options.data_root
    if data_root is None and options.dataset in list_datasets() and options.dataset not in WITHOUT_ROOT:
        data_root = Path(os.environ["WSOL_DATA"]) if os.environ.get("WSOL_DATA") else None
    settled = {"checkpoint": options.checkpoint or checkpoint, "data_root": data_root}
    words = ["wsol-eval"]
    for option in fields(options):
        value = settled.get(option.name, getattr(options, option.name))
        if option.name not in NOT_REPEATED and (option.default is MISSING or value != option.default):
            words += _words(option.name.replace("_", "-"), value)
    return shlex.join(words)


def _words(name: str, value: Any) -> Iterator[str]:
    """An option as tyro reads it."""
    if value is True or value is False:
        yield f"--{name}" if value else f"--no-{name}"
        return
    yield f"--{name}"
    if isinstance(value, tuple):
        yield from map(str, value)
    else:
        yield str(value)

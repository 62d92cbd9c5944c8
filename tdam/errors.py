"""Errors a user can mend, shared by the three packages.

A command prints the message of a `UserError` as one line on stderr and leaves
with its `exit_code`; any other exception is a defect of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
import io
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any


class UserError(Exception):
    """A mistake the user can mend. The message is one line: the thing, what is wrong, the mend."""

    exit_code = 1


class UsageError(UserError):
    """A command was called with options that do not make sense together."""

    exit_code = 2


class UnknownNameError(UsageError, ValueError):
    """A name (model, dataset, split, option …) that does not exist."""


class CheckpointError(UserError, RuntimeError):
    """A checkpoint file that is missing, damaged, unsafe or does not fit the network."""


@contextmanager
def one_line_errors(when_stopped: str = "run the command again to continue") -> Iterator[None]:
    """Around a command's work: what a user can mend becomes one line on stderr and the exit code.

    Args:
        when_stopped: What to do after Ctrl+C, for the message.
    """
    _print_any_text()
    python_form, warnings.formatwarning = warnings.formatwarning, _one_line_warning
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt:
        print(f"error: stopped by the user; {when_stopped}", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        message = in_one_line(error)
        if message is None:
            raise
        print(f"error: {message}", file=sys.stderr)
        sys.exit(error.exit_code if isinstance(error, UserError) else 1)
    finally:
        warnings.formatwarning = python_form


def _one_line_warning(message: Warning | str, *where: Any, **line: Any) -> str:
    return f"warning: {' '.join(str(message).split())}\n"


def _print_any_text() -> None:
    """Let terminals whose encoding lacks a character show a question mark instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def in_one_line(error: Exception) -> str | None:
    """What a user is told of an error: of their own mistakes, and of what the machine refuses.

    Returns:
        One line; None for a defect of ours, whose traceback is wanted.

    >>> in_one_line(OSError(28, "No space left on device", "out/a.csv"))
    'out/a.csv: No space left on device'
    """
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, BrokenPipeError):
        # What is still to be printed goes nowhere, else Python complains once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return "standard output was closed before everything was printed; files are written"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "memory ran out: use a smaller --batch-size or fewer --workers"
    if isinstance(error, RuntimeError) and "DataLoader worker" in str(error):
        return "a process that reads images was killed, usually because memory ran out: use fewer --workers"
    return None


def nearest_first(name: str, valid: Iterable[str]) -> list[str]:
    """Valid names, the ones most like `name` first.

    >>> nearest_first("cup", ["imagenet", "cub"])
    ['cub', 'imagenet']
    """

    def distance(candidate: str) -> float:
        return -difflib.SequenceMatcher(None, name.lower(), candidate.lower()).ratio()

    return sorted(sorted(valid), key=distance)


def check_name(kind: str, name: str, valid: Iterable[str], most: int = 12) -> str:
    """Return `name` if it is valid, else raise listing the valid ones, nearest first.

    Args:
        kind: What the name names, for the message ("model", "dataset").
        name: The name given.
        valid: All valid names.
        most: At most this many names are listed; the rest are counted.

    Raises:
        UnknownNameError: If `name` is not among `valid`.

    >>> check_name("split", "tst", ["train", "val", "test"])
    Traceback (most recent call last):
    ...
    tdam.errors.UnknownNameError: unknown split 'tst'; valid: test, train, val
    """
    valid = list(valid)
    if name in valid:
        return name
    names = nearest_first(name, valid)
    more = f" … and {len(names) - most} more" if len(names) > most else ""
    raise UnknownNameError(f"unknown {kind} {name!r}; valid: {', '.join(names[:most])}{more}")

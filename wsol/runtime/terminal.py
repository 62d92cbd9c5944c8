"""What commands print: as wide as the terminal, names as they are, numbers whole."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version

from rich.console import Console


def print_version(arguments: Sequence[str] | None) -> bool:
    """Answer ``--version``, alone on the command line, as every command does.

    Args:
        arguments: Command line without the program's name; None reads `sys.argv`.

    Returns:
        Whether it was asked for, so that the command is done.
    """
    asked = list(sys.argv[1:] if arguments is None else arguments) == ["--version"]
    if asked:
        print(f"wsol {version('wsol')}")
    return asked


class _Console(Console):
    """Leaves a closed output to the command, which tells it in its own line."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console(stderr: bool = False) -> Console:
    """The console of a command.

    It is as wide as the terminal; where the output is piped, as ``COLUMNS`` says or 80 characters. Names from data may
    hold square brackets, so nothing is read as markup.

    Args:
        stderr: Print to stderr.
    """
    return _Console(stderr=stderr, markup=False, highlight=False, emoji=False)

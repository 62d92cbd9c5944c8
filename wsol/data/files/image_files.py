"""Which image files lie below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from wsol.data.errors import DatasetError
from wsol.data.files.decoders import SUFFIXES

NO_CLASSES = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information"})
"""Folders that systems leave beside people's own; like those with a dot in front they are passed by."""


def image_files(folder: Path) -> list[str]:
    """Paths of the image files below `folder`, sorted, with ``/`` between their parts.

    Links to files and folders are followed, a folder that holds itself once. Hidden files and folders are passed by.

    Raises:
        DatasetError: If a folder cannot be read.
    """
    return sorted(_walk(folder, "", frozenset()))


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is none of the user's pictures."""
    return name.startswith(".") or name in NO_CLASSES


def _walk(folder: Path, prefix: str, parents: frozenset[tuple[int, int]]) -> Iterator[str]:
    try:
        status = folder.stat()
        entries = list(os.scandir(folder))
    except OSError as error:
        raise DatasetError(f"{folder}: {error.strerror or error}") from None
    here = (status.st_dev, status.st_ino)
    if here in parents:  # a link back up
        return
    for entry in entries:
        if is_hidden(entry.name):
            continue
        if entry.is_dir():
            yield from _walk(folder / entry.name, f"{prefix}{entry.name}/", parents | {here})
        elif os.path.splitext(entry.name)[1].lower() in SUFFIXES and (entry.is_file() or entry.is_symlink()):
            yield prefix + entry.name  # also a link to nothing: an image that is missing is not passed by

"""Which file an annotation means: the names in a list against the files of a folder."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from wsol.data.errors import DatasetError
from wsol.data.ground_truth import is_text

DRIVE = re.compile(r"^[A-Za-z]:/")


class ListedFiles:
    """Finds the files that the entries of a list mean.

    An entry is a file's path below the folder. Where there is no such file, an entry may also be

    - a path written on Windows, with backslashes between its parts;
    - an absolute path into the folder;
    - the end of a path (``b.jpg`` for ``cup/b.jpg``), with or without suffix, if one file alone ends so;
    - longer than a path (``photos/cup/b.jpg`` for ``cup/b.jpg``), if no entry of the list is a path as it stands: then
      the list was written from another folder, and the same number of leading parts is taken off every entry.

    So a file that is missing is never replaced by one of the same name in another folder.

    Args:
        folder: The folder.
        files: Paths of the files below it.
        entries: All entries of the list.
    """

    def __init__(self, folder: Path, files: Iterable[str], entries: Sequence[str]) -> None:
        self.folder = folder
        self._roots = tuple(f"{root.as_posix()}/" for root in (folder, folder.resolve()))
        self._files = {_normal(path): path for path in files}
        paths = [self._below(entry) for entry in entries]
        wanted = {PurePosixPath(path).name for path in paths}
        self._by_ending: dict[str, list[str]] = defaultdict(list)
        for path in self._files:
            name = PurePosixPath(path)
            if name.name in wanted or name.stem in wanted:
                stem = name.with_suffix("").as_posix()
                for ending in (*_endings(path), stem, *_endings(stem)):
                    self._by_ending[ending].append(path)
        as_written = any(path in self._files or path in self._by_ending for path in paths)
        self._extra_parts = None if as_written else self._count_extra_parts(paths)

    def find(self, entry: str, source: str) -> str:
        """Path of the file that an entry means; where there is none, the path at which it should be.

        Raises:
            DatasetError: If several files may be meant, or the path leads out of the folder.
        """
        path = self._below(entry)
        if path in self._files:
            return self._files[path]
        if not is_text(path):
            raise DatasetError(f"{source}: {entry!r} holds characters that are not text: rename the file")
        found = self._by_ending.get(path, [])
        if not found and self._extra_parts is not None:
            shorter = "/".join(path.split("/")[self._extra_parts :])
            found = [shorter] if shorter in self._files else []
        if len(found) > 1:
            shown = " or ".join(self._files[each] for each in found[:2])
            raise DatasetError(f"{source}: {entry!r} may be {shown} in {self.folder}")
        if found:
            return self._files[found[0]]
        if path.startswith("/") or DRIVE.match(path) or path.split("/")[0] == "..":
            raise DatasetError(
                f"{source}: {entry!r} leads out of {self.folder}; write the path below it, or let 'images' name a "
                "folder that holds all images"
            )
        return path

    def _below(self, entry: str) -> str:
        """The entry as a path below the folder, if it is one; in normal form."""
        path = _normal(entry)
        if path in self._files:
            return path  # on Linux a file's name may hold a backslash
        path = os.path.normpath(path.replace("\\", "/"))
        for root in self._roots:
            path = path.removeprefix(root)
        return path

    def _count_extra_parts(self, paths: Iterable[str]) -> int | None:
        """How many leading parts the entries have too many, by the first that fits; None if none does."""
        for path in paths:
            for number, ending in enumerate(_endings(path), start=1):
                if ending in self._files:
                    return number
        return None


def _normal(path: str) -> str:
    """One spelling of letters that Unicode writes in several ways: macOS stores another than most lists have."""
    return unicodedata.normalize("NFC", path)


def _endings(path: str) -> list[str]:
    """Ends of a path at its parts, the longest first.

    >>> _endings("a/b/c.jpg")
    ['b/c.jpg', 'c.jpg']
    """
    parts = path.split("/")
    return ["/".join(parts[i:]) for i in range(1, len(parts))]

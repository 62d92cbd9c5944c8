"""Where the bytes of images lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from wsol.data.errors import ImageError


class ImageStore(Protocol):
    """Gives the encoded bytes of an image by its path below the store."""

    def read(self, path: str) -> bytes:
        """Encoded bytes.

        Raises:
            ImageError: If there is no such file, or it cannot be read.
        """

    def where(self, path: str) -> str:
        """The full name of the image, for messages."""

    def exists(self, path: str) -> bool:
        """Whether the store holds the image."""


class Folder:
    """Images as files below a folder."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def read(self, path: str) -> bytes:
        """Encoded bytes of the file."""
        try:
            return (self.root / path).read_bytes()
        except OSError as error:
            raise ImageError(f"{self.where(path)}: {error.strerror or error}") from None

    def where(self, path: str) -> str:
        """Path of the file."""
        return str(self.root / path)

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        try:
            return (self.root / path).is_file()
        except OSError:  # a name longer than any file's
            return False


def holds_some(store: ImageStore, paths: Sequence[str], most: int = 32) -> bool:
    """Whether the store has any of `most` images spread over `paths`; one missing image decides nothing."""
    return any(store.exists(path) for path in paths[:: max(1, len(paths) // most)])


class Renamed:
    """A store whose images are asked for by other names than it has.

    Args:
        store: The store with the images.
        names: Name in `store` of each name that is asked for.
    """

    def __init__(self, store: ImageStore, names: Mapping[str, str]) -> None:
        self.store = store
        self.names = names

    def read(self, path: str) -> bytes:
        """Encoded bytes of the image called `path` here."""
        if path not in self.names:
            raise ImageError(f"{path}: not among the images of {self.store.where('')}")
        return self.store.read(self.names[path])

    def where(self, path: str) -> str:
        """Its full name in the store."""
        return self.store.where(self.names.get(path, path))

    def exists(self, path: str) -> bool:
        """Whether the store holds it."""
        return path in self.names and self.store.exists(self.names[path])

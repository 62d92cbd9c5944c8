"""Files read straight from uncompressed tars, without unpacking them."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tdam.files import DamagedFileError, WriteError, cache_root, read_checked, write_checked
from wsol.data.errors import DatasetError, ImageError


class TarImages:
    """Store of the plain files in a tar.

    The place of every member is found once and kept in the cache, keyed by the tar's path, size and time;
    after that an image costs one positioned read. Works in any number of processes and threads.

    Args:
        path: An uncompressed tar.

    Raises:
        DatasetError: If it is missing, damaged or compressed.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.index = _cached_index(self.path)
        self._lock = threading.Lock()
        self._handle: tuple[int, int] | None = None  # process id, file descriptor

    def read(self, path: str) -> bytes:
        """Encoded bytes of the member `path`."""
        if path not in self.index:
            raise ImageError(f"{self.where(path)}: no such member")
        offset, size = self.index[path]
        data = os.pread(self._descriptor(), size, offset)
        if len(data) != size:
            raise ImageError(f"{self.where(path)}: the archive ends before the image does")
        return data

    def where(self, path: str) -> str:
        """The tar and the member."""
        return f"{self.path}:{path}"

    def exists(self, path: str) -> bool:
        """Whether the tar has the member."""
        return path in self.index

    def _descriptor(self) -> int:
        with self._lock:
            if self._handle is None or self._handle[0] != os.getpid():
                self._handle = os.getpid(), os.open(self.path, os.O_RDONLY)
            return self._handle[1]

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path, "index": self.index}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state, _lock=threading.Lock(), _handle=None)


class TarShards:
    """Store of the plain files in several tars, as WebDataset writes them: a file is read from the tar that has it.

    Args:
        paths: Uncompressed tars. Of files of one name, that of the last tar counts, as when they are unpacked in order.

    Raises:
        DatasetError: If one is missing, damaged or compressed.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.shards = [TarImages(path) for path in paths]
        self._shard_of = {name: shard for shard in self.shards for name in shard.index}

    def read(self, path: str) -> bytes:
        """Encoded bytes of the member `path`."""
        if path not in self._shard_of:
            raise ImageError(f"{self.where(path)}: no such member")
        return self._shard_of[path].read(path)

    def where(self, path: str) -> str:
        """The tar and the member; the folder of the tars where none has it."""
        shard = self._shard_of.get(path)
        return f"{self.shards[0].path.parent}/*.tar:{path}" if shard is None else shard.where(path)

    def exists(self, path: str) -> bool:
        """Whether one of the tars has the member."""
        return path in self._shard_of


def _cached_index(path: Path) -> dict[str, list[int]]:
    try:
        status = path.stat()
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from None
    key = f"{path.resolve()} {status.st_size} {status.st_mtime_ns}"
    cached = cache_root() / "tar-index" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
    try:
        return json.loads(read_checked(cached))
    except DamagedFileError:
        index = _index(path)  # absent, too
    with suppress(WriteError):  # the index is found again next time
        write_checked(cached, json.dumps(index).encode())
    return index


def _index(path: Path) -> dict[str, list[int]]:
    """Offset and size of every plain file."""
    try:
        with tarfile.open(path, "r:") as tar:
            index = {info.name.removeprefix("./"): [info.offset_data, info.size] for info in tar if info.isreg()}
    except (tarfile.TarError, EOFError) as error:
        raise DatasetError(f"{path}: not an uncompressed tar, or damaged ({error})") from None
    if index and max(offset + size for offset, size in index.values()) > path.stat().st_size:
        raise DatasetError(f"{path}: incomplete, its last image is cut off")
    return index

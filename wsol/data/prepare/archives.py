"""Unpacking archives that strangers made.

An archive is refused as a whole if any member has an absolute path, a path with ``..``, or is
anything but a plain file or folder (links, devices, pipes), or if its files are far larger than the archive can
honestly hold. Files are unpacked into a staging
folder below the root and moved to their places when all of them are there; an interrupted run
leaves nothing behind that looks finished, and the next one starts afresh.
"""

from __future__ import annotations

import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import track

from wsol.data.errors import DatasetError

STDERR = Console(stderr=True)
# The last three: a method of compression that nobody has, a name or number in a header that is none.
DAMAGED = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError),
    *(NotImplementedError, ValueError, OverflowError),
)
LARGEST_RATIO = 200  # of the unpacked files to the archive; lists and masks, which pack best, stay below 30
SMALL = 64 * 2**20  # bytes that any archive may unpack to
LONGEST_HEADER = 2**20  # bytes of a tar member's name and other facts
HEADER_TYPES = frozenset(
    {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}
)


class HostileArchiveError(DatasetError):
    """An archive with a member that could write outside the folder it is unpacked into, or fill the disk."""


@dataclass(frozen=True)
class Member:
    """A plain file in an archive.

    Attributes:
        name: Its path, relative and without ``..``.
        size: Bytes.
        open: Opens it for reading.
    """

    name: str
    size: int
    open: Callable[[], IO[bytes]]


def members(archive: Path) -> Iterator[Member]:
    """The plain files of a tar (compressed or not) or zip archive, in its order.

    Raises:
        HostileArchiveError: At the first member that is not safe to unpack.
        DatasetError: If the archive is missing, damaged, or no archive.
    """
    try:
        packed, unpacked = archive.stat().st_size, 0
        found = _zip_members(archive) if zipfile.is_zipfile(archive) else _tar_members(archive)
        for member in found:
            unpacked += member.size
            if unpacked > max(SMALL, LARGEST_RATIO * packed):
                raise HostileArchiveError(
                    f"{archive}: refused, its files take {unpacked / 1e9:.1f} GB and more, over {LARGEST_RATIO} times "
                    "the archive's size"
                )
            yield member
    except DAMAGED as error:
        raise _damaged(archive, error) from None
    except OSError as error:
        raise DatasetError(f"{archive}: {error.strerror or error}") from None


def unpack(archive: Path, root: Path, place: Callable[[str], str | None]) -> list[str]:
    """Unpack `archive` below `root`.

    Args:
        archive: A tar or zip file.
        root: Folder that nothing is written outside of.
        place: Gives the path below `root` that a member goes to; None leaves it out.

    Returns:
        The paths below `root` of the files unpacked, sorted.

    Raises:
        HostileArchiveError: If any member is not safe; nothing has been written to its place then.
        DatasetError: If the archive is damaged, or the disk too small.
    """
    check_space(root, archive.stat().st_size, f"unpack {archive.name}")
    try:
        with _staging(root) as stage:
            paths = sorted(_unpack_into(stage, archive, place))
            for path in paths:
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (stage / path).replace(root / path)
    except DAMAGED as error:
        raise _damaged(archive, error) from None
    except OSError as error:
        raise DatasetError(f"{archive}: cannot be unpacked below {root} ({error})") from None
    return paths


def _unpack_into(stage: Path, archive: Path, place: Callable[[str], str | None]) -> set[str]:
    paths = set()
    for member in _shown(members(archive), archive.name):
        target = place(member.name)
        if target is None:
            continue
        path = safe_name(target, archive)
        check_space(stage, member.size, f"unpack {member.name} of {archive.name}")
        (stage / path).parent.mkdir(parents=True, exist_ok=True)
        with member.open() as source, (stage / path).open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
        paths.add(path)
    return paths


def _shown(items: Iterator[Member], name: str) -> Iterable[Member]:
    """The same with a progress bar where a person watches."""
    return track(items, f"unpacking {escape(name)}", console=STDERR, transient=True, disable=not STDERR.is_terminal)


def safe_name(name: str, archive: Path) -> str:
    """`name` in normal form, if it stays below the folder it is unpacked into.

    Raises:
        HostileArchiveError: If it does not.
    """
    if any("\ud800" <= character <= "\udfff" for character in name):
        raise HostileArchiveError(f"{archive}: refused, the name of its member {name!r} is not text")
    path = PurePosixPath(name)
    outside = path.is_absolute() or ".." in path.parts or not path.parts
    if outside or "\\" in name or "\0" in name or ":" in path.parts[0]:
        raise HostileArchiveError(f"{archive}: refused, its member {name!r} does not stay in the folder")
    return str(path)


def check_space(folder: Path, needed: int, purpose: str) -> None:
    """Raise `DatasetError` if the disk of `folder` has less than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DatasetError(
            f"{folder}: {free / 1e9:.1f} GB free, {needed / 1e9:.1f} GB needed to {purpose}; "
            "free some space or choose another --root"
        )


def _damaged(archive: Path, error: Exception) -> DatasetError:
    return DatasetError(f"{archive}: damaged, incomplete or no archive ({' '.join(str(error).split())})")


class _BoundedTarInfo(tarfile.TarInfo):
    """A member whose header is read only if it is of a size that headers have; tarfile would read any into memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        info = super().frombuf(buf, encoding, errors)
        if info.type in HEADER_TYPES and info.size > LONGEST_HEADER:
            raise tarfile.ReadError(f"a header of {info.size} bytes")
        return info


def _tar_members(archive: Path) -> Iterator[Member]:
    with tarfile.open(archive, tarinfo=_BoundedTarInfo) as tar:
        for info in tar:
            name = safe_name(info.name, archive) if info.name not in (".", "./") else "."
            if info.isdir():
                continue
            if not info.isreg():
                raise HostileArchiveError(f"{archive}: refused, its member {info.name!r} is a link or device")
            yield Member(name, info.size, partial(_open_in_tar, tar, info))


def _open_in_tar(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = tar.extractfile(info)
    assert file is not None  # it is a plain file
    return file


def _zip_members(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as zipped:
        for info in zipped.infolist():
            name = safe_name(info.filename, archive)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise HostileArchiveError(f"{archive}: refused, its member {name!r} is a link or device")
            if info.flag_bits & 1:
                raise DatasetError(f"{archive}: encrypted")
            if not info.is_dir():
                yield Member(name, info.file_size, partial(zipped.open, info))


@contextmanager
def _staging(root: Path) -> Iterator[Path]:
    """A folder below `root` that is gone afterwards; leftovers of killed runs go first."""
    for leftover in root.glob(".unpacking-*"):
        if not _is_running(int(leftover.name.rpartition("-")[2])):
            shutil.rmtree(leftover, ignore_errors=True)
    stage = root / f".unpacking-{os.getpid()}"
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

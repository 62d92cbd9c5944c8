"""Files that the commands write: whole or not at all, checked when read back, never by two runs at once."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shlex
import socket
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import filelock
from safetensors import SafetensorError

from tdam.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

PART = ".part-"  # part of the name of a file that is being written
LOCK = ".lock"
HOLDER = ".lock-holder.json"
HEADER = b"sha256 "
FIXES = {
    errno.ENOSPC: "free some space, or choose another folder",
    errno.EDQUOT: "free some space, or choose another folder",
    errno.EROFS: "choose a folder that can be written to",
    errno.EACCES: "choose a folder that can be written to",
    errno.EPERM: "choose a folder that can be written to",
    errno.EEXIST: "a file is in the way: choose another name",
    errno.ENOTDIR: "a file is in the way: choose another name",
    errno.EISDIR: "a folder is in the way: choose another name",
    errno.ENAMETOOLONG: "choose a shorter name",
}


class WriteError(UserError, OSError):
    """A file that cannot be written. An older file of the name is as it was."""


class DamagedFileError(UserError, ValueError):
    """A file whose content is not what was written."""


def write_error(path: Path, error: Exception) -> WriteError:
    """What a user is told about a file or folder that cannot be written.

    >>> str(write_error(Path("out"), OSError(28, "No space left on device")))
    'cannot write out: No space left on device; free some space, or choose another folder'
    """
    number = error.errno if isinstance(error, OSError) else None
    reason = (error.strerror if isinstance(error, OSError) else None) or " ".join(str(error).split())
    fix = FIXES.get(number or 0)
    return WriteError(f"cannot write {path}: {reason}" + (f"; {fix}" if fix else ""))


def make_folder(path: Path) -> Path:
    """Make a folder and those above it.

    Raises:
        WriteError: If a file is in the way or the place is not to be written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(path, error) from error
    return path


@contextmanager
def replacing(path: Path, sync: bool = True) -> Iterator[Path]:
    """Give a temporary file beside `path` to fill; afterwards it takes the place of `path`.

    A reader, or a process killed at any moment, finds the whole old file or the whole new one. The temporary file has
    the suffix of `path`, by which some libraries choose the format. A link stays a link: its target is replaced.

    Args:
        path: The file; its folder is made.
        sync: Wait until the disk has it, so that it also outlives a power cut; for many files that can be made again,
            that is too slow.

    Raises:
        WriteError: If the file cannot be written (disk full, no permission, a folder or device of that name); an older
            file is as it was.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.stem}{PART}{secrets.token_hex(4)}{target.suffix}")
    made = False
    try:
        make_folder(target.parent)
        if target.exists() and not target.is_file():
            raise WriteError(f"cannot write {path}: it is a folder or a device; choose another name")
        # Opened with the permissions that the user's umask gives to any new file.
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        made = True
        yield temporary
        if sync:
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
        temporary.replace(target)
        made = False
        if sync:
            _sync_folder(target.parent)
    except UserError:
        raise
    except (OSError, SafetensorError) as error:
        raise write_error(path, error) from error
    finally:
        if made:
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, see `replacing`."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str, errors: str = "strict") -> None:
    """Write UTF-8 text whole or not at all, see `replacing`.

    Args:
        path: The file.
        text: Its lines end as they are here, on every system.
        errors: What becomes of characters that UTF-8 does not have, as in `str.encode`.
    """
    write_bytes(path, text.encode("utf-8", errors))


def write_checked(path: Path, content: bytes) -> None:
    """Write a file that `read_checked` can tell from a damaged one: its first line is the SHA-256 of the rest."""
    digest = hashlib.sha256(content).hexdigest().encode()
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(HEADER + digest + b"\n")
        file.write(content)


def read_checked(path: Path) -> bytes:
    """The content that `write_checked` wrote.

    Raises:
        DamagedFileError: If the file is not to be read, or not what was written.
    """
    try:
        header, _, content = path.read_bytes().partition(b"\n")
    except OSError as error:
        raise DamagedFileError(f"{path} cannot be read ({error.strerror or error})") from error
    if not header.startswith(HEADER):
        raise DamagedFileError(f"{path} is damaged, or was written by another version: it has no checksum")
    if header != HEADER + hashlib.sha256(content).hexdigest().encode():
        raise DamagedFileError(f"{path} is damaged: its content does not agree with its checksum")
    return content


def cache_root() -> Path:
    """Where files lie that these programs made or fetched for themselves: ``$WSOL_CACHE``, or ``~/.cache/wsol``."""
    return Path(os.environ.get("WSOL_CACHE") or Path.home() / ".cache" / "wsol")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    return file_digest(path, "sha256")


def file_digest(path: Path, algorithm: str) -> str:
    """Digest of a file in hexadecimal, by the name of an algorithm of `hashlib`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names and values, whatever their order, to tell whether two networks have the same weights."""
    import torch

    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold a folder for this process alone; a killed process holds it no longer.

    What killed processes left half written in the folder is removed.

    Args:
        folder: The folder; made if it is not there.

    Raises:
        UserError: If another process holds it; the message says which.
        WriteError: If the folder cannot be made or written to.
    """
    make_folder(folder)
    lock = filelock.FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise UserError(
            f"{folder} is in use by {_holder(folder)}: wait until it ends, or name another folder"
        ) from None
    except NotImplementedError:
        warnings.warn(f"{folder}: this file system knows no locks; let no other run write there", stacklevel=3)
    except OSError as error:
        raise write_error(folder, error) from error
    try:
        for leftover in folder.glob(f".*{PART}*"):
            leftover.unlink(missing_ok=True)
        write_text(folder / HOLDER, json.dumps(_this_process()) + "\n")
        yield
    finally:
        (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def _this_process() -> dict[str, str]:
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "process": str(os.getpid()),
        "machine": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _holder(folder: Path) -> str:
    """The process that holds a folder, for people to read."""
    try:
        holder = json.loads((folder / HOLDER).read_text(encoding="utf-8"))
        return f"process {holder['process']} on {holder['machine']} since {holder['since']} ({holder['command']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _sync_folder(folder: Path) -> None:
    """Bring the renaming of a file to the disk, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems cannot
    finally:
        os.close(handle)

"""Downloads that resume, are checked, and appear only when they are whole."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from wsol.data.archives import STDERR, check_space
from wsol.data.errors import DatasetError

BLOCK = 1 << 20
TIMEOUT_SECONDS = 60


def download(url: str, target: Path, md5: str | None = None) -> Path:
    """Fetch `url` into the file `target`, unless it is there already.

    The bytes go to ``<target>.part`` first. If that exists, from an interrupted run, the download
    goes on where it ended; a server that cannot do so sends the whole file again.

    Args:
        url: Where the file is.
        target: Where it goes.
        md5: Published checksum in hexadecimal; None: there is none, only the length is checked.

    Returns:
        `target`.

    Raises:
        DatasetError: If the server does not answer, the disk is too small, or length or checksum
            differ. What has arrived is kept for the next run, except after a wrong checksum.
    """
    if target.exists():
        return target
    part = target.with_name(target.name + ".part")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        _fetch(url, part, target.name)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise DatasetError(f"{url}: {reason}; run the command again to go on, or fetch it by hand") from None
    if md5 is not None and file_md5(part) != md5:
        part.unlink()
        raise DatasetError(f"{url}: wrong MD5, expected {md5}; the file was removed, run the command again")
    part.replace(target)
    return target


def file_md5(path: Path) -> str:
    """MD5 of a file in hexadecimal, as dataset pages publish it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _fetch(url: str, part: Path, name: str) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is left to send: the part is whole, or not of this file
            if error.headers.get("Content-Range", "").endswith(f"/{have}"):
                return
            part.unlink()
            _fetch(url, part, name)
            return
        raise
    with response:
        if response.status != 206:
            have = 0  # the server sends the whole file
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        if total is not None:
            check_space(part.parent, total - have, f"download {name}")
        _write(response, part, have, total, name)
    if total is not None and part.stat().st_size != total:
        raise ConnectionError(f"the connection ended after {part.stat().st_size} of {total} bytes")


def _write(response: IO[bytes], part: Path, have: int, total: int | None, name: str) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with (
        part.open("ab" if have else "wb") as file,
        Progress(*columns, console=STDERR, disable=not STDERR.is_terminal) as progress,
    ):
        task = progress.add_task(f"downloading {name}", total=total, completed=have)
        while block := response.read(BLOCK):
            file.write(block)
            progress.advance(task, len(block))

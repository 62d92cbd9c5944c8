"""One file from a server, going on where an interrupted download ended."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

BLOCK = 1 << 20
TIMEOUT_SECONDS = 60

# Given the response's headers and the bytes that are to come (None: not told); raises to refuse them.
Check = Callable[[Message, int | None], None]


def fetch(url: str, part: Path, name: str, check: Check) -> None:
    """Fetch `url` into the file `part`, with a progress bar on a terminal.

    If `part` exists, from an interrupted run, the download goes on at its end; a server that cannot do so sends the
    whole file again. What has arrived stays there whatever happens.

    Args:
        url: Where the file is.
        part: Where it goes.
        name: What to call it.
        check: Called before anything is written.

    Raises:
        OSError: If the server does not answer (`urllib.error.URLError`) or ends too early (`ConnectionError`).
        http.client.HTTPException: If its answer is no HTTP.
    """
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        # Nothing is left to send: the part is whole, or not of this file.
        if not error.headers.get("Content-Range", "").endswith(f"/{have}"):
            part.unlink()
            fetch(url, part, name, check)
        return
    with response:
        if response.status != 206:
            have = 0  # the server sends the whole file
        length = response.headers.get("Content-Length")
        coming = int(length) if length else None
        check(response.headers, coming)
        total = None if coming is None else have + coming
        _write(response, part, have, total, name)
    if total is not None and part.stat().st_size != total:
        raise ConnectionError(f"the connection ended after {part.stat().st_size} of {total} bytes")


def _write(response: IO[bytes], part: Path, have: int, total: int | None, name: str) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    with (
        part.open("ab" if have else "wb") as file,
        Progress(*columns, console=console, disable=not console.is_terminal) as progress,
    ):
        task = progress.add_task(f"downloading {escape(name)}", total=total, completed=have)
        while block := response.read(BLOCK):
            file.write(block)
            progress.advance(task, len(block))

"""Downloads that resume, are checked, and appear only when they are whole."""

from __future__ import annotations

import http.client
import urllib.error
from email.message import Message
from pathlib import Path

from tdam.download import fetch
from tdam.files import file_digest, make_folder
from wsol.data.errors import DatasetError
from wsol.data.prepare.archives import check_space


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
    make_folder(target.parent)

    def check(headers: Message, coming: int | None) -> None:
        if coming is not None:
            check_space(target.parent, coming, f"download {target.name}")

    try:
        fetch(url, part, target.name, check)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise DatasetError(f"{url}: {reason}; run the command again to continue, or download it by hand") from None
    if md5 is not None and file_digest(part, "md5") != md5:
        part.unlink()
        raise DatasetError(f"{url}: wrong MD5, expected {md5}; the file was removed, run the command again")
    part.replace(target)
    return target

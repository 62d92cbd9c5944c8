"""The TDAM authors' released weights, fetched from Google Drive when they are first asked for."""

from __future__ import annotations

import http.client
from email.message import Message
from pathlib import Path
from typing import NamedTuple

from tdam.download import fetch
from tdam.errors import CheckpointError, check_name
from tdam.files import cache_root, file_sha256, make_folder, write_text

URL = "https://drive.usercontent.google.com/download?id={id}&export=download&confirm=t"
PAGE = "https://drive.google.com/file/d/{id}"


class Release(NamedTuple):
    """A file of the authors.

    Attributes:
        file: Its name in the cache.
        drive_id: Its id at Google Drive (README of the TDAM repository).
    """

    file: str
    drive_id: str


RELEASES = {
    "resnet18_tdam.joint_t2_m2": Release("TD_RNet18_t2_m2_joint.pth.tar", "1_dko76uh6YjQG9o_vw6LkXTB_3abYbQG"),
    "resnet34_tdam.joint_t2_m2": Release("TD_RNet34_t2_m2_joint.pth.tar", "1v1DOkjbtXAMUgQLzuox9xCFpG4XgCZGF"),
    "resnet50_tdam.joint_t2_m1": Release("TD_RNet50_t2_m1_joint.pth.tar", "1teK0HxyP_3P1pDLePwesiO8xG_ZAJVR_"),
    "resnet101_tdam.joint_t2_m1": Release("TD_RNet101_t2_m1_joint.pth.tar", "1bbUztG6NpL2vUKmTfpjKRiSCjzQvtYzt"),
}


def fetch_release(name: str, folder: Path | None = None) -> Path:
    """The released file of a configuration, downloaded unless it is there.

    The SHA-256 of the first download is kept beside the file, and checked whenever it is used: Google
    Drive publishes none.

    Args:
        name: Network and tag, such as "resnet50_tdam.joint_t2_m1".
        folder: Where files are kept; None: `weights` in the cache (`WSOL_CACHE`, else ~/.cache/wsol).

    Raises:
        UnknownNameError: If nothing was released under this name.
        CheckpointError: If the file cannot be fetched or has changed since it was first used.
    """
    release = RELEASES[check_name("released weights", name, RELEASES)]
    folder = folder or cache_root() / "weights"
    path, record = folder / release.file, folder / f"{release.file}.sha256"
    if not path.exists():
        make_folder(folder)
        part = path.with_name(path.name + ".part")
        try:
            fetch(URL.format(id=release.drive_id), part, release.file, _refuse_pages)
        except (http.client.HTTPException, OSError) as error:
            page = PAGE.format(id=release.drive_id)
            reason = getattr(error, "reason", error)
            raise CheckpointError(f"cannot download {page} ({reason}); download it and put it at {path}") from None
        part.replace(path)
    checksum = file_sha256(path)
    if not record.exists():
        write_text(record, f"{checksum}  {path.name}\n")
    elif record.read_text().split()[0] != checksum:
        raise CheckpointError(f"{path} is not the file that was first used here (SHA-256 in {record}); remove it")
    return path


def _refuse_pages(headers: Message, coming: int | None) -> None:
    if headers.get_content_type() == "text/html":
        raise OSError("Google Drive sent a page in place of the file, as it does above its daily quota")

"""The mark in every picture these commands make: by it they know their own from people's photographs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from PIL import Image

MARK: Final = "made by wsol"
LOOKED_AT: Final = 1 << 16  # bytes at either end of a file; metadata stand in one of them
SOFTWARE_TAG: Final = 0x0131  # of EXIF


def figure_metadata(suffix: str) -> dict[str, Any]:
    """Matplotlib's metadata of a figure, without a date, so that the same figure gives the same bytes."""
    of_kind: dict[str, dict[str, Any]] = {
        ".png": {"Software": MARK},
        ".svg": {"Creator": MARK, "Date": None},
        ".pdf": {"Creator": MARK, "CreationDate": None},
    }
    return of_kind[suffix]


def picture_options(suffix: str) -> dict[str, Any]:
    """Pillow's options of a GIF or WebP with the mark in it."""
    if suffix == ".gif":
        return {"comment": MARK.encode()}
    exif = Image.Exif()
    exif[SOFTWARE_TAG] = MARK
    return {"exif": exif}


def mark_video(path: Path) -> None:
    """Add the mark to an MP4, in a box that players pass over."""
    content = MARK.encode()
    with path.open("ab") as file:
        file.write((8 + len(content)).to_bytes(4, "big") + b"free" + content)


def is_marked(path: Path) -> bool:
    """Whether a file is a picture that these commands made."""
    try:
        with path.open("rb") as file:
            ends = file.read(LOOKED_AT)
            file.seek(max(len(ends), os.fstat(file.fileno()).st_size - LOOKED_AT))
            ends += file.read(LOOKED_AT)
    except OSError:
        return False
    return MARK.encode() in ends

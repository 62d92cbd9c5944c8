"""Images named by a person: files, folders, globs and PIL images, opened as upright RGB.

A dataset of one's own is opened by the same rule. Benchmarks keep the frame that their ground truth was drawn in, see
`wsol.data.files.decoders`.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from PIL import Image

from tdam.errors import UserError
from wsol.data.errors import ImageError
from wsol.data.files.decoders import SUFFIXES, decode_exact, to_rgb
from wsol.data.files.image_files import image_files
from wsol.marks import is_marked

URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def open_image(source: str | os.PathLike[str] | Image.Image) -> Image.Image:
    """Open an image as upright 8-bit RGB.

    The camera's EXIF orientation is applied, transparency is laid on white, grey and CMYK become
    RGB, 16-bit grey is scaled by 1/257, and of an animation the first frame is taken.

    Args:
        source: Image file in any format that Pillow reads, or an opened PIL image, which stays as it is.

    Returns:
        An RGB image; no file is open.

    Raises:
        ImageError: If the file is missing, unreadable, cut off, or holds pixels of unknown range.
    """
    if isinstance(source, Image.Image):
        return to_rgb(source, str(getattr(source, "filename", "")) or "image")
    path = path_of(source)
    if path.is_dir():
        raise ImageError(f"{path}: is a folder, not an image")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise ImageError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    return decode_exact(data, str(path), "photograph")


def path_of(source: str | os.PathLike[str]) -> Path:
    """The file that a path or a ``file:`` URL names.

    Raises:
        ImageError: If it is a URL of another kind: nothing is downloaded.

    >>> path_of("file:///data/a%20b.jpg").as_posix()
    '/data/a b.jpg'
    """
    name = os.fspath(source)
    if name.startswith("file://"):
        return Path(url2pathname(urlsplit(name).path))
    if URL.match(name):
        raise ImageError(f"{name}: nothing is downloaded: fetch it first, as by curl -LO {shlex.quote(name)}")
    return Path(name)


def find_images(patterns: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Files that people mean by paths, folders and globs.

    Args:
        patterns: Each a file or its ``file:`` URL (taken whatever its suffix), a folder (its image files at any
            depth, in alphabetical order) or a glob such as ``photos/*.jpg`` or ``photos/**/*.png``.

    Returns:
        Paths in the order given, each once, without figures that wsol made of other photographs.

    Raises:
        UserError: If a file does not exist, or a folder or glob holds no image.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        found.update(dict.fromkeys(_matches(os.fspath(pattern))))
    photographs = [path for path in found if not is_marked(path)]
    if found and not photographs:
        raise UserError(f"{next(iter(found))}: a figure that wsol made, not a photograph")
    return photographs


def _matches(pattern: str) -> list[Path]:
    path = path_of(pattern)
    if path.is_file():
        return [path]
    if path.is_dir():
        matches = [path / name for name in image_files(path)]
    elif glob.has_magic(pattern):
        matches = [file for file in map(Path, glob.glob(pattern, recursive=True)) if file.suffix.lower() in SUFFIXES]
    else:
        raise UserError(f"{pattern}: no such file or folder")
    if not matches:
        raise UserError(f"{pattern}: no image files here (known: {' '.join(sorted(SUFFIXES))})")
    return sorted(matches)

"""Opening the images people have: any orientation, colour model and bit depth, as upright RGB.

This is for images named by a person. Images of a benchmark are opened by `wsol.data`, which keeps
the frame their ground truth was drawn in and so must ignore the camera's orientation tag.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from tdam.errors import UserError
from wsol.data.errors import ImageError
from wsol.marks import is_marked

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".avif"})
"""What `find_images` takes for an image in a folder; a file named outright may have any suffix."""

_TRANSPARENT_MODES = ("RGBA", "LA", "PA", "RGBa", "La")
_SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")


def open_image(path: str | os.PathLike[str]) -> Image.Image:
    """Open an image file as upright 8-bit RGB.

    The camera's EXIF orientation is applied, transparency is laid on white, grey and CMYK become
    RGB, 16-bit grey is scaled by 1/257, and of an animation the first frame is taken.

    Args:
        path: Image file in any format that Pillow reads.

    Returns:
        A loaded RGB image; the file is closed.

    Raises:
        ImageError: If the file is missing, unreadable, cut off, or holds floating-point pixels.
    """
    path = Path(path)
    if path.is_dir():
        raise ImageError(f"{path}: is a folder, not an image")
    try:
        with Image.open(path) as image:
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image), path)
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except Image.UnidentifiedImageError:
        raise ImageError(f"{path}: not an image that can be read") from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: too many pixels ({error}); shrink it first") from error
    # Damaged files make Pillow's decoders raise nearly anything from this list.
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, MemoryError) as error:
        raise ImageError(f"{path}: cannot be read as an image ({error})") from error


def _to_rgb(image: Image.Image, path: Path) -> Image.Image:
    if image.mode == "F":
        raise ImageError(f"{path}: holds floating-point pixels of unknown range; save it as 8 or 16 bit")
    if image.mode in _SIXTEEN_BIT_MODES:
        eight_bit = np.clip(np.asarray(image, dtype=np.float64) / 257, 0, 255).round().astype(np.uint8)
        return Image.fromarray(eight_bit).convert("RGB")
    if image.mode in _TRANSPARENT_MODES or "transparency" in image.info:
        opaque = Image.new("RGBA", image.size, "white")
        opaque.alpha_composite(image.convert("RGBA"))
        return opaque.convert("RGB")
    return image.convert("RGB")


def find_images(patterns: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Files that people mean by paths, folders and globs.

    Args:
        patterns: Each a file (taken whatever its suffix), a folder (its image files at any depth, in
            alphabetical order) or a glob such as ``photos/*.jpg`` or ``photos/**/*.png``.

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
    path = Path(pattern)
    if path.is_file():
        return [path]
    if path.is_dir():
        matches = [file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES]
    elif glob.has_magic(pattern):
        matches = [file for file in map(Path, glob.glob(pattern, recursive=True)) if file.suffix.lower() in SUFFIXES]
    else:
        raise UserError(f"{pattern}: no such file or folder")
    if not matches:
        raise UserError(f"{pattern}: no image files here (known: {' '.join(sorted(SUFFIXES))})")
    return sorted(matches)

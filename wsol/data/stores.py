"""Where the bytes of images lie, and how they become pictures."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from PIL import Image

from wsol.data.errors import ImageError

JPEG_END = b"\xff\xd9"


class ImageStore(Protocol):
    """Gives the encoded bytes of an image by its path below the store."""

    def read(self, path: str) -> bytes:
        """Encoded bytes.

        Raises:
            ImageError: If there is no such file, or it cannot be read.
        """

    def where(self, path: str) -> str:
        """The full name of the image, for messages."""

    def exists(self, path: str) -> bool:
        """Whether the store holds the image."""


class Folder:
    """Images as files below a folder."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def read(self, path: str) -> bytes:
        """Encoded bytes of the file."""
        try:
            return (self.root / path).read_bytes()
        except OSError as error:
            raise ImageError(f"{self.where(path)}: {error.strerror or error}") from None

    def where(self, path: str) -> str:
        """Path of the file."""
        return str(self.root / path)

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        return (self.root / path).is_file()


def holds_some(store: ImageStore, paths: Sequence[str], most: int = 32) -> bool:
    """Whether the store has any of `most` images spread over `paths`; one missing image decides nothing."""
    return any(store.exists(path) for path in paths[:: max(1, len(paths) // most)])


class Renamed:
    """A store whose images are asked for by other names than it has.

    Args:
        store: The store with the images.
        names: Name in `store` of each name that is asked for.
    """

    def __init__(self, store: ImageStore, names: Mapping[str, str]) -> None:
        self.store = store
        self.names = names

    def read(self, path: str) -> bytes:
        """Encoded bytes of the image called `path` here."""
        if path not in self.names:
            raise ImageError(f"{path}: not among the images of {self.store.where('')}")
        return self.store.read(self.names[path])

    def where(self, path: str) -> str:
        """Its full name in the store."""
        return self.store.where(self.names.get(path, path))

    def exists(self, path: str) -> bool:
        """Whether the store holds it."""
        return path in self.names and self.store.exists(self.names[path])


def decode_exact(data: bytes, name: str) -> Image.Image:
    """Decode to a PIL image in RGB, as wsolevaluation sees it (orientation tags are not applied).

    Raises:
        ImageError: If the bytes are no complete image; the message carries `name`.
    """
    return _decode(data, name, "RGB")


def decode_gray(data: bytes, name: str) -> np.ndarray:
    """Decode a mask to (H, W) uint8.

    Raises:
        ImageError: If the bytes are no complete image; the message carries `name`.
    """
    return np.asarray(_decode(data, name, "L"))


def decode_fast(data: bytes, name: str) -> torch.Tensor:
    """Decode to (3, H, W) uint8, JPEGs with OpenCV's decoder.

    Other formats, CMYK, and JPEGs without an end mark (OpenCV would fill what is missing) go through PIL.

    Raises:
        ImageError: If the bytes are no complete image; the message carries `name`.
    """
    image = _open(data, name)
    if image.format == "JPEG" and image.mode in ("RGB", "L") and data.rstrip(b"\0").endswith(JPEG_END):
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        bgr = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
        if bgr is not None:
            return torch.from_numpy(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)).permute(2, 0, 1)
    return torch.from_numpy(np.array(_decode(data, name, "RGB"))).permute(2, 0, 1)


def image_size(data: bytes, name: str) -> tuple[int, int]:
    """Width and height from the header, without decoding.

    Raises:
        ImageError: If the bytes are no image; the message carries `name`.
    """
    return _open(data, name).size


def image_sizes(store: ImageStore, paths: Sequence[str]) -> np.ndarray:
    """(N, 2) int64 width and height of images, from their headers; zeros where an image cannot be read."""

    def size(path: str) -> tuple[int, int]:
        try:
            return image_size(store.read(path), store.where(path))
        except ImageError:
            return 0, 0

    with ThreadPoolExecutor() as pool:
        return np.array(list(pool.map(size, paths)), dtype=np.int64).reshape(-1, 2)


def _open(data: bytes, name: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data))
    except Exception as error:  # PIL raises many kinds: OSError, ValueError, SyntaxError, …
        raise ImageError(f"{name}: cannot be read as an image ({_reason(error)})") from None


def _decode(data: bytes, name: str, mode: str) -> Image.Image:
    image = _open(data, name)
    try:
        return image.convert(mode)
    except Exception as error:  # as above: a damaged file can fail anywhere in a decoder
        raise ImageError(f"{name}: damaged image ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "unknown or damaged format"
    return str(error) or type(error).__name__

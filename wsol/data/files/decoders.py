"""From the bytes of an image file to a picture: the two rules by which images are opened.

- ``benchmark``: the pixels as they are stored, brought to RGB by Pillow alone. It is what wsolevaluation sees, and
  what the ground truth of CUB, ImageNet and OpenImages was drawn on.
- ``photograph``: people's own images, in a dataset, as a file, as a PIL image or dropped on the demo page. The camera's
  EXIF orientation is applied, transparency is laid on white, 16-bit grey is scaled to 8 bit.

Both refuse what they could only guess: floating-point pixels, whole numbers beyond 16 bit, and a benchmark's 16-bit
grey, which Pillow's own conversion would cut to white.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from wsol.data.errors import ImageError
from wsol.data.files.stores import ImageStore

if TYPE_CHECKING:
    import torch

Rule = Literal["benchmark", "photograph"]
T = TypeVar("T")
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".jp2", ".tga"}
    | {".ppm", ".pgm", ".pbm", ".pnm"}
)
"""What is taken for an image in a folder, in lower case; a file named outright may have any suffix."""
JPEG_END = b"\xff\xd9"
ORIENTATION = 0x0112  # EXIF tag
TURNED = (5, 6, 7, 8)  # values of the tag that exchange width and height
TRANSPARENT_MODES = ("RGBA", "LA", "PA", "RGBa", "La")
INTEGER_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")
SIXTEEN_BIT = 65535


@dataclass(frozen=True)
class Header:
    """What the first bytes of an image file say.

    Attributes:
        size: Width and height as stored, in pixels.
        orientation: EXIF orientation, 1 to 8; 1 is upright.
    """

    size: tuple[int, int]
    orientation: int = 1

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height once the orientation has been applied."""
        return self.size[::-1] if self.orientation in TURNED else self.size

    def size_by(self, rule: Rule) -> tuple[int, int]:
        """Width and height of the picture that a rule makes of the file."""
        return self.upright_size if rule == "photograph" else self.size


def decode_exact(data: bytes, name: str, rule: Rule = "benchmark") -> Image.Image:
    """Decode to a PIL image in RGB.

    Raises:
        ImageError: If the bytes are no complete image, or hold pixels that `rule` refuses; the message carries `name`.
    """
    return to_rgb(_open(data, name), name, rule)


def decode_fast(data: bytes, name: str, rule: Rule = "benchmark") -> torch.Tensor:
    """Decode to (3, H, W) uint8, JPEGs with OpenCV's decoder.

    Other formats, CMYK, turned photographs, and JPEGs without an end mark (OpenCV would fill what is missing) go
    through PIL.

    Raises:
        ImageError: As `decode_exact`.
    """
    import torch

    image = _open(data, name)
    plain = image.format == "JPEG" and image.mode in ("RGB", "L") and data.rstrip(b"\0").endswith(JPEG_END)
    if plain and (rule == "benchmark" or _orientation(image, data) == 1):
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        bgr = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
        if bgr is not None:
            return torch.from_numpy(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)).permute(2, 0, 1)
    return torch.from_numpy(np.array(to_rgb(image, name, rule))).permute(2, 0, 1)


def decode_mask(data: bytes, name: str, rule: Rule = "benchmark") -> npt.NDArray[np.bool_]:
    """Decode a mask: which pixels are brighter than half.

    Returns:
        (H, W) bool.

    Raises:
        ImageError: As `decode_exact`; also for a mask of ours whose transparency would have to be guessed at.
    """
    image = _open(data, name)

    def bright() -> npt.NDArray[np.bool_]:
        upright = ImageOps.exif_transpose(image) if rule == "photograph" else image
        if upright.mode in INTEGER_MODES:
            return _sixteen_bit(upright, name) > SIXTEEN_BIT // 2
        if rule == "photograph" and upright.mode in TRANSPARENT_MODES:
            alpha = np.asarray(upright.getchannel(upright.getbands()[-1]))
            if alpha.min() < 255:
                raise ImageError(f"{name}: a mask with transparency; save it as grey, bright where the object is")
        return np.asarray(upright.convert("L")) > 127

    _refuse_float(image, name)
    return _guarded(bright, name)


def to_rgb(image: Image.Image, name: str, rule: Rule = "photograph") -> Image.Image:
    """An opened PIL image as 8-bit RGB, by one of the two rules.

    Args:
        image: Any PIL image; it stays as it is.
        name: What to call it in messages.
        rule: See the module.

    Raises:
        ImageError: If it is damaged, or holds pixels that the rule refuses.
    """
    _refuse_float(image, name)
    if rule == "benchmark":
        if image.mode in INTEGER_MODES:
            raise ImageError(f"{name}: holds pixels of more than 8 bit, which no benchmark has; save it as 8 bit")
        return _guarded(lambda: image.convert("RGB"), name)
    return _guarded(lambda: _photograph(image, name), name)


def read_header(data: bytes, name: str) -> Header:
    """Size and orientation, without decoding.

    Raises:
        ImageError: If the bytes are no image; the message carries `name`.
    """
    image = _open(data, name)
    return Header(image.size, _orientation(image, data))


def read_headers(store: ImageStore, paths: Sequence[str]) -> list[Header | None]:
    """The header of every image; None where it cannot be read."""

    def read(path: str) -> Header | None:
        try:
            return read_header(store.read(path), store.where(path))
        except ImageError:
            return None

    with ThreadPoolExecutor() as pool:
        return list(pool.map(read, paths))


def image_sizes(store: ImageStore, paths: Sequence[str], rule: Rule = "benchmark") -> npt.NDArray[np.int64]:
    """(N, 2) width and height of images, from their headers; zeros where an image cannot be read."""
    sizes = [(0, 0) if header is None else header.size_by(rule) for header in read_headers(store, paths)]
    return np.array(sizes, dtype=np.int64).reshape(-1, 2)


def _photograph(image: Image.Image, name: str) -> Image.Image:
    image = ImageOps.exif_transpose(image)
    if image.mode in INTEGER_MODES:
        eight_bit = (_sixteen_bit(image, name) / 257).round().astype(np.uint8)
        return Image.fromarray(eight_bit).convert("RGB")
    if image.mode in TRANSPARENT_MODES or "transparency" in image.info:
        opaque = Image.new("RGBA", image.size, "white")
        opaque.alpha_composite(image.convert("RGBA"))
        return opaque.convert("RGB")
    return image.convert("RGB")


def _sixteen_bit(image: Image.Image, name: str) -> npt.NDArray[np.int64]:
    pixels = np.asarray(image).astype(np.int64)
    if pixels.size and not 0 <= pixels.min() <= pixels.max() <= SIXTEEN_BIT:
        raise ImageError(f"{name}: holds whole numbers beyond 16 bit, of unknown range; save it as 8 or 16 bit")
    return pixels


def _refuse_float(image: Image.Image, name: str) -> None:
    if image.mode == "F":
        raise ImageError(f"{name}: holds floating-point pixels of unknown range; save it as 8 or 16 bit")


def _orientation(image: Image.Image, data: bytes) -> int:
    """The EXIF orientation; 1 where there is none or it is none of the eight."""
    if image.format == "PNG" and b"eXIf" not in data and b"rientation" not in data:
        return 1  # Pillow would decode the whole image to look for it
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # a damaged EXIF block, which Pillow ignores as well when it turns an image
        return 1
    return value if value in range(1, 9) else 1


def _open(data: bytes, name: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data))
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name}: too many pixels ({error}); shrink it first") from None
    except Exception as error:  # PIL raises many kinds: OSError, ValueError, SyntaxError, …
        raise ImageError(f"{name}: cannot be read as an image ({_reason(error)})") from None


def _guarded(decode: Callable[[], T], name: str) -> T:
    try:
        return decode()
    except ImageError:
        raise
    except Exception as error:  # a damaged file can fail anywhere in a decoder, with nearly any error
        raise ImageError(f"{name}: damaged image ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "unknown or damaged format"
    return " ".join(str(error).split()) or type(error).__name__

"""One rule for people's own images, wherever they are opened; another for benchmarks; no guess by either."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_datasets import write_files

from wsol.data import ImageError, load_dataset
from wsol.data.files.decoders import decode_exact, decode_fast, decode_mask, read_header
from wsol.photographs import open_image

RAMP = np.linspace(0, 255, 30 * 20).reshape(20, 30).round().astype(np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def see_through() -> Image.Image:
    image = Image.fromarray(np.stack([RAMP, RAMP.T.reshape(20, 30), 255 - RAMP], axis=-1)).convert("RGBA")
    image.putalpha(Image.fromarray(RAMP[::-1]))
    return image


PICTURES = {
    "grey": encoded(Image.fromarray(RAMP)),
    "16 bit": encoded(Image.fromarray(RAMP.astype(np.uint16) * 257)),
    "16 bit tiff": encoded(Image.fromarray(RAMP.astype(np.uint16) * 257), "TIFF"),
    "32 bit": encoded(Image.fromarray(RAMP.astype(np.int32) * 257), "TIFF"),
    "RGBA": encoded(see_through()),
    "LA": encoded(see_through().convert("LA")),
    "palette": encoded(see_through().convert("RGB").quantize(8), transparency=0),
    "CMYK": encoded(see_through().convert("CMYK"), "JPEG"),
    "turned jpeg": encoded(see_through().convert("RGB"), "JPEG", exif=exif(6)),
    "turned png": encoded(see_through().convert("RGB"), exif=exif(8)),
    "turned webp": encoded(see_through().convert("RGB"), "WEBP", exif=exif(5), lossless=True),
    "jpeg": encoded(see_through().convert("RGB"), "JPEG"),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_datasets_files_and_pil_images_are_one(kind: str, tmp_path: Path) -> None:
    data = PICTURES[kind]
    write_files(tmp_path, {"test/cup/a.jpg": data})
    expected = np.asarray(open_image(tmp_path / "test/cup/a.jpg"))
    np.testing.assert_array_equal(np.asarray(open_image(Image.open(io.BytesIO(data)))), expected)
    dataset = load_dataset(tmp_path)
    np.testing.assert_array_equal(np.asarray(dataset.image(0)), expected)
    fast = load_dataset(tmp_path, decode="fast", transform=lambda image: image)[0][0].permute(1, 2, 0).numpy()
    assert np.abs(fast.astype(int) - expected).max() <= (2 if "jpeg" in kind else 0)
    assert dataset.ground_truth.sizes.tolist() == [[expected.shape[1], expected.shape[0]]]
    assert read_header(data, "a").upright_size == (expected.shape[1], expected.shape[0])


def test_grey_of_any_depth_is_one_picture() -> None:
    for kind in ("grey", "16 bit", "16 bit tiff", "32 bit"):
        np.testing.assert_array_equal(np.asarray(decode_exact(PICTURES[kind], "a", "photograph"))[..., 0], RAMP)


FLOAT = encoded(Image.fromarray(RAMP.astype(np.float32) / 255), "TIFF")
HUGE = encoded(Image.fromarray(RAMP.astype(np.int32) * 1000), "TIFF")


@pytest.mark.parametrize(
    ("data", "rule", "message"),
    [
        (FLOAT, "benchmark", "floating-point"),
        (FLOAT, "photograph", "floating-point"),
        (HUGE, "photograph", "beyond 16 bit"),
        (PICTURES["16 bit"], "benchmark", "more than 8 bit"),
        (PICTURES["32 bit"], "benchmark", "more than 8 bit"),
    ],
)
def test_pixels_that_could_only_be_guessed_at(data: bytes, rule: str, message: str) -> None:
    for decode in (decode_exact, decode_fast):
        with pytest.raises(ImageError, match=f"^a.tif: .*{message}"):
            decode(data, "a.tif", rule)
    if rule == "photograph":
        with pytest.raises(ImageError, match=message):
            decode_mask(data, "a.tif", rule)


def test_a_benchmark_keeps_the_stored_frame_and_drops_transparency() -> None:
    data = PICTURES["turned jpeg"]
    assert decode_exact(data, "a").size == (30, 20)
    assert decode_fast(data, "a").shape == (3, 20, 30)
    expected = np.asarray(see_through().convert("RGB"))
    np.testing.assert_array_equal(np.asarray(decode_exact(PICTURES["RGBA"], "a")), expected)

"""Any image a person may have opens as upright RGB, and what cannot is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tdam.errors import UserError
from wsol.data.errors import ImageError
from wsol.photographs import find_images, open_image

RED, BLUE = (200, 30, 40), (20, 60, 210)


def picture() -> Image.Image:
    """24 x 16, left half red, right half blue."""
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:, :12], pixels[:, 12:] = RED, BLUE
    return Image.fromarray(pixels)


# Where the left half of the scene lies in the stored pixels, for each EXIF orientation: the transposition
# a camera applied before storing, hence the inverse of what a viewer must do.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    stored = picture() if STORED[orientation] is None else picture().transpose(STORED[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    opened = open_image(tmp_path / "a.png")
    assert opened.size == (24, 16)
    assert np.array_equal(np.asarray(opened), np.asarray(picture()))


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    rgba = picture().convert("RGBA")
    rgba.putalpha(Image.fromarray(np.repeat(np.uint8([[0] * 12 + [255] * 12]), 16, axis=0)))
    rgba.save(tmp_path / "a.png")
    opened = open_image(tmp_path / "a.png")
    assert opened.getpixel((0, 0)) == (255, 255, 255)
    assert opened.getpixel((23, 0)) == BLUE


def test_transparent_palette_lies_on_white(tmp_path: Path) -> None:
    palette = picture().quantize(4)
    palette.save(tmp_path / "a.png", transparency=palette.getpixel((0, 0)))
    opened = open_image(tmp_path / "a.png")
    assert opened.getpixel((0, 0)) == (255, 255, 255)
    assert np.allclose(opened.getpixel((23, 0)), BLUE, atol=8)


def test_cmyk_jpeg_keeps_its_colours(tmp_path: Path) -> None:
    picture().convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    opened = open_image(tmp_path / "a.jpg")
    assert np.allclose(opened.getpixel((4, 4)), RED, atol=12)
    assert np.allclose(opened.getpixel((20, 4)), BLUE, atol=12)


def test_grey_and_sixteen_bit_grey(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 24).round().astype(np.uint8)
    Image.fromarray(np.tile(ramp, (16, 1))).save(tmp_path / "grey.png")
    Image.fromarray(np.tile(ramp.astype(np.uint16) * 257, (16, 1))).save(tmp_path / "deep.png")
    for name in ("grey.png", "deep.png"):
        opened = np.asarray(open_image(tmp_path / name))
        assert opened.shape == (16, 24, 3)
        assert np.array_equal(opened[0, :, 1], ramp), name


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    other = Image.new("RGB", (24, 16), "lime")
    picture().save(tmp_path / "a.webp", save_all=True, append_images=[other], lossless=True)
    assert np.array_equal(np.asarray(open_image(tmp_path / "a.webp")), np.asarray(picture()))


def write_unreadable(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.png"
    if kind == "text":
        path.write_text("not an image")
    if kind == "empty":
        path.touch()
    if kind == "folder":
        path.mkdir()
    if kind == "cut off":
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[:4000])
    if kind == "float":
        path = path.with_suffix(".tif")
        Image.fromarray(np.ones((4, 4), np.float32)).save(path)
    return path


@pytest.mark.parametrize("kind", ["missing", "text", "empty", "folder", "cut off", "float"])
def test_unreadable_images_are_named_in_one_line(tmp_path: Path, kind: str) -> None:
    path = write_unreadable(tmp_path, kind)
    with pytest.raises(ImageError) as caught:
        open_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_find_images_takes_files_folders_and_globs(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "deep/c.webp", "notes.txt", "odd.dat"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    def names(*patterns: Path) -> list[str]:
        return [path.relative_to(tmp_path).as_posix() for path in find_images(patterns)]

    assert names(tmp_path) == ["a.JPG", "b.png", "deep/c.webp"]
    assert names(tmp_path / "odd.dat", tmp_path / "*.png") == ["odd.dat", "b.png"]
    assert names(tmp_path / "**" / "*.*") == ["a.JPG", "b.png", "deep/c.webp"]
    assert names(tmp_path / "b.png", tmp_path) == ["b.png", "a.JPG", "deep/c.webp"], "each once"


def test_find_images_takes_a_file_whose_name_looks_like_a_glob(tmp_path: Path) -> None:
    (tmp_path / "bird[1].png").touch()
    assert find_images([tmp_path / "bird[1].png"]) == [tmp_path / "bird[1].png"]


@pytest.mark.parametrize("pattern", ["none.png", "*.png", "empty"])
def test_find_images_names_what_is_not_there(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no "):
        find_images([tmp_path / pattern])


def test_urls_of_files_are_opened_and_others_are_told_how(tmp_path: Path) -> None:
    path = tmp_path / "a picture.png"
    picture().save(path)
    assert path.as_uri().startswith("file:///")
    assert find_images([path.as_uri()]) == [path]
    np.testing.assert_array_equal(np.asarray(open_image(path.as_uri())), np.asarray(picture()))
    for open_it in (open_image, lambda name: find_images([name])):
        with pytest.raises(
            ImageError, match=r"^https://a\.org/b\.jpg: nothing is downloaded: .* curl -LO https://a\.o"
        ):
            open_it("https://a.org/b.jpg")

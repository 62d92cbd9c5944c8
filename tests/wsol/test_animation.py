"""Animations start and end at the steps' own maps and boxes and glide between them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from tdam.errors import UserError
from wsol import animation
from wsol.draw.style import PREDICTED
from wsol.localization import Localization, StepLocalization

CAPTION = 26


def localization(steps: int = 2, size: tuple[int, int] = (200, 100)) -> Localization:
    image = Image.new("RGB", size, (120, 120, 120))
    found = []
    for step in range(steps):
        scores = np.zeros((50, 50), np.float32)
        scores[:, 20 * step : 20 * step + 10] = 1
        width, height = size
        box = np.array([width * step // 4, 10, width * step // 4 + width // 4, height - 20])
        found.append(StepLocalization(step + 1, step, f"class {step}", 0.5, box, scores))
    return Localization(None, image, tuple(found))


def box_columns(frame: Image.Image) -> tuple[int, int]:
    """First and last column in which the box's colour is seen, in the middle row."""
    pixels = np.asarray(frame, dtype=np.float32)[CAPTION:] / 255
    row = pixels[len(pixels) // 2]
    near = np.flatnonzero(np.abs(row - np.array(to_rgb(PREDICTED))).max(axis=-1) < 0.12)
    return int(near.min()), int(near.max())


def test_the_box_rests_at_each_step_and_moves_steadily_between_them() -> None:
    frames = list(animation.frames(localization()))
    hold = round(animation.HOLD_SECONDS * animation.FRAMES_PER_SECOND)
    blend = round(animation.BLEND_SECONDS * animation.FRAMES_PER_SECOND)
    assert len(frames) == 2 * (hold + blend)
    scale = frames[0].width / 200
    left, right = box_columns(frames[0])
    assert (left, right) == pytest.approx((0, 51 * scale), abs=5)
    left, right = box_columns(frames[hold + blend])
    assert (left, right) == pytest.approx((50 * scale, 101 * scale), abs=5)
    lefts = [box_columns(frame)[0] for frame in frames[hold - 1 : hold + blend + 1]]
    assert lefts == sorted(lefts)
    assert len(set(lefts)) > blend // 2, "it glides, it does not jump"


def test_maps_blend() -> None:
    frames = list(animation.frames(localization()))
    hold, blend = 20, 16
    middle = np.asarray(frames[hold + blend // 2], dtype=np.float32)[CAPTION + 6, :]
    start, end = (np.asarray(frames[place], dtype=np.float32)[CAPTION + 6, :] for place in (0, hold + blend))
    spot = 240  # a row above the boxes; scores 0 at the first and 1 at the second step
    luminance = [row[spot] @ [0.2126, 0.7152, 0.0722] for row in (start, middle, end)]
    assert luminance[0] < luminance[1] < luminance[2]


def test_one_step_is_one_resting_picture() -> None:
    frames = list(animation.frames(localization(steps=1)))
    assert all(frame is frames[0] for frame in frames)


def test_the_caption_names_network_step_and_class_in_the_readers_spelling() -> None:
    found = replace(localization(), network="resnet50_tdam")
    step = replace(found.steps[1], label="001.Black_footed_Albatross", score=0.25)
    assert animation.caption(found, step, 480) == "resnet50_tdam · step 2 of 2 · Black footed Albatross  0.25"
    assert animation.caption(localization(steps=1), step, 480) == "Black footed Albatross  0.25"
    assert animation.caption(found, step, 200).endswith("Black foote…  0.25")


@pytest.mark.parametrize("size", [(7, 9), (4000, 30), (30, 4000), (333, 257)])
def test_sides_are_even_and_moderate_for_any_image(size: tuple[int, int]) -> None:
    frame = next(animation.frames(localization(size=size)))
    assert frame.width % 2 == frame.height % 2 == 0
    assert max(frame.size) <= 480 + CAPTION


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_pillow_formats_play_all_steps_for_ever(tmp_path: Path, suffix: str) -> None:
    with Image.open(animation.save(localization(), tmp_path / "new" / f"a{suffix}")) as written:
        assert written.is_animated
        assert written.info["loop"] == 0
        milliseconds = 0
        for number in range(written.n_frames):
            written.seek(number)
            written.load()
            milliseconds += written.info["duration"]
    assert milliseconds == pytest.approx(2000 * (animation.HOLD_SECONDS + animation.BLEND_SECONDS), rel=0.02)


def test_mp4_where_opencv_can(tmp_path: Path) -> None:
    try:
        path = animation.save(localization(), tmp_path / "a.mp4")
    except UserError as error:
        pytest.skip(str(error))
    video = cv2.VideoCapture(str(path))
    assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == len(list(animation.frames(localization())))
    readable, frame = video.read()
    assert readable
    assert frame.shape[1] == next(animation.frames(localization())).width


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.gif, \.webp, \.mp4"):
        animation.save(localization(), tmp_path / "a.avi")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        animation.save(localization(), tmp_path / "file" / "a.gif")

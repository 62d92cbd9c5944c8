"""Animations of attention: the score map blends from step to step while the box moves.

wsol.animation.save(localizer("bird.jpg")[0], "bird.gif")        # or .webp, .mp4
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tdam.errors import UserError
from tdam.files import replacing
from wsol.class_names import short_label
from wsol.draw.contours import outline
from wsol.draw.drawable import Drawable, DrawableStep
from wsol.draw.raster import step_picture
from wsol.marks import mark_video, picture_options

SUFFIXES: Final = (".gif", ".webp", ".mp4")
FRAMES_PER_SECOND: Final = 20
HOLD_SECONDS: Final = 1.0
BLEND_SECONDS: Final = 0.8
LEAST_SIDE: Final = 320
LONGEST_SIDE: Final = 480


def frames(localization: Drawable) -> Iterator[Image.Image]:
    """Frames of an animation that rests at every step and glides between them, round and round.

    Args:
        localization: What a `wsol.Localizer` said of one image. With one step there is one resting frame.

    Yields:
        RGB images of one size, with even sides, `FRAMES_PER_SECOND` of them a second.
    """
    picture = _display_size(localization.image)
    steps = localization.steps
    hold, blend = (round(seconds * FRAMES_PER_SECOND) for seconds in (HOLD_SECONDS, BLEND_SECONDS))
    for number, step in enumerate(steps):
        resting = _frame(picture, localization, step, step, 0.0)
        yield from [resting] * hold
        if len(steps) == 1:
            return
        following = steps[(number + 1) % len(steps)]
        for frame in range(1, blend + 1):
            share = frame / (blend + 1)
            # Ease in and out: attention arrives, it does not crash.
            yield _frame(picture, localization, step, following, share * share * (3 - 2 * share))


def save(localization: Drawable, path: str | Path) -> Path:
    """Write an animation; the file's suffix chooses GIF, WebP or MP4.

    Args:
        localization: What a `wsol.Localizer` said of one image.
        path: Where to write; missing parent folders are made.

    Returns:
        The path written.

    Raises:
        UserError: If the suffix is none of `SUFFIXES`, the file cannot be written, or OpenCV here has no MP4 encoder.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"{path}: cannot animate as {suffix or 'no suffix'!r}; use {', '.join(SUFFIXES)}")
    with replacing(path) as temporary:
        if suffix == ".mp4":
            _write_mp4(frames(localization), temporary, FRAMES_PER_SECOND)
        else:
            _save_pillow(localization, temporary)
    return path


def _save_pillow(localization: Drawable, path: Path) -> None:
    """GIF or WebP. Equal frames in a row become one longer frame."""
    shown: list[Image.Image] = []
    durations: list[int] = []
    for frame in frames(localization):
        if shown and frame is shown[-1]:
            durations[-1] += 1000 // FRAMES_PER_SECOND
            continue
        shown.append(frame)
        durations.append(1000 // FRAMES_PER_SECOND)
    suffix = path.suffix.lower()
    options = picture_options(suffix) | ({"quality": 80} if suffix == ".webp" else {})
    shown[0].save(path, save_all=True, append_images=shown[1:], duration=durations, loop=0, **options)


def save_video(localizations: Iterable[Drawable], path: str | Path, frames_per_second: float) -> Path:
    """Write a video whose frames were localized, each with the last step's map, outline and box, as MP4.

    Args:
        localizations: What a `wsol.Localizer` said of every frame, in order; one is held at a time.
        path: Where to write; missing parent folders are made.
        frames_per_second: How fast it runs.

    Returns:
        The path written.

    Raises:
        UserError: If the file cannot be written, or OpenCV here has no MP4 encoder.
    """
    path = Path(path)
    shown = (
        _frame(_display_size(found.image), found, found.steps[-1], found.steps[-1], 0.0) for found in localizations
    )
    with replacing(path) as temporary:
        _write_mp4(shown, temporary, frames_per_second)
    return path


def _write_mp4(shown: Iterable[Image.Image], path: Path, frames_per_second: float) -> None:
    writer = None
    try:
        for frame in shown:
            if writer is None:
                writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), frames_per_second, frame.size)
                if not writer.isOpened():
                    raise UserError("OpenCV here cannot write MP4: use .webp or .gif")
            writer.write(cv2.cvtColor(np.asarray(frame), cv2.COLOR_RGB2BGR))
    finally:
        if writer is not None:
            writer.release()
    mark_video(path)


def _display_size(image: Image.Image) -> Image.Image:
    """The image at a size to look at, with even sides, as video encoders demand."""
    scale = max(LEAST_SIDE / min(image.size), 1.0)
    scale = min(scale, LONGEST_SIDE / max(image.size))
    width, height = (max(2, 2 * round(side * scale / 2)) for side in image.size)
    return image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)


def _frame(
    picture: Image.Image, localization: Drawable, before: DrawableStep, after: DrawableStep, share: float
) -> Image.Image:
    """One frame, `share` of the way from one step to the next."""
    scores = (1 - share) * before.score_map + share * after.score_map
    box = (1 - share) * before.box.astype(np.float64) + share * after.box
    # Between two steps the box glides; it is the bounding box of an outline at the steps themselves only.
    contour = outline(before, localization.image_size) if share == 0 else None
    frame = step_picture(picture, localization.image_size, scores, box, contour)
    return _with_caption(frame, caption(localization, before if share < 0.5 else after, frame.width))


def caption(localization: Drawable, step: DrawableStep, width: int) -> str:
    """What stands above a frame `width` pixels wide: network, step if there are several, class and probability."""
    steps = len(localization.steps)
    parts = [localization.network] if localization.network else []
    parts += [f"step {step.step} of {steps}"] if steps > 1 else []
    score = "" if np.isnan(step.score) else f"  {step.score:.2f}"
    room = int(width / 7.2) - sum(len(part) + 3 for part in parts) - len(score)
    return " · ".join([*parts, f"{short_label(step.label, max(room, 12))}{score}"])


def _with_caption(frame: Image.Image, text: str) -> Image.Image:
    height = 26
    captioned = Image.new("RGB", (frame.width, frame.height + height), "white")
    captioned.paste(frame, (0, height))
    ImageDraw.Draw(captioned).text((4, 5), text, fill="black", font=ImageFont.load_default(14))
    return captioned

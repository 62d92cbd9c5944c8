"""Videos, frame by frame."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
from PIL import Image

from tdam.errors import UserError
from wsol.data.errors import ImageError

SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm")


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        image: Upright RGB.
        number: From 0, of all frames of the video.
        seconds: Time since the first frame; 0 where the video does not say how fast it runs.
    """

    image: Image.Image
    number: int
    seconds: float


def is_video(path: str | os.PathLike[str]) -> bool:
    """Whether a file's suffix is that of a video."""
    return Path(path).suffix.lower() in SUFFIXES


def video_frames(path: str | os.PathLike[str], every: int = 1) -> Iterator[Frame]:
    """Frames of a video in order, decoded one at a time.

    Args:
        path: A video in any format that OpenCV reads.
        every: Take each so many-th frame, the first one first.

    Raises:
        ImageError: If the file is missing or holds no frame that can be read.
        UserError: If `every` is not a positive number.
    """
    if every < 1:
        raise UserError(f"every must be at least 1, got {every}")
    with _opened(path) as capture:
        rate = capture.get(cv2.CAP_PROP_FPS)
        number = 0
        while capture.grab():
            if number % every == 0:
                _, pixels = capture.retrieve()
                image = Image.fromarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
                yield Frame(image, number, number / rate if rate > 0 else 0.0)
            number += 1
        if number == 0:
            raise ImageError(f"{path}: no frame of this video can be read")


def frames_per_second(path: str | os.PathLike[str], otherwise: float = 25.0) -> float:
    """How fast a video runs; `otherwise` where it does not say.

    Raises:
        ImageError: If the file is missing or no video.
    """
    with _opened(path) as capture:
        rate = capture.get(cv2.CAP_PROP_FPS)
        return float(rate) if rate > 0 else otherwise


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[cv2.VideoCapture]:
    if not Path(path).is_file():
        raise ImageError(f"{path}: no such file")
    capture = cv2.VideoCapture(os.fspath(path))
    try:
        if not capture.isOpened():
            raise ImageError(f"{path}: cannot be read as a video")
        yield capture
    finally:
        capture.release()

"""A video of a few frames: a red square that moves to the right over green."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

SIZE, FRAMES, RATE = (64, 48), 7, 5.0


def write_video(path: Path) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), RATE, SIZE)
    assert writer.isOpened()
    for number in range(FRAMES):
        pixels = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
        pixels[..., 1] = 120
        pixels[16:32, 6 * number : 6 * number + 16] = (0, 0, 255)  # blue, green, red
        writer.write(pixels)
    writer.release()
    return path

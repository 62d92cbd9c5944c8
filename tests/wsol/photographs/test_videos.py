from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_video import FRAMES, RATE, SIZE, write_video
from torch import nn

import wsol
from tdam.errors import UserError
from wsol.data.errors import ImageError
from wsol.photographs.videos import frames_per_second, is_video, video_frames


class Redness(nn.Module):
    """Class 0 is red: its map is the red channel, at half the size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 2, 2, stride=2, bias=False), nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.weight[0, 0], self.conv.weight[1, 1] = 0.25, 0.25
            self.fc.weight.copy_(torch.eye(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(x).relu().mean((2, 3)))


def test_frames_in_order_with_their_times_and_colours(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4")
    frames = list(video_frames(path))
    assert [frame.number for frame in frames] == list(range(FRAMES))
    assert [frame.seconds for frame in frames] == pytest.approx([number / RATE for number in range(FRAMES)])
    assert {frame.image.size for frame in frames} == {SIZE}
    for frame in frames:
        red, green, blue = np.asarray(frame.image)[24, 6 * frame.number + 8].astype(int)
        assert red > 180 > 90 > max(green, blue)
    assert frames_per_second(path) == pytest.approx(RATE)
    assert is_video("a/CLIP.MOV")
    assert not is_video("clip.png")


def test_each_third_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4")
    assert [frame.number for frame in video_frames(path, every=3)] == [0, 3, 6]
    with pytest.raises(UserError, match="every must be at least 1"):
        next(video_frames(path, every=0))


def test_what_is_no_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    for name, message in (("text.mp4", "cannot be read as a video"), ("none.mp4", "no such file")):
        with pytest.raises(ImageError, match=rf"{name}: {message}"):
            next(video_frames(tmp_path / name))


def test_the_box_follows_the_square(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4")
    localizer = wsol.Localizer(
        Redness(), class_names=["red", "green"], input_size=(48, 64), batch_size=3, threshold=0.5
    )
    found = list(localizer.video(path, class_id="red"))
    assert [(one.frame, one.path) for one in found] == [(number, path) for number in range(FRAMES)]
    for one in found:
        x0, y0, x1, y1 = one.steps[-1].box
        assert abs(x0 - 6 * one.frame) <= 2
        assert abs(x1 - (6 * one.frame + 15)) <= 2
        assert abs(y0 - 16) <= 2
        assert abs(y1 - 31) <= 2
    assert [one.seconds for one in localizer.video(path, every=5)] == pytest.approx([0.0, 5 / RATE])

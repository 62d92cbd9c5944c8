"""Two OpenCV packages in one environment are told."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest

from wsol.runtime import opencv_packages


def test_two_packages_are_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"opencv-python": "4.9", "opencv-contrib-python": "4.10"}

    def version(name: str) -> str:
        if name not in installed:
            raise PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(opencv_packages, "version", version)
    message = opencv_packages.warning()
    assert "opencv-python 4.9, opencv-contrib-python 4.10" in message
    assert "pip uninstall opencv-python opencv-contrib-python" in message
    installed.popitem()
    assert opencv_packages.warning() is None

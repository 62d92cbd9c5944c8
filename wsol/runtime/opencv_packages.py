"""Which of OpenCV's packages are installed: all of them fill the same folder `cv2`, so there must be one only."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")


def installed_packages() -> dict[str, str]:
    """Name and version of every OpenCV package that is installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def warning() -> str | None:
    """One line for the user where several are installed, else None."""
    found = installed_packages()
    if len(found) < 2:
        return None
    listed = ", ".join(f"{name} {number}" for name, number in found.items())
    return (
        f"several OpenCV packages overwrite each other: {listed}; "
        f"run `pip uninstall {' '.join(found)}` and then `pip install opencv-python-headless`"
    )

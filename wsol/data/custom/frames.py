"""Whether the boxes of a list and the images they are drawn on are of one frame.

Boxes are ``x0 y0 x1 y1`` in pixels of the image as it is shown upright, x1 = x0 + width. What can only come from
another frame, unit or order of numbers is an error; a box that reaches over the border of its image is cut there, and
a warning says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from wsol.data.files.decoders import TURNED, Header
from wsol.data.findings import Finding
from wsol.data.formats.annotations import AnnotatedImage

FRACTION = 1.5  # corners up to this are shares of the image, not pixels
PERCENT = 100
LARGE_FOR_PERCENT = 200  # pixels; where all images are larger and no box passes 100, boxes may be percent
MOST_OUTSIDE = 0.5  # share of a box that may lie outside before it is of another frame

Headers = Sequence[Header | None]


def pixel_boxes(corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Boxes of a list as the integers that are scored.

    Args:
        corners: (K, 4) float64 ``x0 y0 x1 y1`` as listed.
        size: Width and height of the image; zeros where they are not known, then nothing is moved.

    Returns:
        (K, 4) int64: fractions cut off, corners moved to the first or last pixel where they lie beyond it.

    >>> pixel_boxes(np.array([[5.9, -2.0, 60.0, 12.0]]), (60, 40)).tolist()
    [[5, 0, 59, 12]]
    """
    boxes = corners.astype(np.int64)
    width, height = size
    if not width or not height:
        return boxes
    return np.clip(boxes, 0, (width - 1, height - 1, width - 1, height - 1))


def frame_findings(split: str, images: Sequence[AnnotatedImage], headers: Headers) -> Iterator[Finding]:
    """Everything about boxes and sizes that does not fit the images.

    Args:
        split: Name of the split.
        images: What the list says.
        headers: What the files say; None for a file that cannot be read.
    """
    yield from _units(split, images, headers)
    for image, header in zip(images, headers, strict=True):
        size_finding = _size_finding(split, image, header)
        if size_finding is not None:
            yield size_finding
            continue  # its boxes are of the other frame, too
        for corners, place in zip(image.corners, image.places, strict=True):
            finding = _box_finding(split, image.path, corners, place, header)
            if finding is not None:
                yield finding
    turned = [i for i, header in zip(images, headers, strict=True) if header and header.orientation != 1 and i.boxes]
    for image in turned:
        detail = f"{image.source}: the camera's orientation is applied; boxes are taken as drawn on the upright image"
        yield Finding("note", split, "photograph turned upright", image.path, detail)


def _units(split: str, images: Sequence[AnnotatedImage], headers: Headers) -> Iterator[Finding]:
    """Boxes that are all in percent, which no single box shows."""
    sized = [(i, h.upright_size) for i, h in zip(images, headers, strict=True) if h is not None and i.boxes]
    if not sized or min(min(size) for _, size in sized) <= LARGE_FOR_PERCENT:
        return
    largest = max(float(np.nanmax(image.corners)) for image, _ in sized)
    if FRACTION < largest <= PERCENT:
        image, (width, height) = sized[0]
        detail = f"{image.places[0]}: no box passes {largest:g}, images are up to {width} x {height}; wanted are pixels"
        yield Finding("warning", split, "boxes may be in percent", image.path, detail)


def _size_finding(split: str, image: AnnotatedImage, header: Header | None) -> Finding | None:
    if image.size is None or header is None or image.size == header.upright_size:
        return None
    listed, found = (f"{width} x {height}" for width, height in (image.size, header.upright_size))
    why = "its boxes are of another frame: scale them to the file, or list the file they were drawn on"
    if header.orientation in TURNED and image.size == header.size:
        why = "its boxes were drawn on the image as stored, before the camera's orientation: save it turned upright"
    detail = f"{image.source}: lists {listed}, the file has {found}; {why}"
    return Finding("error", split, "image size differs from the list", image.path, detail)


def _box_finding(split: str, path: str, box: np.ndarray, place: str, header: Header | None) -> Finding | None:
    """What is wrong with one box, if anything is."""
    x0, y0, x1, y1 = box.tolist()
    text = f"{place}: ({x0:g}, {y0:g}, {x1:g}, {y1:g})"

    def error(kind: str, why: str) -> Finding:
        return Finding("error", split, kind, path, f"{text} {why}")

    if not np.isfinite(box).all():
        return error("box corner that is not a number", "is not finite")
    size = None if header is None else header.upright_size
    if np.abs(box).max() <= FRACTION and (size is None or min(size) > 2 * FRACTION):
        return error("box in fractions of the image", "is not in pixels; multiply by width and height")
    if x1 < x0 or y1 < y0:
        fits = size is not None and x0 + x1 <= size[0] and y0 + y1 <= size[1]
        hint = "; it may be x, y, width, height, wanted are x0, y0, x1, y1" if fits else ""
        return error("inverted box", f"ends before it begins{hint}")
    if int(x0) == int(x1) or int(y0) == int(y1):
        return error("box without area", "holds no pixel")
    if size is None:
        return None
    width, height = size
    inside = max(min(x1, width) - max(x0, 0), 0) * max(min(y1, height) - max(y0, 0), 0)
    if inside < (1 - MOST_OUTSIDE) * (x1 - x0) * (y1 - y0):
        return error("box outside the image", f"in {width} x {height}{_other_reading(box, header)}")
    if int(x0) < 0 or int(y0) < 0 or int(x1) > width or int(y1) > height:
        detail = f"{text} in {width} x {height} is cut at the border"
        return Finding("warning", split, "box over the border of the image", path, detail)
    return None


def _other_reading(box: np.ndarray, header: Header | None) -> str:
    """What else a box may be that lies outside its image as it is read."""
    if header is None:
        return ""
    x0, y0, x1, y1 = box.tolist()
    width, height = header.size
    if header.orientation in TURNED and x0 >= 0 and y0 >= 0 and x1 <= width and y1 <= height:
        return "; it fits the image as stored, before the camera's orientation: save the image turned upright"
    width, height = header.upright_size
    if x0 < x1 - x0 <= width and y0 < y1 - y0 <= height:
        return "; its width and height may be x1 and y1"
    return "; it was drawn on an image of another size"

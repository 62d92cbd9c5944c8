"""Mask files of a dataset of one's own, and whether they fit its images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from wsol.data.custom.frames import Headers
from wsol.data.errors import DatasetError, ImageError
from wsol.data.files.decoders import decode_mask, read_headers
from wsol.data.files.stores import Folder
from wsol.data.findings import Finding
from wsol.data.ground_truth import MaskFiles

DECODED = 64  # masks that are looked into when a split is opened; the doctor looks into all


def mask_files(folder: Path, image_ids: Sequence[str]) -> tuple[MaskFiles, ...]:
    """The masks of each image, ``<image>.png`` and ``<image>_ignore.png`` below the folder.

    Raises:
        DatasetError: If no image has one.
    """
    found = tuple(_masks_of(folder, image_id) for image_id in image_ids)
    if not any(files.objects for files in found):
        wanted = folder / PurePosixPath(image_ids[0]).with_suffix(".png")
        raise DatasetError(f"{folder}: no mask fits any of the {len(image_ids)} images; the first would be {wanted}")
    return found


def mask_findings(
    split: str, folder: Path, image_ids: Sequence[str], masks: Sequence[MaskFiles], headers: Headers
) -> Iterator[Finding]:
    """Masks of another shape than their image, masks without an object, and images without a mask.

    Shapes are read from every file's header; only `DECODED` masks are looked into.
    """
    store = Folder(folder)
    known = [i for i, files in enumerate(masks) if files.objects]
    found = read_headers(store, [masks[i].objects[0] for i in known])
    for i, mask in zip(known, found, strict=True):
        image, path = headers[i], store.where(masks[i].objects[0])
        if mask is None:
            yield Finding("warning", split, "mask unreadable", image_ids[i], path)
        elif image is not None and not _same_shape(image.upright_size, mask.upright_size):
            shapes = " x ".join(map(str, mask.upright_size)), " x ".join(map(str, image.upright_size))
            yield Finding(
                "error", split, "mask of another shape", image_ids[i], f"{path}: {shapes[0]}, not {shapes[1]}"
            )
    for i, files in enumerate(masks):
        if not files.objects:
            yield Finding("note", split, "image without mask", image_ids[i], "left out of pixel metrics")
    shown = known[:: max(1, -(-len(known) // DECODED))]
    with ThreadPoolExecutor() as pool:
        empty = pool.map(lambda i: _is_empty(store, masks[i].objects[0]), shown)
        for i, is_empty in zip(shown, empty, strict=True):
            if is_empty:
                detail = f"{store.where(masks[i].objects[0])}: no pixel is brighter than half"
                yield Finding("error", split, "mask empty", image_ids[i], detail)


def _masks_of(folder: Path, image_id: str) -> MaskFiles:
    stem = PurePosixPath(image_id).with_suffix("")
    mask, ignore = f"{stem}.png", f"{stem}_ignore.png"
    store = Folder(folder)
    if not store.exists(mask):
        return MaskFiles()
    return MaskFiles((mask,), ignore if store.exists(ignore) else None)


def _same_shape(image: tuple[int, int], mask: tuple[int, int]) -> bool:
    """Whether a mask, brought to the image's width, has its height to a pixel of the smaller of the two."""
    (width, height), (mask_width, mask_height) = image, mask
    tolerance = max(width, mask_width, height, mask_height)
    return abs(width * mask_height - height * mask_width) <= tolerance


def _is_empty(store: Folder, path: str) -> bool:
    try:
        return not decode_mask(store.read(path), store.where(path), "photograph").any()
    except ImageError:
        return False

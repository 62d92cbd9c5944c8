"""minibirds: a small benchmark of drawn birds, rendered into the cache at first use.

The tree has CUB-200-2011's own layout and is read by the same reader; its val split is marked in
``validation_split.txt``, and an image with two birds has two rows in ``bounding_boxes.txt``.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock
from PIL import Image

from tdam.files import cache_root
from wsol.data.benchmarks import cub
from wsol.data.errors import DatasetError
from wsol.data.formats.cub_tables import write_table
from wsol.data.ground_truth import SPLITS
from wsol.data.loaded import Loaded
from wsol.data.minibirds.birds import CROWN_COLOURS, WING_BARS, draw_scene

VERSION = 1  # raise it with every change of the pictures: a cache never mixes two generators
COUNTS = {"train": 2400, "val": 360, "test": 1008}
SIZE = 96
CLASS_NAMES = tuple(
    f"{number:03d}.{crown}_crowned_{bar}"
    for number, (bar, crown) in enumerate(((b, c) for b in WING_BARS for c in CROWN_COLOURS), start=1)
)
JPEG_QUALITY = 95


@dataclass(frozen=True)
class Rendered:
    """One image as it goes to disk."""

    path: str
    label: int
    boxes: list[tuple[int, int, int, int]]
    jpeg: bytes
    mask_png: bytes


def minibirds_tree(size: int = SIZE, seed: int = 0) -> Path:
    """Folder of the benchmark in the cache; renders it first if it is not there.

    Safe when several processes ask at once: one renders, the others wait. A process that is killed
    while rendering leaves nothing that a later one would take for the benchmark.

    Args:
        size: Side of the pictures in pixels.
        seed: Seed of the pictures.

    Raises:
        DatasetError: If the cache cannot be written.
    """
    tree = cache_root() / f"minibirds-v{VERSION}-{size}px-seed{seed}"
    if tree.is_dir():
        return tree
    try:
        tree.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(tree.with_name(f"{tree.name}.lock")):
            if not tree.is_dir():
                print(f"rendering minibirds into {tree} (once)", file=sys.stderr)
                render(tree, size=size, seed=seed)
    except OSError as error:
        raise DatasetError(
            f"cannot render minibirds into {tree.parent}: {error}; set WSOL_CACHE to a writable folder"
        ) from None
    return tree


def render(tree: Path, size: int = SIZE, seed: int = 0, counts: Mapping[str, int] = COUNTS) -> None:
    """Render the benchmark into the new folder `tree`, which appears only when it is complete.

    Args:
        tree: Folder to make; its parent exists.
        size: Side of the pictures in pixels.
        seed: Seed of the pictures.
        counts: Number of images of each split.
    """
    for leftover in tree.parent.glob(f"{tree.name}.part-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    part = Path(tempfile.mkdtemp(prefix=f"{tree.name}.part-", dir=tree.parent))
    try:
        part.chmod(0o755)
        _write_tree(part, size, seed, counts)
        part.rename(tree)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def render_image(split: str, index: int, size: int = SIZE, seed: int = 0) -> Rendered:
    """Draw and encode image `index` of `split`; depends on nothing but the arguments."""
    label = index % len(CLASS_NAMES)  # classes take turns, so the first N images are balanced too
    generator = np.random.default_rng([VERSION, seed, SPLITS.index(split), index])
    scene = draw_scene(generator, label, size)
    jpeg, png = io.BytesIO(), io.BytesIO()
    Image.fromarray(scene.image).save(jpeg, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    mask = np.logical_or.reduce(scene.masks).astype(np.uint8) * 255
    Image.fromarray(mask).save(png, "PNG")
    folder = CLASS_NAMES[label]
    path = f"{folder}/{folder[4:]}_{split}_{index:04d}.jpg"
    return Rendered(path, label, scene.boxes, jpeg.getvalue(), png.getvalue())


def load_minibirds(split: str, size: int = SIZE, seed: int = 0) -> Loaded:
    """Ground truth and stores of a split; renders the benchmark first if the cache lacks it."""
    return cub.load_cub_tree(cub.read_cub_tree(minibirds_tree(size, seed)), split, dataset="minibirds")


def _write_tree(tree: Path, size: int, seed: int, counts: Mapping[str, int]) -> None:
    for name in CLASS_NAMES:
        (tree / "images" / name).mkdir(parents=True)
        (tree / "segmentations" / name).mkdir(parents=True)
    tasks = [(split, index) for split in SPLITS for index in range(counts.get(split, 0))]

    def write(task: tuple[str, int]) -> Rendered:
        rendered = render_image(*task, size=size, seed=seed)
        (tree / "images" / rendered.path).write_bytes(rendered.jpeg)
        (tree / "segmentations" / rendered.path).with_suffix(".png").write_bytes(rendered.mask_png)
        return rendered

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        images = list(enumerate(pool.map(write, tasks), start=1))
    splits = list(enumerate((split for split, _ in tasks), start=1))
    write_table(tree / cub.IMAGES, [(i, image.path) for i, image in images])
    write_table(tree / cub.LABELS, [(i, image.label + 1) for i, image in images])
    write_table(tree / cub.SPLIT, [(i, int(split != "test")) for i, split in splits])
    write_table(tree / cub.VALIDATION, [(i, int(split == "val")) for i, split in splits])
    write_table(tree / cub.SIZES, [(i, size, size) for i, _ in images])
    write_table(tree / cub.CLASSES, list(enumerate(CLASS_NAMES, start=1)))
    boxes = [(i, *map(float, box)) for i, image in images for box in image.boxes]
    write_table(tree / cub.BOXES, boxes)

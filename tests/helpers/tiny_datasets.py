"""Benchmarks in miniature: a few made-up pictures under real names, in the layouts as published."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

# path, class number from 1, is train, width, height, published box x y w h
CUB = (
    ("001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg", 1, 0, 500, 335, (60, 27, 325, 304)),
    ("001.Black_footed_Albatross/Black_Footed_Albatross_0009_34.jpg", 1, 1, 500, 336, (139, 30, 153, 264)),
    ("001.Black_footed_Albatross/Black_Footed_Albatross_0002_55.jpg", 1, 0, 500, 347, (14, 112, 388, 186)),
    ("001.Black_footed_Albatross/Black_Footed_Albatross_0074_59.jpg", 1, 1, 415, 500, (112, 90, 255, 242)),
    ("002.Laysan_Albatross/Laysan_Albatross_0003_1033.jpg", 2, 1, 500, 375, (202, 28, 164, 340)),
    ("002.Laysan_Albatross/Laysan_Albatross_0044_784.jpg", 2, 1, 500, 245, (60, 128, 438, 106)),
    ("002.Laysan_Albatross/Laysan_Albatross_0002_1027.jpg", 2, 0, 500, 375, (144, 40, 333, 165)),
)
CUB_CLASSES = ("001.Black_footed_Albatross", "002.Laysan_Albatross")
CUBV2_LISTS = {
    "image_ids": ("001.Black_footed_Albatross/30107316117.jpg", "002.Laysan_Albatross/25513167677.jpg"),
    "class_labels": (
        "001.Black_footed_Albatross/30107316117.jpg,0",
        "002.Laysan_Albatross/25513167677.jpg,1",
    ),
    "image_sizes": (
        "001.Black_footed_Albatross/30107316117.jpg,560,419",
        "002.Laysan_Albatross/25513167677.jpg,480,720",
    ),
    "localization": (
        "001.Black_footed_Albatross/30107316117.jpg,176,136,459,291",
        "002.Laysan_Albatross/25513167677.jpg,109,179,401,541",
    ),
}
# number of the image, WordNet id, class of torchvision and timm, boxes
ILSVRC = (
    (1, "n01751748", 65, [(111, 108, 441, 193)]),
    (2, "n09193705", 970, [(45, 49, 499, 162), (2, 69, 437, 207)]),
    (3, "n02105855", 230, [(38, 19, 385, 373)]),
    (4, "n04263257", 809, [(94, 15, 441, 284)]),
)
IMAGENETV2_LISTS = {
    "image_ids": ("val2/0/0.jpeg", "val2/1/0.jpeg"),
    "class_labels": ("val2/0/0.jpeg,0", "val2/1/0.jpeg,1"),
    "image_sizes": ("val2/0/0.jpeg,500,375", "val2/1/0.jpeg,500,375"),
    "localization": ("val2/0/0.jpeg,156,163,318,230", "val2/1/0.jpeg,32,69,429,374"),
}
IMAGENETV2_HASHES = {
    "0/0.jpeg": "0/a31041fd31109279f69ba5827fe508eee00abd75.jpeg",
    "1/0.jpeg": "1/c6006866ff066ef85e82e2f62bd8766fbf8ce8ab.jpeg",
}
OPENIMAGES_LISTS = {
    "image_ids": ("test/01226z/7af766bd43da900b.jpg", "test/0138tl/0493e6c7cc0d4658.jpg"),
    "class_labels": ("test/01226z/7af766bd43da900b.jpg,0", "test/0138tl/0493e6c7cc0d4658.jpg,1"),
    "image_sizes": (),
    "localization": (
        "test/01226z/7af766bd43da900b.jpg,test/01226z/7af766bd43da900b_m01226z_6554d965.png,"
        "test/01226z/7af766bd43da900b_ignore.png",
        "test/01226z/7af766bd43da900b.jpg,test/01226z/7af766bd43da900b_m01226z_8856c605.png,",
        "test/0138tl/0493e6c7cc0d4658.jpg,test/0138tl/0493e6c7cc0d4658_m0138tl_936a53d1.png,"
        "test/0138tl/0493e6c7cc0d4658_ignore.png",
    ),
}

Files = dict[str, bytes]


def picture(name: str, width: int, height: int, kind: str = "JPEG") -> bytes:
    """A smooth picture that depends on `name` alone."""
    generator = np.random.default_rng(list(name.encode()))
    pixels = cv2.resize(generator.integers(0, 256, (6, 6, 3), dtype=np.uint8), (width, height))
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, quality=90)
    return buffer.getvalue()


def mask(width: int, height: int, box: tuple[int, int, int, int]) -> bytes:
    """A PNG that is white in the box ``x y w h`` and black elsewhere."""
    x, y, w, h = box
    pixels = np.zeros((height, width), dtype=np.uint8)
    pixels[y : y + h, x : x + w] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def cub_archive() -> Files:
    """``CUB_200_2011.tgz``, as published but for the number of images."""
    numbered = list(enumerate(CUB, start=1))
    tables = {
        "images.txt": [f"{i} {row[0]}" for i, row in numbered],
        "image_class_labels.txt": [f"{i} {row[1]}" for i, row in numbered],
        "train_test_split.txt": [f"{i} {row[2]}" for i, row in numbered],
        "bounding_boxes.txt": [f"{i} {' '.join(f'{v:.1f}' for v in row[5])}" for i, row in numbered],
        "classes.txt": [f"{i} {name}" for i, name in enumerate(CUB_CLASSES, start=1)],
    }
    files = {f"CUB_200_2011/{name}": ("\n".join(rows) + "\n").encode() for name, rows in tables.items()}
    files["attributes.txt"] = b"1 has_bill_shape::curved_(up_or_down)\n"
    files["CUB_200_2011/images/.DS_Store"] = b"\0"
    for path, _, _, width, height, _ in CUB:
        files[f"CUB_200_2011/images/{path}"] = picture(path, width, height)
    return files


def cub_segmentations() -> Files:
    """``segmentations.tgz``."""
    return {f"segmentations/{path[:-4]}.png": mask(width, height, box) for path, _, _, width, height, box in CUB}


def cubv2_archive() -> Files:
    """``CUBV2.tar``."""
    return _listed_pictures(CUBV2_LISTS)


def ilsvrc_images() -> Files:
    """``ILSVRC2012_img_val.tar``."""
    names = (f"ILSVRC2012_val_{number:08d}.JPEG" for number, *_ in ILSVRC)
    return {name: picture(name, 500, 375) for name in names}


def ilsvrc_boxes() -> Files:
    """``ILSVRC2012_bbox_val_v3.tgz``."""
    return {f"val/ILSVRC2012_val_{number:08d}.xml": voc_xml(name, boxes) for number, name, _, boxes in ILSVRC}


def voc_xml(name: str, boxes: Iterable[tuple[int, ...]], width: int = 500, height: int = 375) -> bytes:
    """An annotation file in Pascal VOC's format."""
    objects = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin>"
        f"<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for x0, y0, x1, y1 in boxes
    )
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation><folder>val</folder>{size}{objects}</annotation>".encode()


def imagenetv2_archive() -> Files:
    """``imagenetv2-threshold0.7.tar.gz``, whose images are named by hash."""
    return {
        f"imagenetv2-threshold0.7-format-val/{hashed}": picture(f"val2/{listed}", 500, 375)
        for listed, hashed in IMAGENETV2_HASHES.items()
    }


def openimages_archive() -> Files:
    """The images, masks and ignored regions of OpenImages30k, all in one zip."""
    files = {image: picture(image, 60, 40) for image in OPENIMAGES_LISTS["image_ids"]}
    for number, row in enumerate(OPENIMAGES_LISTS["localization"]):
        _, object_mask, ignore = row.split(",")
        files[object_mask] = mask(60, 40, (5 + 10 * number, 5, 20, 20))
        if ignore:
            files[ignore] = mask(60, 40, (0, 0, 15, 40))
    return files


def lists(folder: str, split: str, rows: dict[str, tuple[str, ...]]) -> Files:
    """Lists of wsolevaluation as paths below its ``metadata/``."""
    return {f"metadata/{folder}/{split}/{name}.txt": "\n".join(lines).encode() for name, lines in rows.items()}


def _listed_pictures(rows: dict[str, tuple[str, ...]]) -> Files:
    sizes = (line.rsplit(",", 2) for line in rows["image_sizes"])
    return {name: picture(name, int(width), int(height)) for name, width, height in sizes}


def write_files(folder: Path, files: Files) -> Path:
    """Write files below a folder."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def write_tar(path: Path, files: Files, compression: str = "") -> Path:
    """Write a tar archive; `compression` is "", "gz", "bz2" or "xz"."""
    with tarfile.open(path, f"w:{compression}") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def write_zip(path: Path, files: Files) -> Path:
    """Write a zip archive."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path

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


# train images per class of `tiny_imagenet_archive`, 500 as published
TINY_IMAGENET_TRAIN = 13
TINY_IMAGENET_IDS = ("n02124075", "n01443537", "n03126707", "n01855672")


def tiny_imagenet_archive() -> Files:
    """``tiny-imagenet-200.zip`` with four classes, and the faults that the published one has.

    The box of train image 12 of n01443537 (held out for val) and that of val_3 have no area; train image 1 of n02124075
    is val_0 again, its image 4 its image 3 again; image 2 of n03126707 is image 2 of n01855672. The name "crane"
    belongs to two classes.
    """
    tree = "tiny-imagenet-200"
    words = {
        "n00001740": "entity",
        "n01443537": "goldfish, Carassius auratus",
        "n01855672": "crane",
        "n02124075": "Egyptian cat",
        "n03126707": "crane",
    }
    files = {
        f"{tree}/words.txt": "".join(f"{key}\t{value}\n" for key, value in words.items()).encode(),
        f"{tree}/wnids.txt": "\n".join(TINY_IMAGENET_IDS).encode(),
        f"{tree}/test/images/test_0.JPEG": picture("test_0", 64, 64),
    }
    for wordnet_id in TINY_IMAGENET_IDS:
        rows = []
        for number in range(TINY_IMAGENET_TRAIN):
            name = f"{wordnet_id}_{number}.JPEG"
            files[f"{tree}/train/{wordnet_id}/images/{name}"] = picture(name, 64, 64)
            end = 5 if (wordnet_id, number) == ("n01443537", 12) else 60
            rows.append(f"{name}\t5\t{number}\t{end}\t50\n")
        files[f"{tree}/train/{wordnet_id}/{wordnet_id}_boxes.txt"] = "".join(rows).encode()
    val = [(f"val_{number}.JPEG", TINY_IMAGENET_IDS[number % 4], number) for number in range(8)]
    for name, _, _ in val:
        files[f"{tree}/val/images/{name}"] = picture(name, 64, 64)
    rows = [f"{name}\t{label}\t{n}\t10\t{n if n == 3 else 63}\t63\n" for name, label, n in val]
    files[f"{tree}/val/val_annotations.txt"] = "".join(rows).encode()

    def train(wordnet_id: str, number: int) -> str:
        return f"{tree}/train/{wordnet_id}/images/{wordnet_id}_{number}.JPEG"

    files[train("n02124075", 1)] = files[f"{tree}/val/images/val_0.JPEG"]
    files[train("n02124075", 4)] = files[train("n02124075", 3)]
    files[train("n03126707", 2)] = files[train("n01855672", 2)]
    return files


# breed, class number from 1, species, breed number within the species, images in trainval.txt and in test.txt
OXFORD_PETS = (("Abyssinian", 1, 1, 1, 3, 2), ("american_bulldog", 2, 2, 1, 2, 1), ("Bengal", 3, 1, 2, 2, 1))
OXFORD_PETS_SIZE = (50, 40)


def oxford_pets_images() -> Files:
    """``images.tar.gz``, with one of the Matlab files that lie among the images."""
    files = {f"images/{name}.jpg": picture(name, *OXFORD_PETS_SIZE) for name, _, _ in oxford_pets_rows()}
    return files | {"images/Abyssinian_100.mat": b"MATLAB 5.0"}


def oxford_pets_annotations() -> Files:
    """``annotations.tar.gz``; the animal fills columns 10 to 29 and rows 8 to 27, its border is two pixels wide."""
    rows = oxford_pets_rows()
    files = {
        "annotations/README": b"OXFORD-IIIT PET Dataset",
        "annotations/list.txt": b"#Image CLASS-ID SPECIES BREED ID\n#ID: 1:37 Class ids\n"
        + "".join(row for _, row, _ in rows).encode(),
        "annotations/trimaps/._Abyssinian_1.png": b"\0\5\x16\7",
        "annotations/xmls/Abyssinian_1.xml": voc_xml("cat", [(12, 10, 20, 18)], *OXFORD_PETS_SIZE),
    }
    for part in ("trainval", "test"):
        files[f"annotations/{part}.txt"] = "".join(row for _, row, listed in rows if listed == part).encode()
    trimap = np.full((OXFORD_PETS_SIZE[1], OXFORD_PETS_SIZE[0]), 2, dtype=np.uint8)
    trimap[6:30, 8:32] = 3
    trimap[8:28, 10:30] = 1
    buffer = io.BytesIO()
    Image.fromarray(trimap).save(buffer, "PNG")
    return files | {f"annotations/trimaps/{name}.png": buffer.getvalue() for name, _, _ in rows}


def oxford_pets_rows() -> list[tuple[str, str, str]]:
    """Name, row and list file ("trainval" or "test") of every image."""
    rows = []
    for breed, number, species, breed_number, trainval, test in OXFORD_PETS:
        for picture_number in range(1, trainval + test + 1):
            name = f"{breed}_{picture_number}"
            part = "trainval" if picture_number <= trainval else "test"
            rows.append((name, f"{name} {number} {species} {breed_number}\n", part))
    return rows


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

"""ImageNet: ILSVRC2012 train and validation images, and ImageNetV2.

Splits, as wsolevaluation has them: train is ILSVRC2012's train, val is ImageNetV2 (``threshold0.7``),
test is ILSVRC2012's validation set. Class numbers are those of torchvision and timm: the WordNet ids
in alphabetical order.

Lists of boxes come from ``metadata/ILSVRC/<split>``; `write_validation_lists` makes those of test from the
published XML files. Images are found in any of

- wsolevaluation's ``dataset/ILSVRC/{train,val,val2}/``,
- Kaggle's ``ILSVRC/Data/CLS-LOC/{train,val}/``,
- torchvision's ``val/n01440764/….JPEG`` and ``train/n01440764/….JPEG``,
- ``ILSVRC2012_img_val.tar``, read without unpacking,
- ``imagenetv2-threshold0.7*/<class number>/….jpeg``, as its archive has it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np

from wsol.data.errors import DatasetError
from wsol.data.files.stores import Folder, ImageStore, Renamed, holds_some
from wsol.data.files.stores_tar import TarImages
from wsol.data.formats import wsolevaluation
from wsol.data.formats.voc import VocImage, read_voc
from wsol.data.ground_truth import NO_BOXES, GroundTruth, read_lines
from wsol.data.loaded import Loaded

VALIDATION_TAR = "ILSVRC2012_img_val.tar"
MAPPING = "mapping.txt"
ANNOTATIONS = ("ILSVRC/Annotations/CLS-LOC/val", "Annotations/CLS-LOC/val")
IMAGE_PARENTS = ("dataset/ILSVRC", "ILSVRC", "ILSVRC/Data/CLS-LOC", "Data/CLS-LOC", ".")
V2_PATTERNS = ("imagenetv2-threshold0.7*", "dataset/ILSVRC/val2", "dataset/ILSVRC/imagenetv2-threshold0.7*")

# Reported at github.com/clovaai/wsolevaluation/issues/39 as boxes that do not lie on the object.
DOUBTED_V2_IMAGES = (
    "val2/100/5.jpeg",
    "val2/2/8.jpeg",
    "val2/58/5.jpeg",
    "val2/35/6.jpeg",
    "val2/36/1.jpeg",
    "val2/48/9.jpeg",
)


@cache
def wordnet_ids() -> tuple[str, ...]:
    """WordNet id of each class, in the order of torchvision and timm."""
    from timm.data import ImageNetInfo

    return tuple(ImageNetInfo("imagenet-1k").label_names())


@cache
def class_names() -> tuple[str, ...]:
    """English name of each class."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    return tuple(info.index_to_description(i) for i in range(info.num_classes()))


def load_imagenet(root: Path, split: str) -> Loaded | None:
    """Read a split below `root`, in any of the layouts above; None if the images are not there.

    Raises:
        DatasetError: If there are images without lists, or malformed lists.
    """
    if split == "train":
        return _load_train(root)
    if not wsolevaluation.has_lists(root, "imagenet", split):
        if split == "test" and annotation_folder(root) is not None:
            raise DatasetError(
                f"{root}: the XML boxes are not listed yet; run 'wsol-data prepare imagenet --root {root}'"
            )
        return None
    lists = wsolevaluation.lists_folder(root, "imagenet", split)
    truth = GroundTruth.from_lists(lists, "imagenet", split, class_names())
    images = _test_images(root, truth) if split == "test" else _v2_images(root, truth, lists)
    return None if images is None else Loaded(truth, images)


def annotation_folder(root: Path) -> Path | None:
    """Folder of the XML files of the validation images, if it is there."""
    return next((root / name for name in ANNOTATIONS if (root / name).is_dir()), None)


def write_validation_lists(root: Path) -> GroundTruth:
    """Write ``metadata/ILSVRC/test`` from the XML files below `root`.

    Raises:
        DatasetError: If there are no XML files, one is malformed, or names an unknown class.
    """
    folder = annotation_folder(root)
    paths = sorted(folder.glob("*.xml")) if folder is not None else []
    if not paths:
        raise DatasetError(f"{root}: no XML files in {' or '.join(ANNOTATIONS)}")
    with ThreadPoolExecutor() as pool:
        images = list(pool.map(read_voc, paths))
    number = {wordnet_id: i for i, wordnet_id in enumerate(wordnet_ids())}
    for path, image in zip(paths, images, strict=True):
        if image.name not in number:
            raise DatasetError(f"{path}: {image.name!r} is not one of ImageNet's 1000 classes")
    truth = _validation_truth(paths, images, number)
    truth.write_lists(wsolevaluation.lists_folder(root, "imagenet", "test"))
    return truth


def _validation_truth(paths: list[Path], images: list[VocImage], number: dict[str, int]) -> GroundTruth:
    return GroundTruth(
        dataset="imagenet",
        split="test",
        image_ids=tuple(f"val/{path.stem}.JPEG" for path in paths),
        labels=np.array([number[image.name] for image in images], dtype=np.int64),
        sizes=np.array([image.size for image in images], dtype=np.int64),
        boxes=tuple(image.boxes for image in images),
        class_names=class_names(),
    )


def _load_train(root: Path) -> Loaded | None:
    """The train tree: labels from the folders, no boxes."""
    parent = next((root / name for name in IMAGE_PARENTS if (root / name / "train").is_dir()), None)
    if parent is None:
        return None
    ids: list[str] = []
    labels: list[int] = []
    for label, wordnet_id in enumerate(wordnet_ids()):
        folder = parent / "train" / wordnet_id
        names = sorted(p.name for p in folder.glob("*.JPEG")) if folder.is_dir() else []
        ids += [f"train/{wordnet_id}/{name}" for name in names]
        labels += [label] * len(names)
    if not ids:
        return None
    truth = GroundTruth(
        dataset="imagenet",
        split="train",
        image_ids=tuple(ids),
        labels=np.array(labels, dtype=np.int64),
        sizes=np.zeros((len(ids), 2), dtype=np.int64),
        boxes=(NO_BOXES,) * len(ids),
        class_names=class_names(),
    )
    return Loaded(truth, Folder(parent))


def _test_images(root: Path, truth: GroundTruth) -> ImageStore | None:
    ids = truth.image_ids
    in_classes = {
        image_id: f"val/{wordnet_ids()[label]}/{Path(image_id).name}"
        for image_id, label in zip(ids, truth.labels.tolist(), strict=True)
        if label < len(wordnet_ids())
    }
    for name in IMAGE_PARENTS:
        folder = Folder(root / name)
        for store in (folder, Renamed(folder, in_classes)):
            if holds_some(store, ids):
                return store
    if (root / VALIDATION_TAR).is_file():
        return Renamed(TarImages(root / VALIDATION_TAR), {i: Path(i).name for i in ids})
    return None


def _v2_images(root: Path, truth: GroundTruth, lists: Path) -> ImageStore | None:
    """ImageNetV2 images; today's archive names them by hash, the lists by number within the class."""
    ids = truth.image_ids
    for name in IMAGE_PARENTS:
        if holds_some(Folder(root / name), ids):
            return Folder(root / name)
    folder = next((p for pattern in V2_PATTERNS for p in sorted(root.glob(pattern)) if p.is_dir()), None)
    if folder is None:
        return None
    numbered = Renamed(Folder(folder), {i: i.removeprefix("val2/") for i in ids})
    if holds_some(numbered, ids):
        return numbered
    return Renamed(Folder(folder), _v2_mapping(lists, folder))


def _v2_mapping(lists: Path, folder: Path) -> dict[str, str]:
    """Published name of each listed ImageNetV2 image, from rows ``0/0.jpeg, 0/a31041….jpeg``."""
    path = lists / MAPPING
    if not path.exists():
        raise DatasetError(
            f"{folder} names its images by hash, the lists by number: put metadata/ILSVRC/val/{MAPPING} of "
            f"github.com/clovaai/wsolevaluation into {lists}"
        )
    mapping: dict[str, str] = {}
    for number, line in enumerate(read_lines(path), start=1):
        listed, comma, published = line.partition(",")
        if not comma:
            raise DatasetError(f"{path}:{number}: expected 'listed name, published name', got {line!r}")
        mapping[f"val2/{listed.strip()}"] = published.strip()
    return mapping

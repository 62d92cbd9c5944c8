"""Oxford-IIIT Pet: 37 breeds of cats and dogs, with trimaps of the whole animal.

The published archives, ``images.tar.gz`` and ``annotations.tar.gz``, unpacked where torchvision puts them::

    oxford-iiit-pet/images/Abyssinian_1.jpg …
                    annotations/trainval.txt, test.txt     <image> <class number, from 1> <species> <breed number>
                    annotations/trimaps/Abyssinian_1.png   1 animal, 2 background, 3 border

`write_lists` makes of them ``metadata/oxford-pets/<split>`` and, for each listed image, ``masks/<image>.png`` (the
animal) and ``masks/<image>_ignore.png`` (the border, which is not scored). The box encloses animal and border: the
animal's outline runs inside the border. The published head boxes (``xmls/``) are not used.

Splits: test is ``test.txt``; val is a seeded draw of 15 images of each class of ``trainval.txt``, train the rest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from tdam.errors import check_name
from wsol.data.benchmarks.listed import Listed, read_listed
from wsol.data.errors import DatasetError, ImageError
from wsol.data.files.decoders import read_header
from wsol.data.files.stores import Folder
from wsol.data.formats.wsolevaluation import lists_folder
from wsol.data.ground_truth import GroundTruth, MaskFiles, read_lines
from wsol.data.loaded import Loaded

NAME = "oxford-pets"
TREE = "oxford-iiit-pet"
LISTS = ("trainval.txt", "test.txt")
ANIMAL, BACKGROUND, BORDER = 1, 2, 3
HELD_OUT_PER_CLASS, HELD_OUT_SEED = 15, 0


@dataclass(frozen=True)
class Pet:
    """One image: its name without suffix, and the breed's name and number from 1."""

    name: str
    breed: str
    number: int


def load_oxford_pets(root: Path, split: str) -> Loaded | None:
    """Read a split as `write_lists` listed it; None if there is no tree below `root`.

    Raises:
        DatasetError: If there is a tree without lists, or malformed lists.
    """
    tree = find_tree(root)
    if tree is None:
        return None
    truth = read_listed(root, tree, NAME, split)
    names = [Path(image_id).stem for image_id in truth.image_ids]
    truth = replace(truth, masks=tuple(MaskFiles((f"{name}.png",), f"{name}_ignore.png") for name in names))
    note = "" if split == "test" else f"{HELD_OUT_PER_CLASS} images of each class of {LISTS[0]} are the val split"
    return Loaded(truth, Folder(tree / "images"), Folder(tree / "masks"), note, complete=False)


def find_tree(root: Path) -> Path | None:
    """The folder of the unpacked archives, below `root` or `root` itself; None unless both are there."""
    wanted = ("images", "annotations/trimaps", f"annotations/{LISTS[0]}")
    folders = (root / TREE, root)
    return next((folder for folder in folders if all((folder / name).exists() for name in wanted)), None)


def write_lists(root: Path, classes: Sequence[str] = ()) -> Listed | None:
    """Write the lists of all splits to ``metadata/oxford-pets``, and the masks.

    Args:
        root: Folder that holds the unpacked archives.
        classes: Breeds to take, such as "Abyssinian" or "american_bulldog"; all by default.

    Returns:
        None if the unpacked archives are not there.

    Raises:
        UnknownNameError: If a class is no breed.
        DatasetError: If a list is missing or malformed; the message names file and line.
    """
    tree = find_tree(root)
    if tree is None:
        return None
    trainval, test = (_read_list(tree / "annotations" / name) for name in LISTS)
    breeds = [breed for _, breed in sorted({(pet.number, pet.breed) for pet in trainval + test})]
    taken = {check_name("class", name, breeds) for name in classes} or set(breeds)
    chosen = [breed for breed in breeds if breed in taken]
    held_out = _hold_out([pet for pet in trainval if pet.breed in taken])
    splits = {
        "train": [pet for pet in trainval if pet.breed in taken and pet.name not in held_out],
        "val": [pet for pet in trainval if pet.name in held_out],
        "test": [pet for pet in test if pet.breed in taken],
    }
    left_out: dict[str, list[str]] = defaultdict(list)
    truth = {}
    for split, pets in splits.items():
        truth[split] = _ground_truth(tree, split, pets, chosen, left_out)
        truth[split].write_lists(lists_folder(root, NAME, split))
    return Listed(truth, {reason: tuple(names) for reason, names in left_out.items()})


def read_trimap(tree: Path, name: str, size: tuple[int, int]) -> np.ndarray:
    """The trimap (H, W) of an image of a size (width, height).

    Raises:
        ImageError: If it is missing, damaged, of another size, without animal, or holds other values.
    """
    path = tree / "annotations" / "trimaps" / f"{name}.png"
    # cv2 would complain on stderr about a missing file.
    trimap = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
    if trimap is None:
        raise ImageError("trimap missing or unreadable")
    if trimap.ndim != 2 or trimap.shape != size[::-1]:
        raise ImageError("trimap of another size than the image")
    if not np.isin(trimap, (ANIMAL, BACKGROUND, BORDER)).all():
        raise ImageError("trimap with values other than 1, 2 and 3")
    if not (trimap == ANIMAL).any():
        raise ImageError("trimap without animal")
    return trimap


def _read_list(path: Path) -> list[Pet]:
    """Rows of ``trainval.txt`` or ``test.txt``; lines that begin with # are comments."""
    pets = []
    for number, line in enumerate(read_lines(path), start=1):
        if line.startswith("#"):
            continue
        name, *numbers = line.split()
        breed, _, picture = name.rpartition("_")
        if len(numbers) != 3 or not all(n.isdecimal() for n in numbers) or not breed or not picture.isdecimal():
            raise DatasetError(f"{path}:{number}: expected '<breed>_<n> <class> <species> <breed>', got {line!r}")
        pets.append(Pet(name, breed, int(numbers[0])))
    return pets


def _hold_out(pets: Sequence[Pet]) -> set[str]:
    """Names of the val images: a seeded draw of each class that leaves at least one for train."""
    of_class: dict[int, list[str]] = defaultdict(list)
    for pet in pets:
        of_class[pet.number].append(pet.name)
    chosen: set[str] = set()
    for number, names in of_class.items():
        count = min(HELD_OUT_PER_CLASS, len(names) - 1)
        draw = np.random.default_rng([HELD_OUT_SEED, number]).choice(len(names), size=count, replace=False)
        chosen.update(sorted(names)[place] for place in draw)
    return chosen


def _ground_truth(
    tree: Path, split: str, pets: Sequence[Pet], chosen: Sequence[str], left_out: dict[str, list[str]]
) -> GroundTruth:
    """Ground truth of a split; writes its masks, and notes the images that cannot be scored."""
    images, masks = Folder(tree / "images"), tree / "masks"
    masks.mkdir(exist_ok=True)
    kept, sizes, boxes = [], [], []
    for pet in pets:
        file = f"{pet.name}.jpg"
        try:
            size = read_header(images.read(file), file).size
            trimap = read_trimap(tree, pet.name, size)
        except ImageError as error:
            reason = str(error) if str(error).startswith("trimap") else "image missing or unreadable"
            left_out.setdefault(reason, []).append(pet.name)
            continue
        cv2.imwrite(str(masks / f"{pet.name}.png"), np.uint8(255) * (trimap == ANIMAL))
        cv2.imwrite(str(masks / f"{pet.name}_ignore.png"), np.uint8(255) * (trimap == BORDER))
        rows, columns = np.nonzero(trimap != BACKGROUND)
        kept.append(pet)
        sizes.append(size)
        boxes.append(np.array([[columns.min(), rows.min(), columns.max(), rows.max()]], dtype=np.int64))
    return GroundTruth(
        dataset=NAME,
        split=split,
        image_ids=tuple(f"{pet.name}.jpg" for pet in kept),
        labels=np.array([chosen.index(pet.breed) for pet in kept], dtype=np.int64),
        sizes=np.array(sizes, dtype=np.int64).reshape(-1, 2),
        boxes=tuple(boxes),
        class_names=tuple(chosen),
    )

"""Tiny-ImageNet: 200 classes of ImageNet at 64 px, with boxes for the train and val images.

The published tree, ``tiny-imagenet-200.zip``::

    tiny-imagenet-200/wnids.txt                        WordNet id of each class
                      words.txt                        <WordNet id> TAB <names, comma-separated>
                      train/n01443537/images/n01443537_0.JPEG …
                      train/n01443537/n01443537_boxes.txt       <file> TAB x0 TAB y0 TAB x1 TAB y1
                      val/images/val_0.JPEG …
                      val/val_annotations.txt          <file> TAB <WordNet id> TAB x0 TAB y0 TAB x1 TAB y1
                      test/images/ …                   without labels, not used

Splits: test is the published val; val is the last ten train images of each class; train is the rest. Classes are the
WordNet ids in alphabetical order. `write_lists` leaves out what would falsify figures, and says how much:

- images of val and test whose box has no area;
- all but one of the same image in one class, and all of one that bears two labels; where the same image is in two
  splits, test keeps it before val, and val before train.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from tdam.errors import check_name
from wsol.data.benchmarks.listed import Listed, read_listed
from wsol.data.errors import DatasetError
from wsol.data.files.decoders import image_sizes
from wsol.data.files.stores import Folder
from wsol.data.formats.wsolevaluation import lists_folder
from wsol.data.ground_truth import NO_BOXES, GroundTruth, read_lines
from wsol.data.loaded import Loaded

NAME = "tiny-imagenet"
TREE = "tiny-imagenet-200"
IDS, WORDS, ANNOTATIONS = "wnids.txt", "words.txt", "val_annotations.txt"
HELD_OUT_PER_CLASS = 10
# Where the same image is in two splits, the first of these keeps it.
PRIORITY = ("test", "val", "train")
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Picture:
    """One listed image: its path below the tree, its class and its box in pixels."""

    path: str
    wordnet_id: str
    box: Box

    @property
    def has_area(self) -> bool:
        """Whether the box is one."""
        x0, y0, x1, y1 = self.box
        return x1 > x0 and y1 > y0


def load_tiny_imagenet(root: Path, split: str) -> Loaded | None:
    """Read a split as `write_lists` listed it; None if there is no tree below `root`.

    Raises:
        DatasetError: If there is a tree without lists, or malformed lists.
    """
    tree = find_tree(root)
    if tree is None:
        return None
    truth = read_listed(root, tree, NAME, split)
    note = "" if split == "test" else f"the last {HELD_OUT_PER_CLASS} train images of each class are the val split"
    return Loaded(truth, Folder(tree), note=note, complete=False)


def find_tree(root: Path) -> Path | None:
    """The published tree below `root`, or `root` itself; None if there is none."""
    return next((folder for folder in (root / TREE, root) if (folder / IDS).is_file()), None)


def write_lists(root: Path, classes: Sequence[str] = ()) -> Listed | None:
    """Write the lists of all splits to ``metadata/tiny-imagenet``.

    Args:
        root: Folder that holds the tree.
        classes: WordNet ids to take; all that the tree names by default.

    Returns:
        None if the tree is not there.

    Raises:
        UnknownNameError: If a class is not among the tree's.
        DatasetError: If the tree is incomplete or a list in it is malformed; the message names file and line.
    """
    tree = find_tree(root)
    if tree is None:
        return None
    known = read_lines(tree / IDS)
    chosen = sorted({check_name("class", name, known) for name in classes} or set(known))
    names = _class_names(tree, chosen)
    pictures: dict[str, list[Picture]] = {"train": [], "val": [], "test": _test_pictures(tree, set(chosen))}
    for wordnet_id in chosen:
        found = _train_pictures(tree, wordnet_id)
        pictures["train"] += found[:-HELD_OUT_PER_CLASS]
        pictures["val"] += found[-HELD_OUT_PER_CLASS:]
    left_out: dict[str, list[str]] = defaultdict(list)
    for split in ("val", "test"):
        left_out["box without area"] += [each.path for each in pictures[split] if not each.has_area]
        pictures[split] = [each for each in pictures[split] if each.has_area]
    for reason, path in _copies(tree, pictures):
        left_out[reason].append(path)
    gone = {path for paths in left_out.values() for path in paths}
    truth = {}
    for split, listed in pictures.items():
        kept = [each for each in listed if each.path not in gone]
        truth[split] = _ground_truth(tree, split, kept, chosen, names)
        truth[split].write_lists(lists_folder(root, NAME, split))
    return Listed(truth, {reason: tuple(sorted(paths)) for reason, paths in left_out.items() if paths})


def _class_names(tree: Path, chosen: Sequence[str]) -> tuple[str, ...]:
    """First name of each class in ``words.txt``, with its WordNet id where two classes share it."""
    words = {}
    for number, line in enumerate(read_lines(tree / WORDS), start=1):
        wordnet_id, tab, synonyms = line.partition("\t")
        if not tab:
            raise DatasetError(f"{tree / WORDS}:{number}: expected '<WordNet id> TAB <names>', got {line!r}")
        words[wordnet_id] = synonyms.split(",")[0].strip()
    missing = [wordnet_id for wordnet_id in chosen if wordnet_id not in words]
    if missing:
        raise DatasetError(f"{tree / WORDS}: class {missing[0]} has no name")
    count = Counter(words[wordnet_id] for wordnet_id in chosen)
    return tuple(
        words[wordnet_id] if count[words[wordnet_id]] == 1 else f"{words[wordnet_id]} ({wordnet_id})"
        for wordnet_id in chosen
    )


def _train_pictures(tree: Path, wordnet_id: str) -> list[Picture]:
    """Train images of a class in the order of their numbers."""
    path = tree / "train" / wordnet_id / f"{wordnet_id}_boxes.txt"
    if not path.is_file():
        raise DatasetError(
            f"{path}: no such file, though {IDS} names the class; "
            f"where a tree holds some classes only, name them with --classes"
        )
    folder = f"train/{wordnet_id}/images"
    found = [Picture(f"{folder}/{file}", wordnet_id, box) for file, _, box in _rows(path, columns=5)]
    return sorted(found, key=lambda each: (len(each.path), each.path))


def _test_pictures(tree: Path, chosen: set[str]) -> list[Picture]:
    rows = _rows(tree / "val" / ANNOTATIONS, columns=6)
    return [Picture(f"val/images/{file}", label, box) for file, label, box in rows if label in chosen]


def _rows(path: Path, columns: int) -> Iterator[tuple[str, str, Box]]:
    """File, label ("" in five columns) and box of each row."""
    for number, line in enumerate(read_lines(path), start=1):
        file, *labels, x0, y0, x1, y1 = fields if len(fields := line.split("\t")) == columns else [""] * 5
        try:
            box = (int(x0), int(y0), int(x1), int(y1))
        except ValueError:
            raise DatasetError(f"{path}:{number}: expected {columns} columns with a box, got {line!r}") from None
        yield file, labels[0] if labels else "", box


def _copies(tree: Path, pictures: dict[str, list[Picture]]) -> Iterator[tuple[str, str]]:
    """Why and which images have to go because the same file is there again."""
    ordered = [each for split in PRIORITY for each in pictures[split]]
    store = Folder(tree)
    with ThreadPoolExecutor() as pool:
        digests = pool.map(lambda each: hashlib.blake2b(store.read(each.path), digest_size=16).digest(), ordered)
        same: dict[bytes, list[Picture]] = defaultdict(list)
        for digest, each in zip(digests, ordered, strict=True):
            same[digest].append(each)
    for group in same.values():
        if any(one.wordnet_id != other.wordnet_id for one, other in pairwise(group)):
            yield from (("same image with two labels", each.path) for each in group)
        else:
            yield from (("same image again", each.path) for each in group[1:])


def _ground_truth(
    tree: Path, split: str, listed: Iterable[Picture], chosen: Sequence[str], names: tuple[str, ...]
) -> GroundTruth:
    kept = list(listed)
    number = {wordnet_id: place for place, wordnet_id in enumerate(chosen)}
    paths = tuple(each.path for each in kept)
    boxes = tuple(np.array([each.box], dtype=np.int64) if each.has_area else NO_BOXES for each in kept)
    return GroundTruth(
        dataset=NAME,
        split=split,
        image_ids=paths,
        labels=np.array([number[each.wordnet_id] for each in kept], dtype=np.int64),
        sizes=image_sizes(Folder(tree), paths),
        boxes=boxes,
        class_names=names,
    )

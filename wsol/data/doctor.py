"""The dataset doctor: everything that can be wrong with a dataset on disk, looked for in full.

What can be seen cheaply is found when a dataset is opened, too, by the same rules (`wsol.data.custom.frames`,
`wsol.data.box_checks`).
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from wsol.data.benchmarks.imagenet import DOUBTED_V2_IMAGES
from wsol.data.box_checks import box_findings
from wsol.data.errors import DatasetError, ImageError, MissingSplitError
from wsol.data.files.decoders import Rule, decode_exact, decode_mask
from wsol.data.files.image_files import image_files
from wsol.data.files.stores import Folder, ImageStore
from wsol.data.findings import Finding, Severity
from wsol.data.ground_truth import GroundTruth
from wsol.data.loaded import Loaded
from wsol.data.registry import SPLITS, load


@dataclass(frozen=True)
class Published:
    """Published counts of a split."""

    images: int
    classes: int
    boxes: int = 0
    masks: int = 0


PUBLISHED: dict[str, dict[str, Published]] = {
    "cub": {
        "train": Published(5994, 200, boxes=5994),
        "val": Published(1000, 200, boxes=1000),
        "test": Published(5794, 200, boxes=5794),
    },
    "imagenet": {
        "train": Published(1281167, 1000),
        "val": Published(10000, 1000, boxes=18532),
        "test": Published(50000, 1000, boxes=80477),
    },
    "openimages": {
        "train": Published(29819, 100),
        "val": Published(2500, 100, masks=3854),
        "test": Published(5000, 100, masks=7632),
    },
}
LOCALIZED_SPLITS = ("val", "test")
CHECKED_IN_FULL = frozenset({"image missing", "image unreadable", "mask unreadable", "mask empty"})
"""What an opened split reports of the files it looked into, and the doctor of all."""
AT_ONCE = 1024  # images handed to the threads together


def check_dataset(
    name: str | Path,
    root: str | Path | None = None,
    splits: Iterable[str] = (),
    progress: Callable[[Iterable[int], int, str], Iterable[int]] = lambda items, total, title: items,
) -> Iterator[Finding]:
    """Check a dataset from its lists to the last pixel.

    Args:
        name: As for `wsol.data.load_dataset`.
        root: As for `wsol.data.load_dataset`.
        splits: Splits to check; default: all that the dataset has.
        progress: Wraps the loop over the images of a split, for a progress bar; called with the
            loop, the number of images and a title.

    Yields:
        Findings, in the order of the splits.

    Raises:
        UnknownNameError: If there is no such dataset or split.
        DatasetError: If no split of the dataset is there at all.
    """
    found: dict[str, Loaded] = {}
    absent: dict[str, DatasetError] = {}
    chosen = tuple(splits)
    for split in chosen or SPLITS:
        try:
            found[split] = load(name, split, root)
        except DatasetError as error:
            absent[split] = error
    if found and not chosen:
        absent = {split: error for split, error in absent.items() if not isinstance(error, MissingSplitError)}
    if not found and absent:
        raise next(iter(absent.values()))
    for split, reason in absent.items():
        yield Finding("error", split, "cannot be loaded", str(name), str(reason))
    seen: dict[bytes, tuple[str, str]] = {}
    for split, loaded in found.items():
        yield from (finding for finding in loaded.findings if finding.kind not in CHECKED_IN_FULL)
        yield from _check_lists(loaded, split)
        yield from _check_images(loaded, split, seen, progress)
    if not absent and (not chosen or set(chosen) == set(SPLITS)):
        yield from _check_unlisted(found)


def _check_lists(loaded: Loaded, split: str) -> Iterator[Finding]:
    truth = loaded.ground_truth
    if loaded.note:
        yield Finding("note", split, "not the published split", truth.dataset, loaded.note)
    else:
        yield from _check_counts(truth, split)
    yield from _check_labels(truth, split)
    yield from box_findings(truth)
    for i, image_id in enumerate(truth.image_ids):
        yield from _check_boxes(truth, i, split)
        if truth.dataset == "imagenet" and image_id in DOUBTED_V2_IMAGES:
            yield Finding("note", split, "box doubted by users", image_id, "wsolevaluation issue 39")


def _check_labels(truth: GroundTruth, split: str) -> Iterator[Finding]:
    published = PUBLISHED.get(truth.dataset, {}).get(split)
    classes = truth.num_classes if published is None else published.classes
    labels = truth.labels.tolist()
    for image_id, label in zip(truth.image_ids, labels, strict=True):
        if not 0 <= label < classes:
            yield Finding("error", split, "label out of range", image_id, f"{label}, not 0 … {classes - 1}")
    for label in sorted(set(range(classes)) - set(labels)):
        name = truth.class_names[label] if label < truth.num_classes else ""
        severity: Severity = "error" if published else "warning"
        yield Finding(severity, split, "class without images", f"{label} {name}".strip())
    folders = [str(Path(image_id).parent) for image_id in truth.image_ids]
    if len(set(folders)) != classes or classes == 1:
        return  # folders are not classes here
    usual: dict[str, Counter[int]] = defaultdict(Counter)
    for folder, label in zip(folders, labels, strict=True):
        usual[folder][label] += 1
    for image_id, folder, label in zip(truth.image_ids, folders, labels, strict=True):
        (common, _), *_ = usual[folder].most_common(1)
        if label != common and 0 <= label < classes:
            yield Finding("error", split, "label differs from its folder's", image_id, f"{label}, others {common}")


def _check_counts(truth: GroundTruth, split: str) -> Iterator[Finding]:
    published = PUBLISHED.get(truth.dataset, {}).get(split)
    if published is None:
        return
    masks = 0 if truth.masks is None or published.masks == 0 else sum(len(m.objects) for m in truth.masks)
    found = {"images": len(truth), "boxes": sum(map(len, truth.boxes)) if published.boxes else 0, "masks": masks}
    for kind, count in found.items():
        expected = getattr(published, kind)
        if count != expected:
            yield Finding("error", split, f"number of {kind}", truth.dataset, f"{count}, published: {expected}")


def _check_boxes(truth: GroundTruth, i: int, split: str) -> Iterator[Finding]:
    name, boxes = truth.image_ids[i], truth.boxes[i]
    has_mask = truth.masks is not None and bool(truth.masks[i].objects)
    if truth.dataset in PUBLISHED and split in LOCALIZED_SPLITS and not len(boxes) and not has_mask:
        yield Finding("error", split, "neither box nor mask", name)
    for box, count in Counter(map(tuple, boxes.tolist())).items():
        if count > 1:
            yield Finding("warning", split, "box listed twice", name, f"{box}")


def _check_images(
    loaded: Loaded,
    split: str,
    seen: dict[bytes, tuple[str, str]],
    progress: Callable[[Iterable[int], int, str], Iterable[int]],
) -> Iterator[Finding]:
    """Read every image and mask of a split; `seen` has split and id of each image file by its digest."""
    truth = loaded.ground_truth
    masks = loaded.images if loaded.masks is None else loaded.masks
    with ThreadPoolExecutor() as pool:
        for i in progress(range(len(truth)), len(truth), split):
            if i % AT_ONCE == 0:
                ahead = range(i, min(i + AT_ONCE, len(truth)))
                results = pool.map(lambda j: _check_image(loaded, masks, j), ahead)
            findings, digest = next(results)
            yield from findings
            if digest is None:
                continue
            other_split, other = seen.setdefault(digest, (split, truth.image_ids[i]))
            if (other_split, other) != (split, truth.image_ids[i]):
                kind = "same image twice" if other_split == split else "same image in two splits"
                yield Finding("error", split, kind, truth.image_ids[i], f"equals {other} of {other_split}")


def _check_unlisted(found: dict[str, Loaded]) -> Iterator[Finding]:
    """Image files that no split lists, where all images lie in one folder."""
    listed: dict[Path, set[str]] = defaultdict(set)
    for loaded in found.values():
        truth = loaded.ground_truth
        if not isinstance(loaded.images, Folder) or not loaded.complete:
            return
        listed[loaded.images.root].update(truth.image_ids)
        masks = loaded.images if loaded.masks is None else loaded.masks
        if isinstance(masks, Folder) and masks.root == loaded.images.root:
            for files in truth.masks or ():
                listed[masks.root].update(files.objects + ((files.ignore,) if files.ignore else ()))
    for folder, names in listed.items():
        for path in image_files(folder):
            if path not in names:
                yield Finding("warning", "all", "file in no list", path, str(folder / path))


def _check_image(loaded: Loaded, masks: ImageStore, i: int) -> tuple[list[Finding], bytes | None]:
    truth, images = loaded.ground_truth, loaded.images
    name, split = truth.image_ids[i], truth.split
    if not images.exists(name):
        return [Finding("error", split, "image missing", name, images.where(name))], None
    try:
        data = images.read(name)
        size = decode_exact(data, images.where(name), loaded.rule).size
    except ImageError as error:
        return [Finding("error", split, "image unreadable", name, str(error))], None
    findings = []
    listed = tuple(truth.sizes[i].tolist())
    if any(listed) and listed != size:
        findings.append(Finding("error", split, "size differs from the list", name, f"{size}, listed: {listed}"))
    findings += _check_masks(masks, truth, i, loaded.rule)
    return findings, hashlib.blake2b(data, digest_size=16).digest()


def _check_masks(store: ImageStore, truth: GroundTruth, i: int, rule: Rule) -> list[Finding]:
    if truth.masks is None:
        return []
    files, split = truth.masks[i], truth.split
    findings = []
    bright = 0
    for path in files.objects + ((files.ignore,) if files.ignore else ()):
        if not store.exists(path):
            findings.append(Finding("error", split, "mask missing", truth.image_ids[i], store.where(path)))
            continue
        try:
            mask = decode_mask(store.read(path), store.where(path), rule)
        except ImageError as error:
            findings.append(Finding("error", split, "mask unreadable", truth.image_ids[i], str(error)))
            continue
        bright += int(mask.sum()) if path in files.objects else 0
    if files.objects and not bright and not findings:
        findings.append(Finding("error", split, "mask empty", truth.image_ids[i], store.where(files.objects[0])))
    return findings

"""Reading a split of a dataset of one's own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from wsol.data.custom.classes import class_names
from wsol.data.custom.description import SplitFiles, read_description
from wsol.data.custom.frames import Headers, frame_findings, pixel_boxes
from wsol.data.custom.listed_files import ListedFiles
from wsol.data.custom.masks import mask_files, mask_findings
from wsol.data.errors import DatasetError, MissingSplitError
from wsol.data.files.decoders import Header, read_headers
from wsol.data.files.image_files import image_files
from wsol.data.files.stores import Folder
from wsol.data.findings import Finding
from wsol.data.formats.annotations import AnnotatedImage, Annotations, read_annotations
from wsol.data.ground_truth import NO_BOXES, CocoIds, GroundTruth
from wsol.data.loaded import Loaded

SHOWN_CLASSES = 12


@dataclass(frozen=True)
class _Split:
    """The images of a split with the paths they have, and what was found while they were looked up."""

    annotations: Annotations
    findings: tuple[Finding, ...]

    @property
    def images(self) -> list[AnnotatedImage]:
        return self.annotations.images

    def names(self) -> set[str]:
        """Its classes: those of its images, and those that its annotations name."""
        return {str(image.label) for image in self.images}.union(self.annotations.class_names)


def load_custom(path: Path, split: str) -> Loaded:
    """Read a split of the dataset described by the file or folder `path`.

    Raises:
        MissingSplitError: If the dataset has no such split.
        DatasetError: If the description, an annotation or a folder is missing or malformed.
    """
    description = read_description(path)
    if split not in description.splits:
        have = ", ".join(description.splits) or "none"
        raise MissingSplitError(f"{path}: has no {split} split (has: {have})")
    files = description.splits[split]
    found = {name: _read_split(name, each) for name, each in description.splits.items()}
    names = description.classes or class_names(set().union(*(each.names() for each in found.values())))
    if not found[split].images:
        raise DatasetError(f"{files.boxes or files.images}: no images")
    return _loaded(description.name, split, files, found[split], names)


def _read_split(split: str, files: SplitFiles) -> _Split:
    """Images of a split with the paths they have below ``images``, and a label each."""
    listed = image_files(files.images)
    if files.boxes is None:
        images = [AnnotatedImage(path, None, [], str(files.images / path)) for path in listed]
        annotations = Annotations(images)
    else:
        annotations = read_annotations(files.boxes)
        finder = ListedFiles(files.images, listed, [image.path for image in annotations.images])
        for image in annotations.images:
            image.path = finder.find(image.path, image.source)
    findings = []
    for image in annotations.images:
        if image.label is None:
            image.label = _folder_label(image, files.images, annotations.may_lack_labels)
        if image.label is None:
            detail = f"{image.source}: no object tells its class; left out"
            findings.append(Finding("note", split, "image without class", image.path, detail))
    labelled = [image for image in annotations.images if image.label is not None]
    return _Split(replace(annotations, images=labelled), tuple(findings))


def _folder_label(image: AnnotatedImage, folder: Path, may_lack_label: bool) -> str | None:
    parts = PurePosixPath(image.path).parts
    if len(parts) > 1:
        return parts[0]
    if may_lack_label:
        return None
    raise DatasetError(
        f"{image.source}: {image.path!r} has no label: it is neither in the annotation, "
        f"nor does the image lie in a class folder below {folder}"
    )


def _loaded(name: str, split: str, files: SplitFiles, found: _Split, names: tuple[str, ...]) -> Loaded:
    images = found.images
    number = {class_name: i for i, class_name in enumerate(names)}
    for image in images:
        if image.label not in number:
            more = f" … and {len(names) - SHOWN_CLASSES} more" if len(names) > SHOWN_CLASSES else ""
            shown = ", ".join(names[:SHOWN_CLASSES])
            raise DatasetError(f"{image.source}: class {image.label!r} is not among {shown}{more}")
    first: dict[str, str] = {}
    for image in images:
        if image.path in first:
            raise DatasetError(f"{image.source}: two entries for {image.path!r}, the other is {first[image.path]}")
        first[image.path] = image.source
    ids = tuple(image.path for image in images)
    store = Folder(files.images)
    headers = read_headers(store, ids)
    masks = None if files.masks is None else mask_files(files.masks, ids)
    findings = [*found.findings, *_image_findings(split, store, images, headers)]
    findings += frame_findings(split, images, headers)
    if files.masks is not None and masks is not None:
        findings += mask_findings(split, files.masks, ids, masks, headers)
    faulty = {finding.subject for finding in findings if finding.severity == "error"}
    sizes = [_size(image, header) for image, header in zip(images, headers, strict=True)]
    truth = GroundTruth(
        dataset=name,
        split=split,
        image_ids=ids,
        labels=np.array([number[str(image.label)] for image in images], dtype=np.int64),
        sizes=np.array(sizes, dtype=np.int64).reshape(-1, 2),
        boxes=tuple(
            NO_BOXES if image.path in faulty else pixel_boxes(image.corners, size)
            for image, size in zip(images, sizes, strict=True)
        ),
        class_names=names,
        masks=masks,
        coco_ids=_coco_ids(found.annotations, names),
    )
    return Loaded(
        truth,
        store,
        None if files.masks is None else Folder(files.masks),
        rule="photograph",
        findings=tuple(findings),
    )


def _coco_ids(annotations: Annotations, names: Sequence[str]) -> CocoIds | None:
    """Ids of the COCO file; classes that it does not name get the numbers after its largest."""
    given = annotations.category_ids
    if not given:
        return None
    largest = max((number for number in given.values() if isinstance(number, int)), default=0)
    unused = itertools.count(largest + 1)
    return CocoIds(
        images=tuple(image.coco_id for image in annotations.images if image.coco_id is not None),
        categories=tuple(given[name] if name in given else next(unused) for name in names),
    )


def _size(image: AnnotatedImage, header: Header | None) -> tuple[int, int]:
    """Width and height of an image; what the list says where the file cannot be read, else zeros."""
    return header.upright_size if header is not None else image.size or (0, 0)


def _image_findings(split: str, store: Folder, images: Sequence[AnnotatedImage], headers: Headers) -> Iterator[Finding]:
    """Files that are not there, and what of a list is not scored as a box."""
    has_boxes = any(image.boxes for image in images)
    for image, header in zip(images, headers, strict=True):
        if header is None:
            kind = "image unreadable" if store.exists(image.path) else "image missing"
            yield Finding("warning", split, kind, image.path, f"{image.source}: {store.where(image.path)}")
        if image.crowds:
            detail = f"{image.source}: {image.crowds} left out of the boxes"
            yield Finding("note", split, "crowd annotation", image.path, detail)
        if image.difficult:
            detail = f"{image.source}: {image.difficult} scored like the other boxes"
            yield Finding("note", split, "box marked difficult", image.path, detail)
        if has_boxes and not image.boxes and split != "train":
            detail = f"{image.source}: counts for classification, left out of the box metrics"
            yield Finding("note", split, "image without box", image.path, detail)

"""From the archives as they are published to data that `load_dataset` reads.

`prepare` unpacks archives, told apart by what is in them, and then writes the lists that the readers want
and the archives lack. An unpacked archive leaves a list of its files in ``<root>/.prepared``, so that a
second run unpacks it only if one of them is gone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tdam.errors import check_name
from tdam.files import write_text
from wsol.data.benchmarks import cub, imagenet, oxford_pets, tiny_imagenet
from wsol.data.benchmarks.listed import Listed
from wsol.data.errors import DatasetError
from wsol.data.files.decoders import image_sizes
from wsol.data.files.stores import Folder
from wsol.data.files.stores_tar import TarImages
from wsol.data.formats import wsolevaluation
from wsol.data.formats.cub_tables import write_table
from wsol.data.ground_truth import SPLITS
from wsol.data.minibirds import minibirds_tree
from wsol.data.prepare.archives import members, unpack
from wsol.data.prepare.download import download

MARKS = ".prepared"
DOWNLOADS = "downloads"
LOOKED_AT = 200  # members of an archive that are looked at to tell what it is
JUNK = re.compile(r"(^|/)(\._|\.DS_Store$|__MACOSX/)")


@dataclass(frozen=True)
class Archive:
    """A published archive.

    Attributes:
        name: Its file name as published.
        holds: What is in it.
        pattern: Regular expression that its files' paths match.
        target: Where a file goes, below the root: a template for `pattern`'s match.
        where: Page or repository where a person gets it.
        url: Address for ``--download``; None where a login or a click is needed.
        md5: Published checksum.
        present: Pattern of a path below the root that is there once the archive has been unpacked.
        optional: Whether the dataset can be used without it.
    """

    name: str
    holds: str
    pattern: str
    target: str
    where: str
    present: str
    url: str | None = None
    md5: str | None = None
    optional: bool = False

    def place(self, member: str) -> str | None:
        """Path below the root that a member goes to, or None for files nobody needs."""
        if JUNK.search(member):
            return None
        match = re.fullmatch(self.pattern, member)
        return match.expand(self.target) if match else None


def _lists(folder: str, holds: str, optional: bool) -> Archive:
    return Archive(
        name="wsolevaluation-master.zip",
        holds=holds,
        present=f"metadata/{folder}/val/image_ids.txt",
        pattern=rf"(?:wsolevaluation-[^/]+/)?(metadata/{folder}/.+\.txt)",
        target=r"\1",
        where="https://github.com/clovaai/wsolevaluation",
        url="https://github.com/clovaai/wsolevaluation/archive/refs/heads/master.zip",
        optional=optional,
    )


ARCHIVES: dict[str, tuple[Archive, ...]] = {
    "cub": (
        Archive(
            name="CUB_200_2011.tgz",
            holds="images, labels, split and boxes",
            present="CUB_200_2011/images.txt",
            pattern=r"(CUB_200_2011/.+)",
            target=r"\1",
            where="https://data.caltech.edu/records/65de6-vp158",
            url="https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
            md5="97eceeb196236b17998738112f37df78",
        ),
        Archive(
            name="segmentations.tgz",
            holds="masks",
            present="CUB_200_2011/segmentations/*/*.png",
            pattern=r"(segmentations/.+\.png)",
            target=r"CUB_200_2011/\1",
            where="https://data.caltech.edu/records/w9d68-gec53",
            url="https://data.caltech.edu/records/w9d68-gec53/files/segmentations.tgz",
            md5="4d47ba1228eae64f2fa547c47bc65255",
            optional=True,
        ),
        Archive(
            name="CUBV2.tar",
            holds="val images",
            present="CUBV2/*/*.jpg",
            pattern=r"(?:CUBV2/)?(\d{3}\.[^/]+/[^/]+\.jpe?g)",
            target=r"CUBV2/\1",
            where="https://github.com/clovaai/wsolevaluation#cubv2",
            optional=True,
        ),
        _lists("CUB", "lists of the val images", optional=True),
    ),
    "imagenet": (
        Archive(
            name="ILSVRC2012_img_val.tar",
            holds="test images",
            present="ILSVRC/Data/CLS-LOC/val/*.JPEG",
            pattern=r"(ILSVRC2012_val_\d{8}\.JPEG)",
            target=r"ILSVRC/Data/CLS-LOC/val/\1",
            where="https://image-net.org/download (needs an account)",
            md5="29b22e2961454d5413ddabcf34fc5622",
        ),
        Archive(
            name="ILSVRC2012_bbox_val_v3.tgz",
            holds="test boxes",
            present="ILSVRC/Annotations/CLS-LOC/val/*.xml",
            pattern=r"(?:val/)?(ILSVRC2012_val_\d{8}\.xml)",
            target=r"ILSVRC/Annotations/CLS-LOC/val/\1",
            where="https://image-net.org/download",
            url="https://image-net.org/data/ILSVRC/2012/ILSVRC2012_bbox_val_v3.tgz",
        ),
        Archive(
            name="imagenetv2-threshold0.7.tar.gz",
            holds="val images (ImageNetV2)",
            present="imagenetv2-threshold0.7*",
            pattern=r"(imagenetv2-threshold0\.7[^/]*/\d+/[^/]+\.jpeg)",
            target=r"\1",
            where="https://github.com/modestyachts/ImageNetV2",
            url="https://huggingface.co/datasets/vaishaal/ImageNetV2/resolve/main/imagenetv2-threshold0.7.tar.gz",
            optional=True,
        ),
        _lists("ILSVRC", "lists of the val images", optional=True),
    ),
    "openimages": (
        Archive(
            name="OpenImages_images.zip, OpenImages_annotations.zip or OpenImages30k_eval.zip",
            holds="images, masks and ignored regions",
            present="OpenImages/*/*/*.png",
            pattern=r"(?:OpenImages/)?((?:train|val|test)/[^/]+/[0-9a-f]{16}[^/]*\.(?:jpg|png))",
            target=r"OpenImages/\1",
            where="https://github.com/clovaai/wsolevaluation#openimages30k",
        ),
        _lists("OpenImages", "lists", optional=False),
    ),
    "oxford-pets": (
        Archive(
            name="images.tar.gz",
            holds="images",
            present="oxford-iiit-pet/images/*.jpg",
            pattern=r"(images/[^/]+\.jpg)",
            target=r"oxford-iiit-pet/\1",
            where="https://www.robots.ox.ac.uk/~vgg/data/pets",
            url="https://thor.robots.ox.ac.uk/pets/images.tar.gz",
            md5="5c4f3ee8e5d25df40f4fd59a7f44e54c",
        ),
        Archive(
            name="annotations.tar.gz",
            holds="lists and trimaps",
            present="oxford-iiit-pet/annotations/trainval.txt",
            pattern=r"(annotations/(?:(?:trainval|test)\.txt|trimaps/[^/]+\.png))",
            target=r"oxford-iiit-pet/\1",
            where="https://www.robots.ox.ac.uk/~vgg/data/pets",
            url="https://thor.robots.ox.ac.uk/pets/annotations.tar.gz",
            md5="95a8c909bbe2e81eed6a22bccdf3f68f",
        ),
    ),
    "tiny-imagenet": (
        Archive(
            name="tiny-imagenet-200.zip",
            holds="images, labels and boxes",
            present="tiny-imagenet-200/wnids.txt",
            pattern=r"(tiny-imagenet-200/.+)",
            target=r"\1",
            where="http://cs231n.stanford.edu/tiny-imagenet-200.zip",
            url="http://cs231n.stanford.edu/tiny-imagenet-200.zip",
        ),
    ),
}


def prepare(
    name: str,
    root: Path,
    archives: tuple[Path, ...] = (),
    downloading: bool = False,
    packed: bool = False,
    say: Callable[[str], None] = print,
    classes: Sequence[str] = (),
) -> None:
    """Make a dataset ready below `root`.

    Args:
        name: A key of `ARCHIVES`, or "minibirds".
        root: Folder that everything goes into; made if it is not there.
        archives: Archives to unpack, in any order and under any name.
        downloading: Fetch what is missing and has an official address.
        packed: Leave the images of ``ILSVRC2012_img_val.tar`` in the tar and read them there.
        say: Receives one line per step.
        classes: Classes to list, by the names the dataset's archive gives them, for the datasets of `CLASS_LISTS`;
            all by default.

    Raises:
        UnknownNameError: If there is nothing to prepare under that name.
        DatasetError: If an archive is missing, hostile, damaged or not of this dataset, or if the dataset
            cannot be used after all steps; the message says what is missing and where to get it.
    """
    check_name("dataset", name, [*ARCHIVES, "minibirds"])
    if classes and name not in CLASS_LISTS:
        raise DatasetError(f"{name} is prepared with all its classes; {' and '.join(CLASS_LISTS)} take a list of them")
    if name == "minibirds":
        say(f"minibirds: {minibirds_tree()}")
        return
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"{root}: {error.strerror}") from None
    for path in archives:
        _unpack_once(name, root, path, packed, say)
    if downloading:
        _download_missing(name, root, say)
    if name in CLASS_LISTS:
        _finish_listed(name, root, classes, say)
    else:
        FINISH[name](root, say)


def recognise(name: str, path: Path) -> Archive:
    """Tell which of a dataset's archives `path` is, by its first files.

    Raises:
        DatasetError: If it is none of them.
    """
    if not path.is_file():
        raise DatasetError(f"{path}: no such file")
    names = [member.name for member in islice(members(path), LOOKED_AT)]
    for archive in ARCHIVES[name]:
        if any(archive.place(member) for member in names):
            return archive
    known = "; ".join(f"{archive.name} ({archive.holds})" for archive in ARCHIVES[name])
    first = f"begins with {names[0]!r}" if names else "is empty"
    raise DatasetError(f"{path}: {first}, and is none of {name}'s archives: {known}")


def missing_archives(name: str, root: Path) -> list[Archive]:
    """Archives of a dataset whose content is not below `root`."""
    return [archive for archive in ARCHIVES[name] if next(root.glob(archive.present), None) is None]


def _unpack_once(name: str, root: Path, path: Path, packed: bool, say: Callable[[str], None]) -> None:
    archive = recognise(name, path)
    if packed:
        if archive.name != imagenet.VALIDATION_TAR:
            raise DatasetError(f"{path}: only {imagenet.VALIDATION_TAR} can be read without unpacking")
        _link_packed(root, path, say)
        return
    mark = root / MARKS / f"{name}-{ARCHIVES[name].index(archive)}-{path.stat().st_size}"
    if mark.exists() and all((root / line).exists() for line in mark.read_text().splitlines()):
        say(f"{path.name}: already unpacked ({archive.holds})")
        return
    unpacked = unpack(path, root, archive.place)
    write_text(mark, "\n".join(unpacked))
    say(f"{path.name}: {len(unpacked)} files unpacked ({archive.holds})")


def _link_packed(root: Path, path: Path, say: Callable[[str], None]) -> None:
    link = root / imagenet.VALIDATION_TAR
    if not link.exists():
        link.unlink(missing_ok=True)  # a link whose archive is gone
        link.symlink_to(path.resolve())
    say(f"{path.name}: {len(TarImages(link).index)} images, read from the archive")


def _download_missing(name: str, root: Path, say: Callable[[str], None]) -> None:
    for archive in missing_archives(name, root):
        if archive.url is None:
            say(f"{archive.name}: download it by hand from {archive.where} ({archive.holds})")
            continue
        path = download(archive.url, root / DOWNLOADS / archive.name, archive.md5)
        _unpack_once(name, root, path, packed=False, say=say)


def _finish_cub(root: Path, say: Callable[[str], None]) -> None:
    tree_root = root / "CUB_200_2011"
    if not cub.is_cub_tree(tree_root):
        if any(wsolevaluation.has_lists(root, "cub", split) for split in SPLITS) and cub.load_cub(root, "test"):
            say(f"{root}: wsolevaluation's layout, read as it is")
            return
        raise _incomplete("cub", root)
    tree = cub.read_cub_tree(tree_root)
    if not (tree_root / cub.SIZES).exists():
        sizes = image_sizes(Folder(tree_root / "images"), tree.paths).tolist()
        write_table(tree_root / cub.SIZES, [(n, *size) for n, size in zip(tree.numbers, sizes, strict=True)])
    cubv2 = cub.read_cubv2(root)
    held_out = "a held-out part of train (CUBV2 is absent)"
    say(f"cub: {len(tree.paths)} images; val is {held_out if cubv2 is None else 'CUBV2'}")


def _finish_imagenet(root: Path, say: Callable[[str], None]) -> None:
    if not wsolevaluation.has_lists(root, "imagenet", "test") and imagenet.annotation_folder(root) is not None:
        truth = imagenet.write_validation_lists(root)
        say(f"imagenet: boxes of {len(truth)} test images listed")
    found = {split: imagenet.load_imagenet(root, split) for split in SPLITS}
    if not any(found.values()):
        raise _incomplete("imagenet", root)
    for split, loaded in found.items():
        say(f"imagenet {split}: {'absent' if loaded is None else f'{len(loaded.ground_truth)} images'}")


def _finish_openimages(root: Path, say: Callable[[str], None]) -> None:
    found = {split: wsolevaluation.read_wsolevaluation(root, "openimages", split) for split in SPLITS}
    if not any(found.values()):
        raise _incomplete("openimages", root)
    for split, loaded in found.items():
        say(f"openimages {split}: {'absent' if loaded is None else f'{len(loaded.ground_truth)} images'}")


def _finish_listed(name: str, root: Path, classes: Sequence[str], say: Callable[[str], None]) -> None:
    """List the chosen classes of a dataset, and say what was left out."""
    listed = CLASS_LISTS[name](root, classes)
    if listed is None:
        raise _incomplete(name, root)
    for reason, images in listed.left_out.items():
        say(f"{name}: {len(images)} left out, {reason}: {', '.join(images[:3])}{', …' * (len(images) > 3)}")
    for split, truth in listed.truth.items():
        if not len(truth):
            raise DatasetError(f"{root}: no image of {name} {split} can be used")
        say(f"{name} {split}: {len(truth)} images of {truth.num_classes} classes")


def _incomplete(name: str, root: Path) -> DatasetError:
    wanted = "; ".join(f"{a.name} ({a.holds}) from {a.where}" for a in missing_archives(name, root) if not a.optional)
    return DatasetError(
        f"{root}: no usable {name} yet; still needed: {wanted}. "
        f"Then run 'wsol-data prepare {name} --root {root} --archive FILE', or add --download"
    )


FINISH: dict[str, Callable[[Path, Callable[[str], None]], None]] = {
    "cub": _finish_cub,
    "imagenet": _finish_imagenet,
    "openimages": _finish_openimages,
}
# Datasets of which some classes alone can be listed.
CLASS_LISTS: dict[str, Callable[[Path, Sequence[str]], Listed | None]] = {
    "oxford-pets": oxford_pets.write_lists,
    "tiny-imagenet": tiny_imagenet.write_lists,
}

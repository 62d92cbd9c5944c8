"""Kinds of damaged and hostile inputs, for scripts/fuzz.py.

A kind is a function with the decorator `kind`: it gets a random generator and an empty folder, makes an input, damages
it and reads it as the commands do. It returns if what it read is sound, raises a `UserError` where the input is
refused, and an AssertionError where something unsound was read.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import random
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import tdam
from eval.judging.state import Done, load_state, save_state
from eval.maps import read_score_map
from tdam.errors import UserError
from wsol.data import GroundTruth, LocalizationDataset, load_dataset
from wsol.data.files.decoders import decode_exact, decode_fast, decode_mask, read_header
from wsol.data.files.stores import Folder
from wsol.data.prepare.archives import unpack
from wsol.metrics import MaxBoxAcc
from wsol.photographs import open_image

Kind = Callable[[random.Random, Path], None]
KINDS: dict[str, tuple[str, Kind]] = {}
SIZE = (24, 16)
NUMBERS = ("0", "-1", "1e9", "1e400", "nan", "inf", "", " ", "0.25", "1,5", "٣", "9" * 5000, "0x10", "1_000", "\0")
TEXTS = (
    "",
    " ",
    "..",
    "../x.jpg",
    "/etc/passwd",
    "a\\b.jpg",
    "[red]",
    "名前",
    "\u202e",
    "a" * 300,
    "%s",
    "{}",
    "\0",
    "00",
    "7",
)


def kind(what: str) -> Callable[[Kind], Kind]:
    """Register a kind of input; `what` is its line in the table."""

    def register(function: Kind) -> Kind:
        KINDS[function.__name__] = (what, function)
        return function

    return register


def damaged(random_: random.Random, data: bytes) -> bytes:
    """Bytes with a few of them flipped, cut off, repeated, overwritten or swapped."""
    found = bytearray(data)
    for _ in range(random_.randint(1, 4)):
        if not found:
            break
        start = random_.randrange(len(found))
        end = min(len(found), start + random_.choice((1, 2, 8, 64, 1024)))
        how = random_.randrange(6)
        if how == 0:
            found[start] ^= 1 << random_.randrange(8)
        elif how == 1:
            del found[start:]
        elif how == 2:
            del found[start:end]
        elif how == 3:
            found[start:start] = found[start:end]
        elif how == 4:
            found[start:end] = random_.randbytes(end - start)
        else:
            found[start:end] = bytes(end - start)
    return bytes(found)


def picture(random_: random.Random, path: Path, suffix: str = ".png") -> Path:
    """A small picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.frombuffer(random_.randbytes(SIZE[0] * SIZE[1] * 3), np.uint8).reshape(SIZE[1], SIZE[0], 3)
    Image.fromarray(pixels).save(path.with_suffix(suffix))
    return path.with_suffix(suffix)


def check(dataset: LocalizationDataset, root: Path) -> None:
    """What must hold of every dataset that is opened."""
    truth = dataset.ground_truth
    assert len(set(truth.image_ids)) == len(truth), "an image twice"
    assert all(0 <= label < truth.num_classes for label in truth.labels), "a label that is no class"
    for index, (image_id, boxes, size) in enumerate(zip(truth.image_ids, truth.boxes, truth.sizes, strict=True)):
        inside = os.path.normpath(root / "images" / image_id).startswith(os.path.normpath(root))
        assert inside, f"{image_id} leads out"
        if len(boxes) and size.all():
            assert (boxes >= 0).all(), "a box below 0"
            assert (boxes[:, 2:] < size).all(), "a box beyond the image"
            assert (boxes[:, 2:] > boxes[:, :2]).all(), "a box without area"
        with contextlib.suppress(UserError):
            image, label, number = dataset[index]
            assert number == index
            assert label == truth.labels[index]
            assert tuple(image.shape[-2:]) == tuple(size[::-1]), "the picture has not the listed size"


def own(random_: random.Random, folder: Path) -> Path:
    """Three pictures and room for a list."""
    for number in range(3):
        picture(random_, folder / "test" / f"{number}.png")
    return folder


@kind("tables of boxes (CSV)")
def csv(random_: random.Random, folder: Path) -> None:
    own(random_, folder)
    rows = [["path", "label", "x0", "y0", "x1", "y1"]]
    rows += [[f"{i}.png", f"c{i % 2}", "2", "3", "20", "12"] for i in range(3)]
    for _ in range(random_.randint(1, 3)):
        row = random_.choice(rows)
        how = random_.randrange(4)
        if how == 0:
            row[random_.randrange(len(row))] = random_.choice(NUMBERS + TEXTS)
        elif how == 1:
            row.insert(random_.randrange(len(row)), random_.choice(NUMBERS))
        elif how == 2 and len(row) > 1:
            row.pop(random_.randrange(len(row)))
        else:
            rows.append(list(row))
    text = "\n".join(",".join(row) for row in rows).encode("utf-8", "surrogatepass")
    (folder / "test.csv").write_bytes(damaged(random_, text) if random_.random() < 0.3 else text)
    check(load_dataset(folder, "test"), folder)


@kind("COCO files")
def coco(random_: random.Random, folder: Path) -> None:
    own(random_, folder)
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 24, "height": 16} for i in range(3)],
        "categories": [{"id": i, "name": f"c{i}"} for i in range(2)],
        "annotations": [{"id": i, "image_id": i, "category_id": i % 2, "bbox": [2, 3, 18, 9]} for i in range(3)],
    }
    strange = (None, -1, 0, 1e308, float("nan"), "x", [], {}, [1], True, 10**30, *TEXTS)
    for _ in range(random_.randint(1, 3)):
        items = random_.choice(list(content.values()))
        item = random_.choice(items)
        key = random_.choice(list(item))
        if key == "bbox" and random_.random() < 0.7:
            item["bbox"][random_.randrange(4)] = random_.choice(strange)
        elif random_.random() < 0.2:
            del item[key]
            items.append(dict(random_.choice(items)))
        else:
            item[key] = random_.choice(strange)
    text = json.dumps(content).encode()
    (folder / "test.json").write_bytes(damaged(random_, text) if random_.random() < 0.3 else text)
    check(load_dataset(folder, "test"), folder)


@kind("Pascal VOC files")
def voc(random_: random.Random, folder: Path) -> None:
    own(random_, folder)
    (folder / "test_boxes").mkdir()
    for number in range(3):
        fields = {"width": "24", "height": "16", "xmin": "2", "ymin": "3", "xmax": "20", "ymax": "12", "name": "c"}
        if random_.random() < 0.5:
            fields[random_.choice(list(fields))] = random_.choice(NUMBERS + TEXTS).replace("\0", "").replace("<", "")
        box = "".join(f"<{corner}>{fields[corner]}</{corner}>" for corner in ("xmin", "ymin", "xmax", "ymax"))
        text = (
            f"<annotation><size><width>{fields['width']}</width><height>{fields['height']}</height></size>"
            f"<object><name>{fields['name']}</name><bndbox>{box}</bndbox></object></annotation>"
        ).encode()
        path = folder / "test_boxes" / f"{number}.xml"
        path.write_bytes(damaged(random_, text) if random_.random() < 0.2 else text)
    check(load_dataset(folder, "test"), folder)


@kind("dataset.yaml")
def description(random_: random.Random, folder: Path) -> None:
    own(random_, folder)
    (folder / "test.csv").write_text("path,label,x0,y0,x1,y1\n0.png,c,2,3,20,12\n")
    values = [
        "test",
        "test.csv",
        "[a, b]",
        "{x: y}",
        "*a",
        "&a [1]",
        "2020-99-99",
        "!!int x",
        "1000",
        "10000000000",
        "~",
    ]
    lines = [
        f"name: {random_.choice(['set', *values, '../up', '/abs'])}",
        f"classes: {random_.choice(['[c]', '[c, d]', *values])}",
        f"splits: {{test: {{images: {random_.choice(['test'] * 5 + values)}, boxes: test.csv}}}}",
    ]
    text = "\n".join(random_.sample(lines, random_.randint(1, 3))).encode()
    (folder / "dataset.yaml").write_bytes(damaged(random_, text) if random_.random() < 0.3 else text)
    check(load_dataset(folder, "test"), folder)


def spoil(random_: random.Random, tables: dict[str, list[str]], separator: str) -> None:
    """Put something else into one or two fields of the tables."""
    for _ in range(random_.randint(1, 2)):
        rows = random_.choice(list(tables.values()))
        place = random_.randrange(len(rows))
        parts = rows[place].split(separator)
        parts[random_.randrange(len(parts))] = random_.choice(NUMBERS + TEXTS)
        rows[place] = separator.join(parts)


@kind("lists as wsolevaluation has them")
def lists(random_: random.Random, folder: Path) -> None:
    ids = [f"{i}.png" for i in range(3)]
    tables = {
        "image_ids": ids,
        "class_labels": [f"{i},{n}" for n, i in enumerate(ids)],
        "image_sizes": [f"{i},24,16" for i in ids],
        "localization": [f"{i},2,3,20,12" for i in ids],
    }
    spoil(random_, tables, ",")
    for name, rows in tables.items():
        text = "\n".join(rows).encode()
        (folder / f"{name}.txt").write_bytes(damaged(random_, text) if random_.random() < 0.1 else text)
    truth = GroundTruth.from_lists(folder, "d", "test")
    assert not any(i.startswith("/") or ".." in i.split("/") for i in truth.image_ids), "an id leads out"
    assert truth.num_classes <= 1_000_000


@kind("tables as CUB has them")
def cub(random_: random.Random, folder: Path) -> None:
    tables = {
        "images": [f"{i} a/{i}.png" for i in range(1, 4)],
        "image_class_labels": [f"{i} 1" for i in range(1, 4)],
        "train_test_split": [f"{i} 0" for i in range(1, 4)],
        "bounding_boxes": [f"{i} 2.0 3.0 18.0 9.0" for i in range(1, 4)],
        "classes": ["1 a"],
    }
    for number in range(1, 4):
        picture(random_, folder / f"images/a/{number}.png")
    spoil(random_, tables, " ")
    for name, rows in tables.items():
        (folder / f"{name}.txt").write_bytes("\n".join(rows).encode() + b"\n")
    check(load_dataset(folder, "test"), folder)


@kind("photographs: PNG, JPEG, GIF, TIFF, WebP, BMP")
def images(random_: random.Random, folder: Path) -> None:
    path = picture(random_, folder / "a", random_.choice((".png", ".jpg", ".gif", ".tif", ".webp", ".bmp")))
    data = damaged(random_, path.read_bytes())
    path.write_bytes(data)
    sizes, faults = set(), []
    for read in (
        lambda: read_header(data, "a").upright_size,
        lambda: decode_exact(data, "a", "photograph").size,
        lambda: tuple(decode_fast(data, "a", "photograph").shape[:0:-1]),
        lambda: decode_mask(data, "a", "photograph").shape[::-1],
        lambda: open_image(path).size,
        lambda: decode_exact(data, "a", "benchmark").size,
    ):
        try:
            sizes.add(tuple(read()))
        except UserError as error:
            faults.append(error)
    for fault in faults:
        assert "\n" not in str(fault), "more than one line"
    if faults:
        raise faults[0]
    assert len({tuple(sorted(size)) for size in sizes}) == 1, f"sizes differ: {sizes}"


@kind("archives: tar, tar.gz, tar.xz, zip")
def archives(random_: random.Random, folder: Path) -> None:
    files = {f"set/{i}.txt": random_.randbytes(random_.choice((0, 10, 3000))) for i in range(4)}
    if random_.random() < 0.5:
        files[random_.choice(TEXTS).replace("\0", "") or "x"] = b"evil"
    path, root = folder / "archive", folder / "inner" / "root"
    root.mkdir(parents=True)
    form = random_.choice(("", "gz", "xz", "zip"))
    if form == "zip":
        with zipfile.ZipFile(path, "w") as zipped:
            for name, data in files.items():
                zipped.writestr(name, data)
    else:
        with tarfile.open(path, f"w:{form}") as tar:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                info.type = random_.choice((tarfile.REGTYPE,) * 20 + (tarfile.SYMTYPE, tarfile.CHRTYPE))
                info.linkname = "../../escape"
                tar.addfile(info, io.BytesIO(data) if info.isreg() else None)
    if random_.random() < 0.7:
        path.write_bytes(damaged(random_, path.read_bytes()))
    try:
        unpack(path, root, lambda name: name)
    finally:
        outside = {p for p in folder.rglob("*") if p.is_file() and root not in p.parents} - {path}
        assert not outside, f"written outside: {outside}"
        assert not list(root.glob(".unpacking*")), "unfinished files are left"


@kind("score maps of other programs (.npy)")
def maps(random_: random.Random, folder: Path) -> None:
    shape = random_.choice(((SIZE[1], SIZE[0]), (2, SIZE[1], SIZE[0])))
    kinds = (np.float16, np.float32, np.float64)
    values = np.random.default_rng(random_.randrange(1000)).random(shape).astype(random_.choice(kinds))
    np.save(folder / "map.npy", values)
    (folder / "map.npy").write_bytes(damaged(random_, (folder / "map.npy").read_bytes()))
    found, flat = read_score_map(Folder(folder), "map")
    assert found.ndim == 3, f"{found.ndim} axes"
    assert len(flat) == len(found)
    assert np.isfinite(found).all(), "not finite"
    assert found.min() >= 0, "below 0"
    assert found.max() <= 1, "above 1"


@functools.cache
def saved_network() -> tuple[bytes, dict[str, torch.Tensor]]:
    """A checkpoint of a small network as we write it, and its weights."""
    network = tdam.create_model("resnet_mini", num_classes=2)
    config = {"model": "resnet_mini", "num_classes": 2, "model_args": {}, "trained": True}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.safetensors"
        tdam.save_checkpoint(network, path, config)
        return path.read_bytes(), network.state_dict()


@kind("checkpoints of ours (.safetensors)")
def checkpoints(random_: random.Random, folder: Path) -> None:
    content, weights = saved_network()
    path = folder / "network.safetensors"
    path.write_bytes(damaged(random_, content))
    network, _ = tdam.load_model(path)
    found = network.state_dict()
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], value) for name, value in weights.items()), "other weights than were saved"


@kind("checkpoints of others (.pth)")
def pickles(random_: random.Random, folder: Path) -> None:
    _, weights = saved_network()
    wrapped = random_.choice((weights, {"state_dict": weights, "epoch": 3}, {"model": weights, "best": 0.5}))
    path = folder / "network.pth"
    torch.save(wrapped, path)
    path.write_bytes(damaged(random_, path.read_bytes()))
    network = tdam.create_model("resnet_mini", num_classes=2)
    tdam.load_checkpoint(network, path)
    assert all(torch.isfinite(value).all() for value in network.state_dict().values()), "weights that are not finite"


@kind("state of an unfinished evaluation")
def states(random_: random.Random, folder: Path) -> None:
    metric = MaxBoxAcc()
    score_map = np.zeros((1, SIZE[1], SIZE[0]), np.float32)
    score_map[0, 4:9, 3:12] = 1
    metric.update(score_map, [[[3, 4, 12, 9]]])
    path, facts = folder / "state.safetensors", {"model": "a"}
    save_state(path, Done(images=1, sha256="0" * 64), {"boxes": metric}, facts)
    path.write_bytes(damaged(random_, path.read_bytes()))
    read = MaxBoxAcc()
    done = load_state(path, {"boxes": read}, facts)
    assert done.images == 1
    assert torch.equal(read.num_correct, metric.num_correct), "other counts than were saved"

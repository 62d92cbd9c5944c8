from collections import Counter
from pathlib import Path

import pytest
from tiny_datasets import cub_archive, lists, mask, picture, write_files

from wsol.data import DatasetError, doctor
from wsol.data.doctor import Published, check_dataset

CLASSES = ("001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross")
PER_CLASS = 4


def image_id(split: str, label: int, i: int) -> str:
    return f"{CLASSES[label]}/{split}_{i}.jpg"


def healthy(root: Path) -> Path:
    """A small CUB in wsolevaluation's layout: three classes, four images each in every split."""
    for split in ("train", "val", "test"):
        ids = [(image_id(split, label, i), label) for label in range(3) for i in range(PER_CLASS)]
        rows = {
            "image_ids": tuple(name for name, _ in ids),
            "class_labels": tuple(f"{name},{label}" for name, label in ids),
            "image_sizes": tuple(f"{name},80,60" for name, _ in ids),
            "localization": tuple(f"{name},10,10,70,50" for name, _ in ids),
        }
        write_files(root, lists("CUB", split, rows))
        write_files(root / "dataset/CUB", {name: picture(name, 80, 60) for name, _ in ids})
    return root


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    counts = Published(12, 3, boxes=12)
    monkeypatch.setitem(doctor.PUBLISHED, "cub", dict.fromkeys(("train", "val", "test"), counts))
    return healthy(tmp_path)


def replace(root: Path, split: str, table: str, old: str, new: str) -> None:
    path = root / f"metadata/CUB/{split}/{table}.txt"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


def test_a_healthy_dataset_has_no_findings(root: Path) -> None:
    assert list(check_dataset("cub", root)) == []


def test_twenty_faults_and_nothing_else(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = root / "dataset/CUB"
    seeded = []

    def seed(severity: str, split: str, kind: str, subject: str) -> str:
        seeded.append((severity, split, kind, subject))
        return subject

    test = {(label, i): image_id("test", label, i) for label in range(3) for i in range(PER_CLASS)}
    # images
    (images / seed("error", "test", "image missing", test[0, 0])).unlink()
    (images / seed("error", "test", "image unreadable", test[0, 1])).write_bytes(b"no image at all")
    cut = images / seed("error", "test", "image unreadable", test[0, 2])
    cut.write_bytes(cut.read_bytes()[:-200])
    (images / seed("error", "test", "image unreadable", test[0, 3])).write_bytes(b"")
    (images / seed("error", "test", "size differs from the list", test[1, 0])).write_bytes(picture("x", 60, 80))
    (images / seed("error", "test", "same image twice", test[1, 2])).write_bytes((images / test[1, 1]).read_bytes())
    train = images / image_id("train", 0, 0)
    (images / seed("error", "test", "same image in two splits", test[1, 3])).write_bytes(train.read_bytes())
    write_files(images, {seed("warning", "all", "file in no list", f"{CLASSES[0]}/stray.jpg"): picture("s", 9, 9)})
    # boxes
    for i, (kind, box) in enumerate(
        [
            ("box outside the image", "10,10,80,50"),
            ("box outside the image", "10,10,70,60"),
            ("box outside the image", "-1,10,70,50"),
            ("degenerate box", "70,10,70,50"),
        ]
    ):
        replace(root, "test", "localization", f"{test[2, i]},10,10,70,50", f"{test[2, i]},{box}")
        seed("error", "test", kind, test[2, i])
    val = [image_id("val", 0, i) for i in range(PER_CLASS)]
    replace(root, "val", "localization", f"{val[0]},10,10,70,50", f"{val[0]},10,50,70,10")
    seed("error", "val", "degenerate box", val[0])
    replace(root, "val", "localization", f"{val[1]},10,10,70,50", f"{val[2]},10,10,70,50")
    seed("error", "val", "neither box nor mask", val[1])
    seed("warning", "val", "box listed twice", val[2])
    # labels
    replace(root, "val", "class_labels", f"{image_id('val', 1, 0)},1", f"{image_id('val', 1, 0)},2")
    seed("error", "val", "label differs from its folder's", image_id("val", 1, 0))
    replace(root, "val", "class_labels", f"{image_id('val', 1, 1)},1", f"{image_id('val', 1, 1)},3")
    seed("error", "val", "label out of range", image_id("val", 1, 1))
    # counts: a box too many, and a class of train whose images are listed under another
    with (root / "metadata/CUB/train/localization.txt").open("a") as file:
        file.write(f"\n{image_id('train', 2, 0)},1,1,9,9")
    seed("error", "train", "number of boxes", "cub")
    path = root / "metadata/CUB/train/class_labels.txt"
    path.write_text(path.read_text().replace(",2", ",1"))
    seed("error", "train", "class without images", "2")
    monkeypatch.setitem(doctor.PUBLISHED["cub"], "val", Published(13, 3, boxes=12))
    seed("error", "val", "number of images", "cub")

    findings = [(f.severity, f.split, f.kind, f.subject) for f in check_dataset("cub", root)]
    assert len(seeded) == 20
    assert Counter(findings) == Counter(seeded)


def test_masks(tmp_path: Path) -> None:
    files = {f"test/mug/{name}.jpg": picture(name, 30, 20) for name in "abcd"}
    files |= {f"test_masks/mug/{name}.png": mask(30, 20, (5, 5, 9, 9)) for name in "abc"}
    files |= {"test_masks/mug/b.png": mask(30, 20, (0, 0, 0, 0)), "test_masks/mug/c_ignore.png": b"no image"}
    write_files(tmp_path, files)
    found = {(f.kind, f.subject) for f in check_dataset(tmp_path, splits=["test"])}
    assert found == {
        ("mask empty", "mug/b.jpg"),
        ("mask unreadable", "mug/c.jpg"),
        ("image without mask", "mug/d.jpg"),
    }


def test_known_imagenetv2_boxes_are_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PUBLISHED", {"imagenet": {"val": Published(1, 1, boxes=1)}})
    name = "val2/100/5.jpeg"
    rows = {"image_ids": (name,), "class_labels": (f"{name},0",), "image_sizes": (f"{name},30,20",)}
    write_files(tmp_path, lists("ILSVRC", "val", rows | {"localization": (f"{name},1,2,9,9",)}))
    write_files(tmp_path / "dataset/ILSVRC", {name: picture(name, 30, 20)})
    (finding,) = check_dataset("imagenet", tmp_path, splits=["val"])
    assert (finding.severity, finding.kind, finding.subject) == ("note", "box doubted by users", name)


def test_a_split_that_cannot_be_loaded_is_a_finding(root: Path) -> None:
    (root / "metadata/CUB/val/class_labels.txt").write_text("nonsense")
    (finding,) = check_dataset("cub", root)
    assert (finding.severity, finding.split, finding.kind) == ("error", "val", "cannot be loaded")
    assert "class_labels.txt:1" in finding.detail


def test_nothing_there_at_all(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no cub train data"):
        list(check_dataset("cub", tmp_path))


def test_a_published_tree_in_miniature_lacks_only_numbers(tmp_path: Path) -> None:
    write_files(tmp_path, cub_archive())
    findings = list(check_dataset("cub", tmp_path))
    assert {(f.split, f.kind) for f in findings if f.kind != "class without images"} == {
        ("train", "not the published split"),  # CUBV2 is absent
        ("val", "not the published split"),
        ("test", "number of images"),
        ("test", "number of boxes"),
    }

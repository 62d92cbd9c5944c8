from pathlib import Path

import pytest
from tiny_datasets import (
    CUB,
    CUBV2_LISTS,
    IMAGENETV2_HASHES,
    IMAGENETV2_LISTS,
    OPENIMAGES_LISTS,
    cub_archive,
    cub_segmentations,
    cubv2_archive,
    ilsvrc_boxes,
    ilsvrc_images,
    imagenetv2_archive,
    lists,
    openimages_archive,
    write_files,
    write_tar,
    write_zip,
)

from wsol.data import DatasetError, load_dataset
from wsol.data.prepare import benchmarks as prepare_module
from wsol.data.prepare import missing_archives, prepare, recognise


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSOL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def said() -> list[str]:
    return []


def lists_zip(path: Path, *parts: dict[str, bytes]) -> Path:
    files = {f"wsolevaluation-master/{name}": data for part in parts for name, data in part.items()}
    return write_zip(path, files | {"wsolevaluation-master/evaluation.py": b"import os"})


def test_cub_from_its_archives(tmp_path: Path, said: list[str]) -> None:
    root = tmp_path / "data"
    main = write_tar(tmp_path / "birds-of-mine.tgz", cub_archive(), "gz")
    prepare("cub", root, (main,), say=said.append)
    assert said == [
        f"birds-of-mine.tgz: {len(CUB) + 5} files unpacked (images, labels, split and boxes)",
        "cub: 7 images; val is a held-out part of train (CUBV2 is absent)",
    ]
    assert len(load_dataset("cub", "test", root)) == 3
    assert not list(root.rglob(".DS_Store"))
    assert (root / "CUB_200_2011/image_sizes.txt").read_text().splitlines()[0] == "1 500 335"

    others = (
        write_tar(tmp_path / "masks", cub_segmentations(), "gz"),
        write_tar(tmp_path / "CUBV2.tar", cubv2_archive()),
        lists_zip(tmp_path / "lists.zip", lists("CUB", "val", CUBV2_LISTS), lists("ILSVRC", "val", IMAGENETV2_LISTS)),
    )
    prepare("cub", root, others, say=said.append)
    assert said[-1] == "cub: 7 images; val is CUBV2"
    assert not missing_archives("cub", root)
    assert not (root / "metadata/ILSVRC").exists()
    assert load_dataset("cub", "test", root).mask(0) is not None
    assert load_dataset("cub", "val", root).ground_truth.image_ids == CUBV2_LISTS["image_ids"]


def test_a_second_run_unpacks_only_what_is_gone(tmp_path: Path, said: list[str]) -> None:
    root, main = tmp_path / "data", write_tar(tmp_path / "a.tgz", cub_archive(), "gz")
    prepare("cub", root, (main,), say=said.append)
    image = root / "CUB_200_2011/images" / CUB[0][0]
    before = image.stat().st_mtime_ns
    prepare("cub", root, (main,), say=said.append)
    assert "a.tgz: already unpacked" in said[2]
    assert image.stat().st_mtime_ns == before
    image.unlink()
    prepare("cub", root, (main,), say=said.append)
    assert image.exists()


def test_an_unpacked_tree_is_enough(tmp_path: Path, said: list[str]) -> None:
    write_files(tmp_path, cub_archive())
    prepare("cub", tmp_path, say=said.append)
    assert said == ["cub: 7 images; val is a held-out part of train (CUBV2 is absent)"]


def test_imagenet_from_its_archives(tmp_path: Path, said: list[str]) -> None:
    root = tmp_path / "data"
    mapping = "".join(f"{a}, {b}\n" for a, b in IMAGENETV2_HASHES.items()).encode()
    archives = (
        write_tar(tmp_path / "images.tar", ilsvrc_images()),
        write_tar(tmp_path / "boxes.tgz", ilsvrc_boxes(), "gz"),
        write_tar(tmp_path / "v2.tar.gz", imagenetv2_archive(), "gz"),
        lists_zip(
            tmp_path / "m.zip", lists("ILSVRC", "val", IMAGENETV2_LISTS), {"metadata/ILSVRC/val/mapping.txt": mapping}
        ),
    )
    prepare("imagenet", root, archives, say=said.append)
    assert said[4:] == [
        "imagenet: boxes of 4 test images listed",
        "imagenet train: absent",
        "imagenet val: 2 images",
        "imagenet test: 4 images",
    ]
    assert load_dataset("imagenet", "test", root)[1][0].shape == (3, 375, 500)
    assert load_dataset("imagenet", "val", root).image(1).size == (500, 375)


def test_imagenet_images_stay_in_the_tar(tmp_path: Path, said: list[str]) -> None:
    root = tmp_path / "data"
    images = write_tar(tmp_path / "images.tar", ilsvrc_images())
    boxes = write_tar(tmp_path / "boxes.tgz", ilsvrc_boxes(), "gz")
    with pytest.raises(DatasetError, match=r"only ILSVRC2012_img_val\.tar can be read without unpacking"):
        prepare("imagenet", root, (boxes,), packed=True, say=said.append)
    write_files(root / "ILSVRC/Annotations/CLS-LOC", ilsvrc_boxes())
    prepare("imagenet", root, (images,), packed=True, say=said.append)
    assert not list(root.rglob("*.JPEG"))
    dataset = load_dataset("imagenet", "test", root)
    assert [dataset.image(i).size for i in range(4)] == [(500, 375)] * 4


def test_openimages_from_its_archives(tmp_path: Path, said: list[str]) -> None:
    root = tmp_path / "data"
    files = openimages_archive()
    archives = (
        write_zip(tmp_path / "images.zip", {n: d for n, d in files.items() if n.endswith(".jpg")}),
        write_zip(tmp_path / "masks.zip", {n: d for n, d in files.items() if n.endswith(".png")}),
        lists_zip(tmp_path / "lists.zip", lists("OpenImages", "test", OPENIMAGES_LISTS)),
    )
    prepare("openimages", root, archives, say=said.append)
    assert said[-3:] == ["openimages train: absent", "openimages val: absent", "openimages test: 2 images"]
    assert load_dataset("openimages", "test", root).mask(1) is not None


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("cub", "CUB_200_2011.tgz (images, labels, split and boxes) from https://data.caltech.edu"),
        ("imagenet", "ILSVRC2012_img_val.tar (test images) from https://image-net.org"),
        ("openimages", "OpenImages_images.zip"),
    ],
)
def test_what_is_missing_is_said(name: str, missing: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as error:
        prepare(name, tmp_path / "new")
    assert missing in str(error.value)
    assert f"wsol-data prepare {name}" in str(error.value)


def test_archives_of_something_else(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", {"holiday/1.jpg": b""})
    with pytest.raises(DatasetError, match=r"begins with 'holiday/1\.jpg', and is none of cub's archives: CUB_200"):
        prepare("cub", tmp_path / "data", (path,))
    with pytest.raises(DatasetError, match=r"gone\.tgz: no such file"):
        prepare("cub", tmp_path / "data", (tmp_path / "gone.tgz",))
    with pytest.raises(DatasetError, match="is empty"):
        recognise("cub", write_tar(tmp_path / "empty.tar", {}))


def test_a_root_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match=r"file/data: Not a directory"):
        prepare("cub", tmp_path / "file" / "data")


def test_downloads_what_has_an_address(tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    archives = {
        "CUB_200_2011.tgz": write_tar(tmp_path / "1", cub_archive(), "gz"),
        "segmentations.tgz": write_tar(tmp_path / "2", cub_segmentations(), "gz"),
        "wsolevaluation-master.zip": lists_zip(tmp_path / "3", lists("CUB", "val", CUBV2_LISTS)),
    }
    asked = []

    def fake_download(url: str, target: Path, md5: str | None) -> Path:
        asked.append((url.startswith("https://"), target.name, md5 and len(md5)))
        return archives[target.name]

    monkeypatch.setattr(prepare_module, "download", fake_download)
    prepare("cub", tmp_path / "data", downloading=True, say=said.append)
    assert asked == [
        (True, "CUB_200_2011.tgz", 32), (True, "segmentations.tgz", 32), (True, "wsolevaluation-master.zip", None)
    ]  # fmt: skip
    assert "CUBV2.tar: download it by hand from https://github.com/clovaai/wsolevaluation#cubv2 (val images)" in said
    prepare("cub", tmp_path / "data", downloading=True, say=said.append)
    assert len(asked) == 3

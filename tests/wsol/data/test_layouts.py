"""ImageNet, OpenImages30k and wsolevaluation's folders in miniature."""

from pathlib import Path

import numpy as np
import pytest
import torchvision
from shared import shared_path
from tiny_datasets import (
    CUB,
    CUB_CLASSES,
    CUBV2_LISTS,
    ILSVRC,
    IMAGENETV2_HASHES,
    IMAGENETV2_LISTS,
    OPENIMAGES_LISTS,
    cub_archive,
    cubv2_archive,
    ilsvrc_boxes,
    ilsvrc_images,
    imagenetv2_archive,
    lists,
    openimages_archive,
    picture,
    voc_xml,
    write_files,
    write_tar,
)

from wsol.data import DatasetError, GroundTruth, load_dataset
from wsol.data.benchmarks.imagenet import wordnet_ids, write_validation_lists

XML_FOLDER = "ILSVRC/Annotations/CLS-LOC"
VALIDATION_LISTS = {
    "image_ids": tuple(f"val/ILSVRC2012_val_{n:08d}.JPEG" for n, *_ in ILSVRC),
    "class_labels": tuple(f"val/ILSVRC2012_val_{n:08d}.JPEG,{label}" for n, _, label, _ in ILSVRC),
    "image_sizes": tuple(f"val/ILSVRC2012_val_{n:08d}.JPEG,500,375" for n, *_ in ILSVRC),
    "localization": tuple(
        f"val/ILSVRC2012_val_{n:08d}.JPEG,{','.join(map(str, box))}" for n, _, _, boxes in ILSVRC for box in boxes
    ),
}


class TestImageNet:
    @pytest.fixture(autouse=True)
    def _cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WSOL_CACHE", str(tmp_path / "cache"))

    def test_classes_are_torchvisions(self) -> None:
        names = torchvision.models.ResNet50_Weights.IMAGENET1K_V2.meta["categories"]
        assert len(wordnet_ids()) == len(names) == 1000
        assert list(wordnet_ids()) == sorted(wordnet_ids())
        assert wordnet_ids()[names.index("tench")] == "n01440764"

    def test_lists_from_xml_are_the_published_ones(self, tmp_path: Path) -> None:
        write_files(tmp_path / XML_FOLDER, ilsvrc_boxes())
        made = write_validation_lists(tmp_path)
        listed = GroundTruth.from_lists(shared_path("metadata", "ILSVRC", "test")).subset(range(len(ILSVRC)))
        assert made.image_ids == listed.image_ids
        np.testing.assert_array_equal(made.labels, listed.labels)
        np.testing.assert_array_equal(made.sizes, listed.sizes)
        for one, other in zip(made.boxes, listed.boxes, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_boxes_end_at_the_last_pixel(self, tmp_path: Path) -> None:
        xml = voc_xml("n01440764", [(0, 0, 500, 375)])
        write_files(tmp_path, {f"{XML_FOLDER}/val/ILSVRC2012_val_00000001.xml": xml})
        assert write_validation_lists(tmp_path).boxes[0].tolist() == [[0, 0, 499, 374]]

    @pytest.mark.parametrize(
        ("xml", "message"),
        [
            (b"<annotation", "not a Pascal VOC annotation"),
            (voc_xml("n00000000", [(1, 2, 3, 4)]), "'n00000000' is not one of ImageNet's 1000 classes"),
            (voc_xml("n01440764", [(1, 2, 3, "x")]), "not a Pascal VOC annotation"),
        ],
    )
    def test_malformed_xml_is_named(self, xml: bytes, message: str, tmp_path: Path) -> None:
        write_files(tmp_path, {f"{XML_FOLDER}/val/ILSVRC2012_val_00000001.xml": xml})
        with pytest.raises(DatasetError, match=rf"ILSVRC2012_val_00000001\.xml: .*{message}"):
            write_validation_lists(tmp_path)

    @pytest.mark.parametrize(
        "layout", ["dataset/ILSVRC", "ILSVRC", "ILSVRC/Data/CLS-LOC", "Data/CLS-LOC", ".", "classes", "tar"]
    )
    def test_every_layout_gives_the_same_images(self, layout: str, tmp_path: Path) -> None:
        write_files(tmp_path, lists("ILSVRC", "test", VALIDATION_LISTS))
        images = ilsvrc_images()
        if layout == "tar":
            write_tar(tmp_path / "ILSVRC2012_img_val.tar", images)
        elif layout == "classes":
            folders = {f"ILSVRC2012_val_{n:08d}.JPEG": wordnet_id for n, wordnet_id, *_ in ILSVRC}
            write_files(tmp_path / "val", {f"{folders[name]}/{name}": data for name, data in images.items()})
        else:
            write_files(tmp_path / layout / "val", images)
        dataset = load_dataset("imagenet", "test", tmp_path)
        assert dataset.ground_truth.labels.tolist() == [65, 970, 230, 809]
        assert dataset.ground_truth.class_names[65].startswith("sea snake")
        assert dataset.ground_truth.boxes[1].tolist() == [[45, 49, 499, 162], [2, 69, 437, 207]]
        for i, data in enumerate(images.values()):
            assert dataset.images.read(dataset.ground_truth.image_ids[i]) == data

    def test_train_tree(self, tmp_path: Path) -> None:
        names = ("n01751748/n01751748_10.JPEG", "n01440764/n01440764_10026.JPEG", "n01440764/n01440764_2.JPEG")
        write_files(tmp_path / "ILSVRC/Data/CLS-LOC/train", {name: picture(name, 30, 20) for name in names})
        dataset = load_dataset("imagenet", "train", tmp_path)
        assert dataset.ground_truth.image_ids == ("train/" + names[1], "train/" + names[2], "train/" + names[0])
        assert dataset.ground_truth.labels.tolist() == [0, 0, 65]
        assert dataset[2][0].shape == (3, 20, 30)

    @pytest.mark.parametrize("folder", ["imagenetv2-threshold0.7-format-val", "imagenetv2-threshold0.7"])
    def test_imagenetv2_with_hashed_names(self, folder: str, tmp_path: Path) -> None:
        write_files(tmp_path, lists("ILSVRC", "val", IMAGENETV2_LISTS))
        files = {
            name.replace("imagenetv2-threshold0.7-format-val", folder): data
            for name, data in imagenetv2_archive().items()
        }
        write_files(tmp_path, files)
        with pytest.raises(DatasetError, match=r"names its images by hash, the lists by number: put .*mapping\.txt"):
            load_dataset("imagenet", "val", tmp_path)
        mapping = "".join(f"{listed}, {hashed}\n" for listed, hashed in IMAGENETV2_HASHES.items())
        write_files(tmp_path, {"metadata/ILSVRC/val/mapping.txt": mapping.encode()})
        dataset = load_dataset("imagenet", "val", tmp_path)
        assert dataset.ground_truth.labels.tolist() == [0, 1]
        assert dataset.images.read("val2/1/0.jpeg") == picture("val2/1/0.jpeg", 500, 375)

    @pytest.mark.parametrize("folder", ["dataset/ILSVRC/val2", "imagenetv2-threshold0.7", "ILSVRC/val2"])
    def test_imagenetv2_with_numbers(self, folder: str, tmp_path: Path) -> None:
        write_files(tmp_path, lists("ILSVRC", "val", IMAGENETV2_LISTS))
        write_files(tmp_path / folder, {f"{c}/0.jpeg": picture(f"val2/{c}/0.jpeg", 500, 375) for c in (0, 1)})
        assert load_dataset("imagenet", "val", tmp_path).image(1).size == (500, 375)

    def test_unlisted_boxes_and_absent_images(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match=r"no imagenet test data below .*; get it from https://image-net\.org"):
            load_dataset("imagenet", "test", tmp_path)
        write_files(tmp_path / XML_FOLDER, ilsvrc_boxes())
        with pytest.raises(DatasetError, match="run 'wsol-data prepare imagenet --root"):
            load_dataset("imagenet", "test", tmp_path)


class TestOpenImages:
    def test_masks_and_ignored_regions(self, tmp_path: Path) -> None:
        write_files(tmp_path / "OpenImages", openimages_archive())
        write_files(tmp_path, lists("OpenImages", "test", OPENIMAGES_LISTS))
        dataset = load_dataset("openimages", "test", tmp_path)
        assert dataset.ground_truth.class_names == ("01226z", "0138tl")
        assert dataset.ground_truth.labels.tolist() == [0, 1]
        mask = dataset.mask(0)
        assert mask is not None
        assert mask.shape == (40, 60)
        expected = np.zeros((40, 60), dtype=np.uint8)
        expected[:, :15] = 255
        expected[5:25, 5:35] = 1  # two instances side by side
        np.testing.assert_array_equal(mask, expected)
        resized = dataset.mask(0, size=(224, 224))
        assert resized is not None
        assert set(np.unique(resized)) == {0, 1, 255}

    def test_absent(self, tmp_path: Path) -> None:
        write_files(tmp_path, lists("OpenImages", "test", OPENIMAGES_LISTS))
        with pytest.raises(DatasetError, match=r"no openimages test data .*wsolevaluation#openimages30k"):
            load_dataset("openimages", "test", tmp_path)


class TestWsolevaluation:
    """A checkout of that repository, with its prepared dataset/ folder, is a data root."""

    def test_cub(self, tmp_path: Path) -> None:
        images = {name[len("CUB_200_2011/images/") :]: d for name, d in cub_archive().items() if name.endswith(".jpg")}
        write_files(tmp_path / "dataset/CUB", images | cubv2_archive())
        write_files(tmp_path, lists("CUB", "val", CUBV2_LISTS))
        shown = [row for row in CUB if not row[2]]
        rows = {
            "image_ids": tuple(row[0] for row in shown),
            "class_labels": tuple(f"{row[0]},{row[1] - 1}" for row in shown),
            "image_sizes": tuple(f"{row[0]},{row[3]},{row[4]}" for row in shown),
            "localization": tuple(f"{row[0]},1,2,3,4" for row in shown),
        }
        write_files(tmp_path, lists("CUB", "test", rows))
        test, val = (load_dataset("cub", split, tmp_path) for split in ("test", "val"))
        assert test.ground_truth.image_ids == rows["image_ids"]
        assert val.image(0).size == (560, 419)
        assert test.ground_truth.class_names == CUB_CLASSES

    def test_a_data_set_of_ours_becomes_lists_of_theirs(self, tmp_path: Path) -> None:
        write_files(tmp_path, cub_archive())
        ours = load_dataset("cub", "test", tmp_path).ground_truth
        ours.write_lists(tmp_path / "theirs/metadata/CUB/test")
        (tmp_path / "theirs/dataset").mkdir()
        (tmp_path / "theirs/dataset/CUB").symlink_to(tmp_path / "CUB_200_2011/images")
        again = load_dataset("cub", "test", tmp_path / "theirs").ground_truth
        assert again.image_ids == ours.image_ids
        for one, other in zip(again.boxes, ours.boxes, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_empty_lists_are_named(self, tmp_path: Path) -> None:
        write_files(tmp_path, lists("CUB", "test", dict.fromkeys(CUBV2_LISTS, ())))
        with pytest.raises(DatasetError, match=r"image_ids\.txt: no images"):
            load_dataset("cub", "test", tmp_path)

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_datasets import picture, write_files, write_tar
from torchvision import transforms

from wsol.data import DatasetError, GroundTruth, ImageError, LocalizationDataset, MaskFiles
from wsol.data.files.decoders import decode_exact, decode_fast, image_sizes
from wsol.data.files.stores import Folder, Renamed
from wsol.data.files.stores_tar import TarImages
from wsol.data.transforms import ToFloat, evaluation_transform, training_transform

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(mode: str, size: tuple[int, int] = (61, 47)) -> Image.Image:
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    return Image.fromarray(pixels if channels > 1 else pixels[..., 0], mode=None).convert(mode)


@pytest.mark.parametrize("size", [(500, 375), (333, 500), (64, 48), (224, 224)])
def test_exact_pixels_are_those_of_wsolevaluation(size: tuple[int, int], tmp_path: Path) -> None:
    data = picture("a", *size)
    reference = transforms.Compose(
        [transforms.Resize((224, 224)), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    )
    expected = reference(Image.open(io.BytesIO(data)).convert("RGB"))
    dataset = single(tmp_path, data, size, evaluation_transform((3, 224, 224), MEAN, STD))
    assert torch.equal(dataset[0][0], expected)


def single(folder: Path, data: bytes, size: tuple[int, int], transform=None, **options) -> LocalizationDataset:
    write_files(folder, {"a": data})
    truth = GroundTruth("d", "test", ("a",), np.array([3]), np.array([size]), (np.zeros((0, 4), int),), ("c",))
    return LocalizationDataset(truth, Folder(folder), transform, **options)


def test_default_item_is_the_whole_image(tmp_path: Path) -> None:
    data = picture("a", 31, 17)
    image, label, index = single(tmp_path, data, (31, 17))[0]
    assert torch.equal(image, transforms.ToTensor()(Image.open(io.BytesIO(data)).convert("RGB")))
    assert (label, index) == (3, 0)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("L", "JPEG"), ("CMYK", "JPEG"), ("RGB", "PNG"), ("RGBA", "PNG"), ("P", "PNG"), ("LA", "PNG"), ("1", "PNG")],
)
def test_every_mode_becomes_rgb(mode: str, kind: str) -> None:
    data = encoded(noise("RGB").convert(mode), kind)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(np.asarray(decode_exact(data, "a")), expected)
    fast = decode_fast(data, "a").permute(1, 2, 0).numpy()
    assert fast.shape == expected.shape
    if kind == "PNG" or mode == "CMYK":
        np.testing.assert_array_equal(fast, expected)


def test_fast_decoding_differs_by_few_levels(tmp_path: Path) -> None:
    data = picture("b", 500, 375)
    exact = np.asarray(decode_exact(data, "b")).astype(int)
    fast = decode_fast(data, "b").permute(1, 2, 0).numpy().astype(int)
    assert np.abs(exact - fast).max() <= 2
    transform = evaluation_transform(224, MEAN, STD)
    one = single(tmp_path, data, (500, 375), transform)[0][0]
    other = single(tmp_path, data, (500, 375), transform, decode="fast")[0][0]
    assert (one - other).abs().max() < 2.5 / 255 / min(STD)


@pytest.mark.parametrize("cut", [2, 200, -500])
@pytest.mark.parametrize("decode", [decode_exact, decode_fast])
def test_damaged_images_are_named(cut: int, decode) -> None:
    with pytest.raises(ImageError, match=r"^photos/a\.jpg: "):
        decode(picture("a", 200, 100)[:cut], "photos/a.jpg")
    with pytest.raises(ImageError, match=r"^photos/a\.jpg: "):
        decode(b"", "photos/a.jpg")


def test_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone\.jpg: No such file"):
        Folder(tmp_path).read("gone.jpg")


def test_sizes_come_from_headers(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.jpg": picture("a", 30, 20), "b.jpg": b"no image"})
    assert image_sizes(Folder(tmp_path), ["a.jpg", "b.jpg", "c.jpg"]).tolist() == [[30, 20], [0, 0], [0, 0]]


class TestTar:
    @pytest.fixture(autouse=True)
    def _cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WSOL_CACHE", str(tmp_path / "cache"))

    def test_reads_members(self, tmp_path: Path) -> None:
        files = {f"{'long/' * 40}{i}.jpg": bytes([i]) * (i + 1) for i in range(20)}
        tar = write_tar(tmp_path / "a.tar", files)
        for _ in range(2):  # the second time from the cached index
            store = TarImages(tar)
            assert {name: store.read(name) for name in files} == files
        assert len(list((tmp_path / "cache/tar-index").iterdir())) == 1
        again = pickle.loads(pickle.dumps(store))
        assert again.read(next(iter(files))) == b"\0"
        assert not store.exists("gone")
        with pytest.raises(ImageError, match=r"a\.tar:gone: no such member"):
            store.read("gone")

    def test_a_changed_tar_is_indexed_anew(self, tmp_path: Path) -> None:
        TarImages(write_tar(tmp_path / "a.tar", {"one": b"1"}))
        assert TarImages(write_tar(tmp_path / "a.tar", {"two": b"2" * 5000, "x": b""})).read("two") == b"2" * 5000

    @pytest.mark.parametrize("kind", ["compressed", "cut", "text", "missing"])
    def test_other_files_are_refused(self, kind: str, tmp_path: Path) -> None:
        tar = write_tar(tmp_path / "a.tar", {"one": b"1" * 5000}, "gz" if kind == "compressed" else "")
        if kind == "cut":
            tar.write_bytes(tar.read_bytes()[:3000])
        if kind == "text":
            tar.write_text("no tar " * 1000)
        if kind == "missing":
            tar.unlink()
        with pytest.raises(DatasetError, match=r"a\.tar: "):
            TarImages(tar)


def test_renamed_store(tmp_path: Path) -> None:
    write_files(tmp_path, {"x/1.jpg": b"one"})
    store = Renamed(Folder(tmp_path), {"a": "x/1.jpg"})
    assert store.read("a") == b"one"
    assert store.exists("a")
    assert not store.exists("x/1.jpg")
    assert store.where("a") == str(tmp_path / "x/1.jpg")
    with pytest.raises(ImageError, match="b: not among the images"):
        store.read("b")


class TestMask:
    def dataset(self, folder: Path, masks: dict[str, np.ndarray], ignore: np.ndarray | None, size=(6, 4)):
        files = {name: encoded(Image.fromarray(pixels), "PNG") for name, pixels in masks.items()}
        if ignore is not None:
            files["ignore.png"] = encoded(Image.fromarray(ignore), "PNG")
        write_files(folder, files)
        truth = GroundTruth(
            "d", "test", ("a",), np.array([0]), np.array([size]), (np.zeros((0, 4), int),), ("c",),
            masks=(MaskFiles(tuple(masks), None if ignore is None else "ignore.png"),),
        )  # fmt: skip
        return LocalizationDataset(truth, Folder(folder))

    def test_union_of_objects_and_ignored_outside(self, tmp_path: Path) -> None:
        one, two, ignore = (np.zeros((4, 6), dtype=np.uint8) for _ in range(3))
        one[0, 0], two[1, 1:3], ignore[:2, :2] = 255, 128, 255
        one[3, 3] = 127  # not brighter than half
        mask = self.dataset(tmp_path, {"1.png": one, "2.png": two}, ignore).mask(0)
        expected = np.zeros((4, 6), dtype=np.uint8)
        expected[:2, :2] = 255
        expected[0, 0] = expected[1, 1] = expected[1, 2] = 1
        np.testing.assert_array_equal(mask, expected)

    def test_files_are_resized_one_by_one(self, tmp_path: Path) -> None:
        small, large = np.zeros((2, 3), dtype=np.uint8), np.zeros((8, 12), dtype=np.uint8)
        small[0, 0], large[7, 11] = 255, 255
        dataset = self.dataset(tmp_path, {"1.png": small, "2.png": large}, None)
        assert dataset.mask(0).tolist() == [[1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [0] * 6, [0] * 6]
        assert dataset.mask(0, size=(8, 12)).sum() == 16 + 1
        assert self.dataset(tmp_path, {"1.png": small}, None, size=(0, 0)).mask(0).shape == (2, 3)

    def test_missing_file_is_named(self, tmp_path: Path) -> None:
        dataset = self.dataset(tmp_path, {"1.png": np.zeros((4, 6), dtype=np.uint8)}, None)
        (tmp_path / "1.png").unlink()
        with pytest.raises(ImageError, match=r"1\.png"):
            dataset.mask(0)


def test_training_transform_crops_and_flips() -> None:
    image = noise("RGB", (100, 80))
    torch.manual_seed(0)
    plain, flipped = (training_transform(56, (0, 0, 0), (1, 1, 1), resize=56, flip=p) for p in (0.0, 1.0))
    square = noise("RGB", (56, 56))
    assert torch.equal(plain(square), ToFloat()(square))
    assert torch.equal(flipped(square), ToFloat()(square).flip(2))
    assert training_transform((3, 56, 64), MEAN, STD)(image).shape == (3, 56, 64)


def test_evaluation_transform_with_crop() -> None:
    image = noise("RGB", (100, 50))
    transform = evaluation_transform(32, MEAN, STD, resize=40, crop=32)
    reference = transforms.Compose(
        [transforms.Resize(40), transforms.CenterCrop(32), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    )
    assert torch.equal(transform(image), reference(image))


def test_subset_and_bounds(tmp_path: Path) -> None:
    dataset = single(tmp_path, picture("a", 8, 8), (8, 8))
    assert len(dataset.subset([])) == 0
    assert dataset.subset([0])[0][2] == 0
    with pytest.raises(IndexError):
        dataset[1]
    with pytest.raises(ValueError, match="unknown decode 'fastest'; valid: fast, exact"):
        single(tmp_path, b"", (1, 1), decode="fastest")

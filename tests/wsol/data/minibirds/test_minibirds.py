import multiprocessing
import os
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from wsol.data import load_dataset
from wsol.data.benchmarks.cub import load_cub_tree, read_cub_tree
from wsol.data.minibirds import benchmark as minibirds
from wsol.data.minibirds import birds
from wsol.data.minibirds.birds import CROWN_COLOURS, draw_scene

COUNTS = {"train": 24, "val": 12, "test": 12}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("cache") / "minibirds"
    minibirds.render(tree, counts=COUNTS)
    return tree


def files(tree: Path) -> dict[str, bytes]:
    return {str(p.relative_to(tree)): p.read_bytes() for p in tree.rglob("*") if p.is_file()}


def test_same_bytes_every_time(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    minibirds.render(tmp_path / "again", counts=COUNTS)
    assert files(tmp_path / "again") == files(tree)


def test_images_do_not_depend_on_the_others(tree: Path, tmp_path: Path) -> None:
    minibirds.render(tmp_path / "fewer", counts={"val": 3})
    whole = files(tree)
    for path, data in files(tmp_path / "fewer").items():
        if path.startswith(("images/", "segmentations/")):
            assert whole[path] == data


def test_seed_and_split_change_the_picture() -> None:
    jpegs = {minibirds.render_image(split, 0, seed=seed).jpeg for split in ("train", "test") for seed in (0, 1)}
    assert len(jpegs) == 4


def test_published_counts_are_large_and_balanced() -> None:
    assert len(minibirds.CLASS_NAMES) == 12
    assert all(count % 12 == 0 for count in minibirds.COUNTS.values())
    assert minibirds.COUNTS["train"] >= 2000
    assert minibirds.COUNTS["val"] >= 300
    assert minibirds.COUNTS["test"] >= 1000


def test_reads_as_cub(tree: Path) -> None:
    for split, count in COUNTS.items():
        loaded = load_cub_tree(read_cub_tree(tree), split, "minibirds")
        truth = loaded.ground_truth
        assert len(truth) == count
        assert np.bincount(truth.labels).tolist() == [count // 12] * 12
        assert truth.sizes.tolist() == [[96, 96]] * count
        assert all(1 <= len(boxes) <= 2 for boxes in truth.boxes)
        assert all(loaded.images.exists(image_id) for image_id in truth.image_ids)


def test_boxes_and_masks_are_exact_and_birds_apart() -> None:
    touching = total = two = 0
    for index in range(200):
        scene = draw_scene(np.random.default_rng([5, index]), index % 12, 96)
        two += len(scene.masks) == 2
        assert not np.logical_and.reduce(scene.masks).any() or len(scene.masks) == 1
        for (x, y, w, h), mask in zip(scene.boxes, scene.masks, strict=True):
            inside = mask[y : y + h, x : x + w]
            assert inside.sum() == mask.sum()
            assert inside[0].any() and inside[-1].any() and inside[:, 0].any() and inside[:, -1].any()  # noqa: PT018
            touching += x == 0 or y == 0 or x + w == 96 or y + h == 96
            total += 1
        if len(scene.boxes) == 2:
            (x0, y0, w0, h0), (x1, y1, w1, h1) = scene.boxes
            assert x0 + w0 <= x1 or x1 + w1 <= x0 or y0 + h0 <= y1 or y1 + h1 <= y0
    assert touching < 0.1 * total
    assert 0.08 < two / 200 < 0.22


def test_a_mask_is_what_differs_from_the_scene_without_the_bird(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw with and without the birds: pixels differ inside the masks, and nowhere far outside."""
    seed = [1, 2]
    whole = draw_scene(np.random.default_rng(seed), 0, 96)
    over = birds.Layer.over
    # only a bird's layer is laid over the picture with a shade
    monkeypatch.setattr(birds.Layer, "over", lambda s, i, shade=None: i if shade is not None else over(s, i))
    bare = draw_scene(np.random.default_rng(seed), 0, 96)
    differs = np.abs(whole.image.astype(int) - bare.image).sum(axis=2) > 30
    mask = np.logical_or.reduce(whole.masks)
    grown = np.pad(mask, 3)
    grown = np.logical_or.reduce([grown[dy : dy + 96, dx : dx + 96] for dy in range(7) for dx in range(7)])
    assert not (differs & ~grown).any()
    assert (differs & mask).sum() > 0.8 * mask.sum()


def test_class_shows_in_the_crown_only_by_colour() -> None:
    """The same scene drawn as two classes differs in few pixels: the crown and nothing else."""
    pictures = [draw_scene(np.random.default_rng([3, 3]), label, 96) for label in range(len(CROWN_COLOURS))]
    for other in pictures[1:]:
        differs = (np.abs(pictures[0].image.astype(int) - other.image).sum(axis=2) > 25).sum()
        bird = np.logical_or.reduce(other.masks).sum()
        assert 0 < differs < 0.3 * bird
        assert all((a == b).all() for a, b in zip(pictures[0].masks, other.masks, strict=True))


def test_a_changed_generator_has_a_new_version() -> None:
    """Small copies of one picture of each class, as VERSION 1 drew them; other builds may round differently."""
    assert minibirds.VERSION == 1, "put the new pictures into tests/data"
    stored = np.load(Path(__file__).parents[3] / "data" / "minibirds_v1.npz")["pictures"]
    for label, expected in enumerate(stored):
        image = draw_scene(np.random.default_rng([0, label]), label, 96).image
        small = cv2.resize(image, (12, 12), interpolation=cv2.INTER_AREA)
        assert np.abs(small.astype(int) - expected).max() <= 2, "the pictures changed: raise minibirds.VERSION"


def test_other_sizes() -> None:
    assert draw_scene(np.random.default_rng(0), 3, 160).image.shape == (160, 160, 3)


def _make(cache: str, counts: dict[str, int]) -> None:
    os.environ["WSOL_CACHE"] = cache
    minibirds.COUNTS.clear()
    minibirds.COUNTS.update(counts)
    minibirds.minibirds_tree()


def test_two_processes_at_once_and_one_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = multiprocessing.get_context("fork")
    killed = context.Process(target=_make, args=(str(tmp_path), {"train": 9000}))
    killed.start()
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("*.part-*/images/*/*.jpg")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.join()
    leftovers = list(tmp_path.glob("*.part-*"))
    assert len(leftovers) == 1
    assert not [p for p in tmp_path.iterdir() if p.is_dir() and p not in leftovers]

    both = [context.Process(target=_make, args=(str(tmp_path), COUNTS)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(timeout=100)
        assert process.exitcode == 0
    (made,) = [p for p in tmp_path.iterdir() if p.is_dir()]
    monkeypatch.setenv("WSOL_CACHE", str(tmp_path))
    assert minibirds.minibirds_tree() == made
    dataset = load_dataset("minibirds", "test")
    image, label, index = dataset[11]
    assert (tuple(image.shape), label, index) == ((3, 96, 96), 11, 11)
    x0, y0, x1, y1 = dataset.ground_truth.boxes[11][0]
    mask = dataset.mask(11)
    assert mask is not None
    assert set(np.unique(mask)) == {0, 1}
    assert mask[y0:y1, x0:x1].any()


def test_unwritable_cache_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WSOL_CACHE", str(tmp_path / "file"))
    with pytest.raises(minibirds.DatasetError, match="set WSOL_CACHE"):
        load_dataset("minibirds")

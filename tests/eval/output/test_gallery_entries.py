"""Entries of the gallery and pages of images that are made here: several sizes, steps, missing and unreadable ones."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from eval.judging.thresholds import Thresholds
from eval.output.gallery import Gallery, JudgedImages, coloured_map, make_gallery, outcomes, pick, pick_for_gallery
from tdam.errors import UserError
from wsol.boxes import boxes_from_score_map, scale_boxes
from wsol.data import ImageError
from wsol.draw import Verdict
from wsol.draw.contours import outline

NAMES = ["wide.png", "tall.png", "unreadable.png", "gone.png", "unboxed.png"]
SIZES = [(640, 400), (60, 90), (50, 50), (50, 50), (30, 40)]
CLASSES = ["cup", "kite"]
LABELS = [0, 1, 0, 0, 1]
CORNERS = ("x0", "y0", "x1", "y1")


class Source:
    """Maps of two steps and the images."""

    steps = 2

    def __init__(self):
        random = np.random.default_rng(0)
        self.maps = np.zeros((2, len(NAMES), 20, 28), np.float32)
        for one in self.maps.reshape(-1, 20, 28):
            x, y = random.integers(1, 12, 2)
            one[y : y + 6, x : x + 9] = 0.5
            one[y + 1, x + 1] = 1
        boxes = [np.array([[10, 20, 300, 200], [5, 5, 9, 9]]), *[np.array([[1, 2, 30, 40]])] * 3, np.zeros((0, 4), int)]
        self.ground_truth = SimpleNamespace(image_ids=NAMES, boxes=boxes, labels=LABELS, class_names=CLASSES)

    def image(self, index):
        if NAMES[index] == "gone.png":
            raise ImageError("gone")
        return Image.new("RGB", SIZES[index], (200, 40, index))

    def batches(self, indices):
        for start in range(0, len(indices), 2):
            chunk = indices[start : start + 2]
            faults = {index: "truncated" for index in chunk if NAMES[index] == "unreadable.png"}
            yield SimpleNamespace(indices=np.array(chunk), unreadable=faults, score_maps=self.maps[:, chunk])

    def box(self, step, place):
        found = boxes_from_score_map(self.maps[step, place], (0.3, 0.4)[step])
        return scale_boxes(found, (28, 20), SIZES[place])[0]


def judged_images(**columns):
    source = Source()
    rows = [
        {
            "image": name,
            "step": step + 1,
            "class_id": (place + step) % 2,
            "class_name": CLASSES[(place + step) % 2],
            "confidence": 0.123456 + place / 10,
            "top1_correct": int((place + step) % 2 == LABELS[place]),
            "hit_gt_known_loc": np.nan if name == "unboxed.png" else float((place + step) % 2),
            **dict(zip(CORNERS, source.box(step, place), strict=True)),
            "iou": np.nan if name == "unboxed.png" else 0.55555 - step / 10,
        }
        for place, name in enumerate(NAMES)
        for step in range(2)
    ]
    table = pd.DataFrame(rows).assign(**columns)
    return source, JudgedImages(source, source, table, Thresholds(0.9, {"1": 0.3, "2": 0.4}, "val"), "net")


def test_images_come_with_what_was_judged_of_them():
    source, images = judged_images()
    found = list(images.localizations(["tall.png", "wide.png", "unreadable.png", "gone.png"]))
    assert [index for index, _, _ in found] == [1, 0], "in the order asked for; what cannot be read is left out"
    for index, localization, rows in found:
        assert (str(localization.path), localization.image_size) == (NAMES[index], SIZES[index])
        assert rows["image"].tolist() == [NAMES[index]] * 2
        for number, step in enumerate(localization.steps):
            assert (step.step, step.class_id) == (number + 1, (index + number) % 2)
            assert step.label == CLASSES[(index + number) % 2]
            assert step.score == pytest.approx(0.123456 + index / 10)
            assert step.box.tolist() == source.box(number, index).tolist()
            assert step.threshold == (0.3, 0.4)[number]
            assert step.score_map.dtype == np.float32
            np.testing.assert_array_equal(step.score_map, source.maps[number, index])


def test_entries_of_the_gallery():
    source, images = judged_images()
    gallery = make_gallery(images, ["wide.png", "gone.png", "tall.png"])
    assert [entry["image"] for entry in gallery.entries] == ["wide.png", "tall.png"]
    found = {index: localization for index, localization, _ in images.localizations(NAMES)}
    for place, entry in enumerate(gallery.entries):
        assert entry["photo"] == f"{place}.webp"
        assert (entry["width"], entry["height"]) == SIZES[place]
        assert entry["class_name"] == CLASSES[LABELS[place]]
        assert entry["truth"] == source.ground_truth.boxes[place].tolist()
        assert entry["outcome"] == ("gained" if place == 0 else "lost")
        assert entry["steps"] == [
            {
                "step": step + 1,
                "map": f"{place}-{step + 1}.webp",
                "class_name": CLASSES[(place + step) % 2],
                "confidence": round(0.123456 + place / 10, 4),
                "class_correct": (place + step) % 2 == LABELS[place],
                "box": source.box(step, place).tolist(),
                "outline": outline(found[place].steps[step], SIZES[place]).round(1).tolist(),
                "iou": round(0.55555 - step / 10, 4),
                "localized": (place + step) % 2 == 1,
            }
            for step in range(2)
        ]
        assert len(entry["steps"][0]["outline"]) >= 4
    assert set(gallery.pictures) == {*(f"{p}-{s}.webp" for p in (0, 1) for s in (1, 2)), "0.webp", "1.webp"}
    json.dumps(gallery.entries, allow_nan=False)


def test_pictures_are_small_and_show_what_they_are_named_after():
    source, images = judged_images()
    pictures = make_gallery(images, NAMES[:2]).pictures
    opened = {name: Image.open(io.BytesIO(content)) for name, content in pictures.items()}
    assert {image.format for image in opened.values()} == {"WEBP"}
    assert opened["0.webp"].size == (320, 200)
    assert opened["1.webp"].size == (60, 90)
    assert np.abs(np.asarray(opened["0.webp"].convert("RGB")).astype(int) - [200, 40, 0]).max() < 12
    for step in (0, 1):
        shown = np.asarray(opened[f"1-{step + 1}.webp"].convert("RGBA")).astype(int)
        expected = np.asarray(coloured_map(source.maps[step, 1])).astype(int)
        assert shown.shape == (40, 40, 4)
        assert np.abs(shown[..., 3] - expected[..., 3]).mean() < 4


def test_an_outline_that_is_not_the_boxs_and_a_class_that_is_not_known_are_left_out():
    _, images = judged_images(x0=0, y0=0, x1=1, y1=1, confidence=np.nan)
    entry = make_gallery(images, ["wide.png"]).entries[0]
    assert [step["outline"] for step in entry["steps"]] == [[], []]
    assert [step["confidence"] for step in entry["steps"]] == [None, None]


def test_pages_say_what_was_decided(monkeypatch):
    seen = {}

    def grid_pages(found, **options):
        seen.update(found=found, **options)
        return ["page"]

    monkeypatch.setattr("eval.output.gallery.draw.grid_pages", grid_pages)
    source, images = judged_images()
    images.predictions.loc[images.predictions["image"] == "tall.png", "confidence"] = np.nan
    assert images.pages(["wide.png", "tall.png", "unboxed.png"]) == ["page"]
    assert [str(one.path) for one in seen["found"]] == ["wide.png", "tall.png", "unboxed.png"]
    for place, truth in zip((0, 1, 4), seen["truths"], strict=True):
        np.testing.assert_array_equal(truth, source.ground_truth.boxes[place])
    assert seen["titles"] == ["cup", "kite", "kite"]
    assert seen["difference"] is True
    wide, tall, unboxed = seen["verdicts"]
    assert wide == [Verdict(False, 0.55555, True), Verdict(True, pytest.approx(0.45555), False)]
    assert tall == [Verdict(True, 0.55555, None), Verdict(False, pytest.approx(0.45555), None)]
    assert unboxed == [None, None]
    source.steps = 1
    images.pages(["wide.png"])
    assert seen["difference"] is False


def gallery_of(folder):
    entries = [{"image": "é", "photo": "0.webp", "steps": [{"map": "0-1.webp"}, {"map": "0-2.webp"}]}]
    gallery = Gallery(entries, {"0.webp": b"photo", "0-1.webp": b"one", "0-2.webp": b"two"})
    return gallery, gallery.write(folder)


def test_a_gallery_comes_back_from_its_folder(tmp_path):
    gallery, index = gallery_of(tmp_path)
    assert index == tmp_path / "gallery" / "gallery.json"
    assert index.read_text().startswith("[\n {\n")
    assert index.read_text().endswith("]\n")
    assert Gallery.read(tmp_path) == gallery
    assert Gallery.read(tmp_path / "other") == Gallery([], {})


def test_a_damaged_gallery_is_refused_and_nothing_outside_it_is_read(tmp_path):
    _, index = gallery_of(tmp_path)
    (tmp_path / "secret").write_text("secret")
    entries = json.loads(index.read_text())
    for changed in (
        [entries[0] | {"photo": "../secret"}],
        [entries[0] | {"steps": [{}]}],
        [{}],
        [3],
    ):
        index.write_text(json.dumps(changed))
        with pytest.raises(UserError, match=r"gallery\.json is not a readable gallery \(.+\); evaluate again"):
            Gallery.read(tmp_path)
    index.write_text("[")
    with pytest.raises(UserError, match="is not a readable gallery"):
        Gallery.read(tmp_path)


def test_choices_follow_their_seed_and_the_order_of_the_split():
    names = [f"{number:03d}" for number in range(60)]
    hits = pd.DataFrame(
        {
            "image": np.repeat(names, 2),
            "step": [1, 2] * 60,
            "hit_gt_known_loc": np.random.default_rng(1).integers(0, 2, 120).astype(float),
        }
    )
    kinds = outcomes(hits)
    members = [name for name in names if kinds[name] in ("wrong", "lost")]
    chosen = pick(hits, "wrong", 5)
    places = np.random.default_rng(0).choice(len(members), size=5, replace=False)
    assert chosen == [members[place] for place in sorted(places)]
    assert chosen == pick(hits, "wrong", 5, seed=0) != pick(hits, "wrong", 5, seed=1)
    shown = pick_for_gallery(hits, 12)
    assert shown == sorted(shown) == pick_for_gallery(hits, 12, seed=0) != pick_for_gallery(hits, 12, seed=1)
    assert kinds[shown].value_counts().to_dict() == dict.fromkeys(("correct", "wrong", "gained", "lost"), 3)

"""Which images are chosen, and what is written of them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from results_folder import MODEL, write_checkpoint, write_results

from eval.evaluation import evaluate
from eval.judging.process import Process
from eval.judging.thresholds import Thresholds
from eval.options import EvaluationOptions
from eval.output.gallery import PICKS, JudgedImages, coloured_map, outcomes, pick, pick_for_gallery
from eval.output.predictions import HIT_COLUMNS, read_predictions
from tdam.errors import UnknownNameError, UserError
from wsol.boxes import boxes_from_score_map, scale_boxes
from wsol.data import load_dataset
from wsol.draw.contours import outline
from wsol.draw.overlay import OPACITY
from wsol.draw.style import SCORE_COLOURS
from wsol.marks import is_marked


def predictions(hits: dict[str, tuple[float, ...]]) -> pd.DataFrame:
    rows = [(name, step, hit) for name, steps in hits.items() for step, hit in enumerate(steps, start=1)]
    return pd.DataFrame(rows, columns=["image", "step", HIT_COLUMNS["gt_known_loc"]])


KINDS = {
    "right": (1, 1),
    "gained": (0, 1),
    "lost": (1, 0),
    "wrong": (0, 0),
    "middle only": (0, 1, 0),
}


def test_outcomes_compare_the_last_step_with_the_first() -> None:
    found = outcomes(predictions({**KINDS, "without a box": (np.nan, np.nan)}))
    assert found.to_dict() == {
        "right": "correct",
        "gained": "gained",
        "lost": "lost",
        "wrong": "wrong",
        "middle only": "wrong",
    }


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("correct", ["right", "gained"]),
        ("wrong", ["lost", "wrong", "middle only"]),
        ("gained", ["gained"]),
        ("lost", ["lost"]),
        ("random", list(KINDS)),
    ],
)
def test_pick_takes_all_of_a_kind_where_there_are_few(kind: str, expected: list[str]) -> None:
    assert pick(predictions(KINDS), kind, 10) == expected


def test_pick_is_a_choice_that_the_seed_decides() -> None:
    many = predictions({f"{number}": (0, 1) for number in range(50)})
    chosen = pick(many, "gained", 10, seed=1)
    assert len(set(chosen)) == 10
    assert chosen == sorted(chosen, key=int)
    assert chosen == pick(many, "gained", 10, seed=1) != pick(many, "gained", 10, seed=2)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="gained"):
        pick(predictions(KINDS), "gaind", 1)
    assert set(PICKS) == {"correct", "wrong", "gained", "lost", "random"}


def test_the_gallery_balances_outcomes_however_rare_they_are() -> None:
    frame = predictions(
        {f"right {number}": (1, 1) for number in range(200)}
        | {f"lost {number}": (1, 0) for number in range(3)}
        | {f"gained {number}": (0, 1) for number in range(40)}
    )
    chosen = pick_for_gallery(frame, 25)
    counts = outcomes(frame)[chosen].value_counts().to_dict()
    assert counts == {"correct": 11, "gained": 11, "lost": 3}
    assert len(pick_for_gallery(frame, 1000)) == 243


def test_a_class_called_nan_keeps_its_name(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(
        "image,step,label_name,class_name,confidence,iou,hit_gt_known_loc,hit_top1_loc,hit_top5_loc\n"
        "NA,1,null,nan,,0.5,1,,\n"
    )
    row = read_predictions(tmp_path / "p.csv").iloc[0]
    assert (row["image"], row["label_name"], row["class_name"]) == ("NA", "null", "nan")
    assert np.isnan(row["confidence"])
    assert row["hit_gt_known_loc"] == 1
    assert np.isnan(row["hit_top1_loc"])


def test_a_table_without_hits_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("image,step,iou\na,1,0.5\n")
    with pytest.raises(UserError, match="no column hit_gt_known_loc"):
        read_predictions(tmp_path / "p.csv")


def test_a_coloured_map_has_the_colours_and_the_opacity_of_its_scores() -> None:
    scores = np.zeros((80, 80), np.float32)
    scores[:, 40:] = 1
    pixels = np.asarray(coloured_map(scores)) / 255
    assert pixels[20, 3, 3] == 0
    assert np.allclose(pixels[20, 36], [*SCORE_COLOURS(1.0)[:3], OPACITY], atol=0.01)


def test_the_gallery_of_an_evaluation_says_what_predictions_say(tmp_path: Path) -> None:
    results = write_results(tmp_path, images=8, gallery=5)
    entries = json.loads((results / "gallery" / "gallery.json").read_text())
    rows = read_predictions(results / "predictions.csv").set_index(["image", "step"])
    truth = load_dataset("minibirds", "test").ground_truth
    assert len(entries) == 5
    for entry in entries:
        place = truth.image_ids.index(entry["image"])
        assert entry["truth"] == truth.boxes[place].tolist()
        assert (entry["width"], entry["height"]) == tuple(truth.sizes[place])
        assert max(Image.open(results / "gallery" / entry["photo"]).size) <= 320
        for step in entry["steps"]:
            row = rows.loc[(entry["image"], step["step"])]
            assert step["box"] == [row["x0"], row["y0"], row["x1"], row["y1"]]
            assert step["iou"] == pytest.approx(row["iou"], abs=1e-3)
            assert step["class_name"] == row["class_name"]
            assert step["localized"] == (row["hit_gt_known_loc"] == 1)
            assert (results / "gallery" / step["map"]).is_file()


def test_picked_images_are_drawn_in_pages(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "tiny.safetensors")
    options = EvaluationOptions(
        dataset="minibirds", model=MODEL, checkpoint=checkpoint, output=tmp_path, limit=8, gallery=0, pick="random"
    )
    evaluate(options, Process(), torch.device("cpu"))
    pages = sorted(tmp_path.glob("random*.png"))
    assert [page.name for page in pages] == ["random-1.png", "random-2.png"]
    for page in pages:
        width, height = Image.open(page).size
        assert height <= width * 9.5 / 7


class OneImage:
    """A map source and a dataset of one image of the test's own making."""

    def __init__(self, score_map: np.ndarray) -> None:
        self.steps = 1
        self._map = score_map
        self.ground_truth = SimpleNamespace(
            image_ids=["a.png"], boxes=[np.array([[0, 0, 9, 9]])], labels=[0], class_names=["001.Some_bird"]
        )

    def image(self, index: int) -> Image.Image:
        return Image.new("RGB", (120, 80))

    def batches(self, indices: list[int]) -> list[SimpleNamespace]:
        return [SimpleNamespace(indices=np.array(indices), unreadable={}, score_maps=self._map[None, None])]


@pytest.mark.parametrize(("hit", "mark"), [(1, "✓"), (0, "✗")])
def test_a_page_marks_what_was_judged_and_outlines_the_threshold_of_the_step(hit: int, mark: str) -> None:
    scores = np.zeros((40, 60), np.float32)
    scores[10:20, 20:50] = 0.5
    scores[12:14, 22:24] = 1
    (box,) = scale_boxes(boxes_from_score_map(scores, 0.3), (60, 40), (120, 80))
    row = {"image": "a.png", "step": 1, "class_id": 0, "class_name": "001.Some_bird", "confidence": 0.75}
    row |= {"top1_correct": 1, "hit_gt_known_loc": hit, "iou": 0.5} | dict(
        zip(("x0", "y0", "x1", "y1"), box, strict=True)
    )
    row |= dict(zip(("x0", "y0", "x1", "y1"), box, strict=True))
    one = OneImage(scores)
    images = JudgedImages(one, one, pd.DataFrame([row]), Thresholds(0.9, {"1": 0.3}, "val"), "net")
    (page,) = images.pages(["a.png"])
    texts = [text.get_text() for text in page.texts]
    assert f"✓ Some bird  0.75\n{mark} IoU 0.50" in texts
    assert "net" in texts
    ((_, found, _),) = images.localizations(["a.png"])
    assert outline(found.steps[0], (120, 80)) is not None, "0.3 is the threshold of this box, 0.9 is not"


def test_pictures_of_the_gallery_are_known_as_our_own(tmp_path: Path) -> None:
    results = write_results(tmp_path, images=4, gallery=2)
    pictures = sorted((results / "gallery").glob("*.webp"))
    assert len(pictures) == 2 * 3
    assert all(is_marked(path) for path in pictures), "wsol-show would take them for photographs"

"""Records of single images against arithmetic by hand: boxes in the original frame, thresholds, what is left out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tiny_source import HEIGHT, PROTOCOL, WIDTH, ArraySource, tiny_split

from eval.judging.hits import kept_hits
from eval.judging.split import judge_split
from eval.judging.thresholds import Thresholds
from eval.measures.outcomes import Outcome
from eval.protocols import get_protocol
from tdam.errors import UserError

IMAGE = np.array([48, 36])  # width, height
VAL = dict.fromkeys(("1", "2", "mean", "max", "confidence"), 0.6)


def judged(folder, maps, logits, truth, protocol=PROTOCOL, thresholds=Thresholds(0.2, VAL), **source):  # noqa: B008
    split = judge_split(ArraySource(maps, logits, **source), truth, protocol, thresholds, folder)
    (records,) = split.records()
    return records


def with_region(maps, step, image, x0, y0, x1, y1, low=0.0):
    """Make a map 1 on a rectangle (last pixels included) and `low` elsewhere."""
    maps[step, image] = low
    maps[step, image, y0 : y1 + 1, x0 : x1 + 1] = 1
    maps[step, image, 0, 0] = 0


def in_image(box):
    """A box of a map in the original image, rounded, inside it; width and height each by its own scale."""
    scaled = np.array(box) * np.tile(IMAGE / [WIDTH, HEIGHT], 2)
    return np.clip(np.floor(scaled + 0.5), 0, np.tile(IMAGE - 1, 2)).astype(int).tolist()


def test_boxes_are_carried_to_images_that_are_not_square(tmp_path):
    truth, maps, logits = tiny_split(steps=1)
    with_region(maps, 0, 0, 20, 3, 27, 9)  # to the right edge
    with_region(maps, 0, 1, 4, 12, 11, 19)  # to the lower edge
    with_region(maps, 0, 2, 21, 14, 27, 19)  # into the corner
    records = judged(tmp_path, maps, logits, truth)
    assert records["box"][0, 0].tolist() == in_image([20, 3, 27, 10])
    assert records["box"][1, 0].tolist() == in_image([4, 12, 12, 19])
    assert records["box"][2, 0].tolist() == in_image([21, 14, 27, 19])
    assert (records["box"][:, 0, 2] < 48).all()
    assert (records["box"][:, 0, 3] < 36).all()
    # Predictions' maps are mirrored in the fixture, so are their boxes.
    assert records["predicted_box"][1, 0].tolist() == in_image([WIDTH - 1 - 11, 12, WIDTH - 1 - 4 + 1, 19])


def test_boxes_ending_after_the_map_end_inside_the_image(tmp_path):
    truth, maps, logits = tiny_split(steps=1)
    with_region(maps, 0, 0, 20, 12, 27, 19)
    unclamped = dataclasses.replace(PROTOCOL, convention=dataclasses.replace(PROTOCOL.convention, clamp_end=False))
    assert judged(tmp_path, maps, logits, truth, unclamped)["box"][0, 0].tolist() == [34, 22, 47, 35]


def test_the_headline_is_read_at_the_threshold_chosen_on_val(tmp_path):
    truth, maps, logits = tiny_split(steps=1)
    truth = dataclasses.replace(truth, boxes=(np.array([[0, 0, 47, 35]]), *truth.boxes[1:]))
    with_region(maps, 0, 0, 4, 4, 9, 9, low=0.4)  # everything at 0.2, a small square at 0.6
    records = judged(tmp_path, maps, logits, truth)
    assert records["box"][0, 0].tolist() == in_image([4, 4, 10, 10])
    assert records["iou"][0, 0] == pytest.approx(7 * 7 / (27 * 20), abs=0.01)
    assert records["iou_fixed"][0, 0] > 0.9
    assert not kept_hits(records, 0)[0]
    assert kept_hits(records, 0, policy="fixed")[0]
    only_fixed = judged(tmp_path / "fixed", maps, logits, truth, thresholds=Thresholds(0.2))
    assert kept_hits(only_fixed, 0)[0]
    assert only_fixed["iou"][0, 0] == only_fixed["iou_fixed"][0, 0]


def test_an_image_without_boxes_counts_for_its_class_alone(tmp_path):
    truth, maps, logits = tiny_split()
    boxes = list(truth.boxes)
    boxes[3] = np.zeros((0, 4), np.int64)
    whole = judged(tmp_path / "whole", maps, logits, truth)
    records = judged(tmp_path / "gap", maps, logits, dataclasses.replace(truth, boxes=tuple(boxes)))
    assert records["boxed"].tolist() == [image != 3 for image in range(13)]
    assert (records["outcome"][3] == Outcome.NO_BOX).all()
    assert np.isnan(records["iou"][3]).all()
    assert not records["hit"][3].any()
    assert not records["reached_all"][3].any()
    np.testing.assert_array_equal(records["in_top1"], whole["in_top1"])
    np.testing.assert_array_equal(records["box"], whole["box"])
    others = [image for image in range(13) if image != 3]
    for field in ("hit", "iou", "outcome", "reached_largest"):
        np.testing.assert_array_equal(records[field][others], whole[field][others])


def test_an_iou_of_exactly_one_half_may_be_found_and_yet_no_hit_of_its_class(tmp_path):
    truth, maps, logits = tiny_split(steps=1)
    with_region(maps, 0, 0, 4, 4, 9, 8)  # its box ends one pixel further: 7 x 6, of which the upper half is the object
    object_box = np.array([[4, 4, 10, 6]]) * np.tile(IMAGE / [WIDTH, HEIGHT], 2)
    truth = dataclasses.replace(truth, boxes=(np.ceil(object_box).astype(np.int64), *truth.boxes[1:]))
    logits[0, 0, truth.labels[0]] = 50
    mixed = dataclasses.replace(PROTOCOL, gt_known_strict=False, top_k_strict=True)
    record = judged(tmp_path, maps, logits, truth, mixed)[0]
    assert record["iou"][0] == 0.5
    assert record["hit"][0].tolist() == [[True, False, False]] * 2
    assert record["outcome"][0] != Outcome.CORRECT


@pytest.mark.parametrize("name", ["wsolevaluation", "bas", "psol"])
def test_an_unreadable_image_is_found_under_no_protocol(tmp_path, name):
    truth, maps, logits = tiny_split()
    boxes = (np.array([[0, 0, 47, 35]]), *truth.boxes[1:])  # what the empty map's box would hit under bas
    records = judged(
        tmp_path, maps, logits, dataclasses.replace(truth, boxes=boxes), get_protocol(name), unreadable=[0]
    )
    assert not records["hit"][0].any()
    assert not records["reached_largest"][0].any()
    assert (records["iou"][0] == 0).all()
    assert (records["candidates"][0] == 0).all()
    assert (records["box"][0] == -1).all()
    assert (records["predicted_box"][0, :2] == -1).all()
    assert (records["outcome"][0] == Outcome.UNREADABLE).all()
    assert (records["class_id"][0] == -1).all()


def test_a_batch_without_a_readable_image_is_judged_under_every_protocol(tmp_path):
    truth, maps, logits = tiny_split(num_images=8, steps=3)
    records = judged(
        tmp_path, maps, logits, truth, get_protocol("tdam"), Thresholds(0.2), unreadable=range(4), batch_size=4
    )
    assert records["unreadable"].sum() == 4


def test_thresholds_of_other_rows_are_refused(tmp_path):
    truth, maps, logits = tiny_split(steps=3)
    with pytest.raises(UserError) as caught:
        judged(tmp_path, maps, logits, truth, thresholds=Thresholds(0.2, VAL, "earlier results"))
    assert str(caught.value) == (
        "earlier results has thresholds of the rows 1, 2, mean, max, confidence and none of 3: "
        "take them from a run with the same steps, or leave --val-results out"
    )

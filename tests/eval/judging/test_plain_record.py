"""Every field of a record against a plain count of the image alone, step by step and cut by cut."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tiny_source import HEIGHT, PROTOCOL, WIDTH, ArraySource, mask_of, tiny_split

from eval.judging.hits import LOC_FIGURES
from eval.judging.split import judge_split
from eval.judging.thresholds import Thresholds
from eval.measures.attention_shift import AttentionShift
from eval.measures.fusion import fuse_steps, softmax
from eval.measures.outcomes import Outcome, outcome
from wsol.boxes import boxes_from_score_map, boxes_of_cut, quantize_score_map
from wsol.boxes.thresholds import find_rule
from wsol.metrics import PixelAveragePrecision

ROWS = ("1", "2", "mean", "max", "confidence")
RULES = ("otsu", "area0.3")
DEMANDS = (0.3, 0.5, 0.7)
UNBOXED, UNREADABLE, UNKNOWN_SIZE = 2, 5, 7  # the last cannot be read either
SIZES = np.array([[48, 36], [60, 90]])  # of even and of odd images
THRESHOLDS = Thresholds(0.2, dict(zip(ROWS, (0.35, 0.45, 0.5, 0.55, 0.6), strict=True)), "val", rules=RULES)
OPEN = dataclasses.replace(PROTOCOL.convention, closed_pixels=False)
PROTOCOLS = {
    "at least": PROTOCOL,
    "above": dataclasses.replace(PROTOCOL, gt_known_strict=True, top_k_strict=True),
    "open pixels": dataclasses.replace(PROTOCOL, convention=OPEN, top_k_strict=True),
}


def split():
    """A split with images of two shapes, and the three odd ones."""
    truth, maps, logits = tiny_split(num_images=14)
    sizes, boxes = SIZES[np.arange(14) % 2].copy(), list(truth.boxes)
    sizes[UNKNOWN_SIZE] = 0
    boxes[UNBOXED] = boxes[UNBOXED][:0]
    for image in (0, 1, 6):  # a box that is met well, so that not all is missed
        found = boxes_from_score_map(maps[1, image], 0.45)[0] * np.tile(sizes[image] / [WIDTH, HEIGHT], 2)
        boxes[image] = np.vstack([boxes[image], found.astype(np.int64)])
    return dataclasses.replace(truth, sizes=sizes, boxes=tuple(boxes)), maps, logits


def iou(a, b, plus):
    """Overlap over union of two boxes, by the sides."""
    width, height = (max(min(a[i + 2], b[i + 2]) - max(a[i], b[i]) + plus, 0) for i in (0, 1))
    areas = [(box[2] - box[0] + plus) * (box[3] - box[1] + plus) for box in (a, b)]
    return width * height / (sum(areas) - width * height)


def in_image(box, size):
    scaled = np.array(box) * np.tile(size / [WIDTH, HEIGHT], 2)
    return np.clip(np.floor(scaled + 0.5), 0, np.tile(size - 1, 2)).astype(int).tolist()


def reached(boxes, truth, plus):
    return max(iou(box, one, plus) for box in boxes for one in truth)


def level(value):
    return sum(int(value >= demand) + int(value > demand) for demand in DEMANDS)


def check_row(record, row, score_map, classes, label, truth, protocol):
    """One row of a readable image with boxes; `classes` are probabilities."""
    plus = int(protocol.convention.closed_pixels)
    quantized = quantize_score_map(score_map)
    assert record["maximum"][row] == quantized.max()
    for cut in range(0, 256, 5):
        largest, every = boxes_of_cut(quantized, cut), boxes_of_cut(quantized, cut, "all")
        assert record["reached_largest"][row, cut] == level(reached(largest, truth, plus))
        assert record["reached_all"][row, cut] == level(reached(every, truth, plus))
    order = np.argsort(-classes, kind="stable").tolist()
    assert record["class_id"][row] == order[0]
    assert record["confidence"][row] == pytest.approx(classes.max(), abs=1e-6)
    ranks = {"in_top1": label == order[0], "in_top5": label in order[:5]}
    assert {name: bool(record[name][row]) for name in ranks} == ranks

    headline, fixed = (int(t * quantized.max()) for t in (THRESHOLDS.val[ROWS[row]], 0.2))
    cuts = [headline, fixed, *(find_rule(rule).cut(quantized) for rule in RULES)]
    for place, cut in enumerate(cuts):
        found = reached(boxes_of_cut(quantized, cut), truth, plus)
        top_k = found > 0.5 if protocol.top_k_strict else found >= 0.5
        hits = [found > 0.5 if protocol.gt_known_strict else found >= 0.5]
        hits += [top_k and ranks["in_top1"], top_k and ranks["in_top5"]]
        assert record["hit"][row, place].tolist() == hits, (LOC_FIGURES, place)
    box = boxes_of_cut(quantized, headline)
    assert record["iou"][row] == pytest.approx(reached(box, truth, plus), abs=1e-6)
    assert record["iou_fixed"][row] == pytest.approx(reached(boxes_of_cut(quantized, fixed), truth, plus), abs=1e-6)
    assert record["candidates"][row] == len(boxes_of_cut(quantized, headline, "all"))
    kind = outcome(box[0], truth, ranks["in_top1"], bool(record["hit"][row, 0, 1]), bool(plus))
    assert record["outcome"][row] == kind
    return box[0]


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_every_field_follows_from_the_image_alone(tmp_path, protocol):
    truth, maps, logits = split()
    source = ArraySource(maps, logits, unreadable=[UNREADABLE, UNKNOWN_SIZE], degenerate=[(1, 3), (0, 4)])
    (records,) = judge_split(source, truth, protocol, THRESHOLDS, tmp_path).records()
    assert records["index"].tolist() == list(range(14))
    assert np.flatnonzero(records["unreadable"]).tolist() == [UNREADABLE, UNKNOWN_SIZE]
    assert np.flatnonzero(~records["boxed"]).tolist() == [UNBOXED]
    assert np.argwhere(records["degenerate"]).tolist() == [[3, 1], [4, 0]]
    probabilities = softmax(logits)
    fused = fuse_steps(maps, probabilities, truth.labels)
    for image, record in enumerate(records):
        if image in (UNBOXED, UNREADABLE, UNKNOWN_SIZE):
            continue
        size = truth.sizes[image]
        boxes = np.floor(truth.boxes[image] * np.tile([WIDTH, HEIGHT] / size, 2) + 1e-9).astype(int)
        for row, name in enumerate(ROWS):
            score_map = maps[row, image] if row < 2 else fused[name].score_maps[image]
            classes = probabilities[row, image] if row < 2 else fused[name].probabilities[image]
            box = check_row(record, row, score_map, classes, truth.labels[image], boxes, protocol)
            assert record["box"][row].tolist() == in_image(box, size)
        for step, threshold in enumerate((0.35, 0.45)):
            box = boxes_from_score_map(maps[step, image][:, ::-1].copy(), threshold)[0]
            assert record["predicted_box"][step].tolist() == in_image(box, size)
        assert not record["predicted_box"][2:].any()
    kinds = set(records["outcome"].ravel().tolist())
    assert kinds >= {Outcome.CORRECT, Outcome.WRONG_CLASS, Outcome.MISSED, Outcome.UNREADABLE, Outcome.NO_BOX}


def test_images_that_are_not_judged_hold_nothing(tmp_path):
    truth, maps, logits = split()
    source = ArraySource(maps, logits, unreadable=[UNREADABLE, UNKNOWN_SIZE])
    (records,) = judge_split(source, truth, PROTOCOL, THRESHOLDS, tmp_path).records()
    for image in (UNBOXED, UNREADABLE, UNKNOWN_SIZE):
        for field in ("hit", "reached_largest", "reached_all", "candidates"):
            assert not records[field][image].any(), field
    lost = records[[UNREADABLE, UNKNOWN_SIZE]]
    assert (lost["iou"] == 0).all()
    assert (lost["iou_fixed"] == 0).all()
    assert not lost["in_top1"].any()
    assert not lost["in_top5"].any()
    assert (lost["class_id"] == -1).all()
    assert np.isnan(lost["confidence"]).all()
    assert (lost["box"] == -1).all()
    assert (lost["predicted_box"][:, :2] == -1).all()
    assert np.isnan(records["iou"][UNBOXED]).all()
    assert np.isnan(records["iou_fixed"][UNBOXED]).all()
    assert (records["box"][UNBOXED] >= 0).all()


def test_maps_alone_are_judged_without_classes(tmp_path):
    truth, maps, _ = split()
    source = ArraySource(maps, None, unreadable=[UNREADABLE, UNKNOWN_SIZE])
    split_without = judge_split(source, truth, PROTOCOL, THRESHOLDS, tmp_path)
    assert split_without.pixel_metrics == {}, "there are no masks either"
    (records,) = split_without.records()
    assert records["hit"].shape[1] == 4, "two steps and the fusions that need no class"
    assert (records["class_id"] == -1).all()
    assert np.isnan(records["confidence"]).all()
    assert not records["in_top1"].any()
    assert not records["predicted_box"].any()
    judged = records[(records["outcome"] != Outcome.NO_BOX).all(axis=1) & ~records["unreadable"]]
    assert ((judged["outcome"] == Outcome.CORRECT) == judged["hit"][:, :, 0, 0]).all()
    assert not (judged["outcome"] == Outcome.WRONG_CLASS).any()


@pytest.mark.parametrize("name", ["at least", "open pixels"])
def test_selection_boxes_are_compared_on_their_own(tmp_path, name):
    protocol = PROTOCOLS[name]
    truth, maps, logits = split()
    boxes = [one[:1] + 2 for one in truth.boxes]
    boxes[UNBOXED], boxes[4] = np.array([[3, 3, 30, 20]]), truth.boxes[4][:0]
    selection = dataclasses.replace(truth, boxes=tuple(boxes))
    source = ArraySource(maps, logits, unreadable=[UNREADABLE, UNKNOWN_SIZE])
    judged = judge_split(source, truth, protocol, THRESHOLDS, tmp_path / "a", selection=selection)
    (records,) = judged.records()
    (as_truth,) = judge_split(source, selection, protocol, THRESHOLDS, tmp_path / "b").records()
    (plain,) = judge_split(source, truth, protocol, THRESHOLDS, tmp_path / "c").records()
    np.testing.assert_array_equal(records["reached_selection"], as_truth["reached_largest"])
    np.testing.assert_array_equal(records["reached_largest"], plain["reached_largest"])
    assert not records["reached_selection"][[4, UNREADABLE, UNKNOWN_SIZE]].any()
    chosen = judged.by_selection()
    assert chosen.ground_truth is selection
    (by_selection,) = chosen.records()
    np.testing.assert_array_equal(by_selection["reached_largest"], as_truth["reached_largest"])
    assert {name for name in vars(judged) if getattr(chosen, name) is not getattr(judged, name)} == {"ground_truth"}


def test_pixels_are_counted_where_an_image_and_its_mask_can_be_read(tmp_path):
    truth, maps, logits = split()

    def some_masks(index, size):
        assert size == (HEIGHT, WIDTH)
        return None if index == 1 else mask_of(index, size)

    source = ArraySource(maps, logits, unreadable=[UNREADABLE, UNKNOWN_SIZE])
    judged = judge_split(source, truth, PROTOCOL, THRESHOLDS, tmp_path, mask_of=some_masks)
    kept = [image for image in range(14) if image not in (1, UNREADABLE, UNKNOWN_SIZE)]
    masks = np.stack([mask_of(image, (HEIGHT, WIDTH)) for image in kept])
    fused = fuse_steps(maps, softmax(logits), truth.labels)
    assert list(judged.pixel_metrics) == list(ROWS)
    for row, name in enumerate(ROWS):
        metric = PixelAveragePrecision()
        metric.update((maps[row] if row < 2 else fused[name].score_maps)[kept], masks)
        assert judged.pixel_metrics[name].compute() == pytest.approx(metric.compute(), abs=1e-9)


def test_attention_shift_is_told_the_hits_that_were_decided(tmp_path):
    truth, maps, logits = split()
    strict = PROTOCOLS["above"]
    source = ArraySource(maps, logits, unreadable=[UNREADABLE, UNKNOWN_SIZE])
    options = {"mask_of": mask_of, "with_attention_shift": True}
    judged = judge_split(source, truth, strict, THRESHOLDS, tmp_path, **options)
    (records,) = judged.records()
    expected = AttentionShift(2, [0.35, 0.45])
    for image in range(14):
        if image in (UNBOXED, UNREADABLE, UNKNOWN_SIZE):
            continue
        boxes = strict.map_boxes(truth.boxes[image], truth.sizes[image], (WIDTH, HEIGHT))
        expected.update(
            maps[:, image : image + 1],
            [boxes],
            truth.sizes[image : image + 1],
            logits[:, image : image + 1],
            [mask_of(image, (HEIGHT, WIDTH))],
            records["hit"][image, :2, 0, 0][:, None],
        )
    assert judged.attention_shift.compute() == expected.compute()


@pytest.mark.parametrize("steps", [1, 3])
def test_attention_shift_needs_several_steps_and_some_box(tmp_path, steps):
    truth, maps, logits = tiny_split(num_images=5, steps=steps)
    source, fixed = ArraySource(maps, logits), Thresholds(0.3)
    judged = judge_split(source, truth, PROTOCOL, fixed, tmp_path / "a", with_attention_shift=True)
    assert (judged.attention_shift is None) == (steps == 1)
    assert judge_split(source, truth, PROTOCOL, fixed, tmp_path / "b").attention_shift is None
    unboxed = dataclasses.replace(truth, boxes=tuple(one[:0] for one in truth.boxes))
    judged = judge_split(source, unboxed, PROTOCOL, fixed, tmp_path / "c", with_attention_shift=True)
    assert judged.attention_shift is None

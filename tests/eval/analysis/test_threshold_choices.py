"""Thresholds without boxes, with selection boxes and with the validation split's, against an independent count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny_source import HEIGHT, PROTOCOL, WIDTH, ArraySource, mask_of, tiny_split

from eval.analysis.curves import count_split
from eval.analysis.figures import row_figures
from eval.judging.split import judge_split
from eval.judging.thresholds import Thresholds
from eval.options import EvaluationOptions
from eval.output.document import threshold_choices
from eval.output.table import threshold_table
from eval.protocols import get_protocol
from tdam.errors import UsageError
from wsol.boxes import boxes_from_score_map, boxes_of_cut, quantize_score_map
from wsol.boxes.thresholds import find_rule
from wsol.data import DatasetError
from wsol.sweep import box_iou

RULES = ("otsu", "mean+0.5std", "percentile90x0.5", "area0.3")


def found(box, boxes):
    return bool((box_iou(box[None], boxes) >= 0.5).any())


def judge(tmp_path, truth, maps, logits, thresholds, protocol=PROTOCOL, **options):
    source = ArraySource(maps, logits, unreadable=[3])
    return judge_split(source, truth, protocol, thresholds, tmp_path, mask_of=mask_of, **options)


def test_every_rule_counts_the_box_at_each_maps_own_cut(tmp_path):
    truth, maps, logits = tiny_split()
    truth = replace(truth, boxes=(*truth.boxes[:5], np.zeros((0, 4), np.int64), *truth.boxes[6:]))
    judged = judge(tmp_path, truth, maps, logits, Thresholds(0.2, rules=RULES))
    counts = count_split(judged)
    for step in range(2):
        figures = row_figures(judged, counts, str(step + 1))
        for rule in RULES:
            hits, right = [], []
            for image in range(len(truth)):
                if not len(truth.boxes[image]):
                    continue
                quantized = quantize_score_map(maps[step, image])
                box = boxes_of_cut(quantized, find_rule(rule).cut(quantized))[0]
                boxes = PROTOCOL.map_boxes(truth.boxes[image], truth.sizes[image], (WIDTH, HEIGHT))
                hits.append(image != 3 and found(box, boxes))
                right.append(logits[step, image].argmax() == truth.labels[image])
            assert 0 < sum(hits) < len(hits)
            assert figures["by_rule"][rule]["gt_known_loc"] == pytest.approx(100 * np.mean(hits))
            assert figures["by_rule"][rule]["top1_loc"] == pytest.approx(100 * np.mean(np.logical_and(hits, right)))


def selection_of(truth, seed=5):
    """Other boxes than the truth's, and none for two images."""
    random = np.random.default_rng(seed)
    boxes = [one[:1] + random.integers(-6, 7, (1, 4)) for one in truth.boxes]
    boxes = [np.clip(one, 0, [40, 30, 47, 35]) for one in boxes]
    boxes[0] = boxes[4] = np.zeros((0, 4), np.int64)
    return replace(truth, boxes=tuple(boxes), masks=None)


@pytest.mark.parametrize("protocol", ["wsolevaluation", "bas"])
def test_selection_boxes_choose_the_threshold_that_meets_most_of_them(tmp_path, protocol):
    truth, maps, logits = tiny_split()
    selection = selection_of(truth)
    protocol = get_protocol(protocol)
    judged = judge(tmp_path / "a", truth, maps, logits, Thresholds(0.2), protocol, selection=selection)
    # The same split, as if these boxes were its ground truth.
    expected = judge(tmp_path / "b", selection, maps, logits, Thresholds(0.2), protocol)
    ours, theirs = count_split(judged.by_selection()).curves, count_split(expected).curves
    for row in judged.rows:
        assert np.array_equal(ours[row].localization["gt_known_loc"], theirs[row].localization["gt_known_loc"])
        assert ours[row].best_threshold == theirs[row].best_threshold
    # The ground truth's own figures do not know of them.
    plain = judge(tmp_path / "c", truth, maps, logits, Thresholds(0.2), protocol)
    for row, curves in count_split(plain).curves.items():
        assert np.array_equal(curves.localization["top1_loc"], count_split(judged).curves[row].localization["top1_loc"])


def test_all_ways_stand_side_by_side_with_what_they_cost(tmp_path):
    truth, maps, logits = tiny_split()
    thresholds = Thresholds(
        0.2, dict.fromkeys(("1", "2", "mean", "max", "confidence"), 0.5), "val", {"1": 0.3, "2": 0.35}, "x", RULES
    )
    judged = judge(tmp_path, truth, maps, logits, thresholds)
    figures = row_figures(judged, count_split(judged), "2")
    choices = {way["choice"]: way for way in threshold_choices(figures)}
    assert list(choices) == [*RULES, "fixed", "selection", "val", "oracle"]
    assert [choices[name]["boxes"] for name in ("otsu", "fixed", "selection", "val", "oracle")] == [
        *("none", "none", "selection", "val", "test")
    ]
    for name, threshold in (("fixed", 0.2), ("selection", 0.35), ("val", 0.5)):
        hits = [
            image != 3
            and found(
                boxes_from_score_map(maps[1, image], threshold)[0],
                PROTOCOL.map_boxes(truth.boxes[image], truth.sizes[image], (WIDTH, HEIGHT)),
            )
            for image in range(len(truth))
        ]
        assert choices[name]["gt_known_loc"] == pytest.approx(100 * np.mean(hits))
        assert choices[name]["below_oracle"] == pytest.approx(choices["oracle"]["gt_known_loc"] - 100 * np.mean(hits))
    table = threshold_table({"model": "net", "threshold_choices": list(choices.values())})
    assert table.row_count == len(choices)
    assert threshold_table({"model": "net", "threshold_choices": None}) is None


def test_a_second_list_of_boxes_is_read_and_its_faults_are_named(tmp_path):
    truth, _, _ = tiny_split()
    path = tmp_path / "localization.txt"
    path.write_text("2.png,1,2,10,12\n2.png,3,3,8,9\n5.png,0,0,4,4")
    other = truth.with_boxes(path)
    assert other.boxes[2].tolist() == [[1, 2, 10, 12], [3, 3, 8, 9]]
    assert [len(boxes) for boxes in other.boxes] == [0, 0, 2, 0, 0, 1, *[0] * 7]
    path.write_text("99.png,1,2,10,12")
    with pytest.raises(DatasetError, match=r"localization.txt:1: '99.png' is not among the image ids"):
        truth.with_boxes(path)
    path.write_text("")
    with pytest.raises(DatasetError, match="no boxes"):
        truth.with_boxes(path)
    sized = replace(truth, sizes=np.full((len(truth), 2), (30, 20)))
    path.write_text("2.png,1,2,30,20")
    assert sized.with_boxes(path).boxes[2].tolist() == [[1, 2, 30, 20]], "published lists end at the width"
    for box, of in (("10,2,1,12", truth), ("-1,2,10,12", truth), ("1,2,10,21", sized), ("1,2,31,12", sized)):
        path.write_text(f"5.png,0,0,4,4\n2.png,{box}")
        with pytest.raises(DatasetError, match=rf"localization.txt: {box} of 2.png are not x0,y0,x1,y1 within"):
            of.with_boxes(path)


@pytest.mark.parametrize("options", [{"val": False}, {"split": "val"}])
def test_selection_boxes_without_a_val_split_to_use_them_on_are_refused(tmp_path, options):
    with pytest.raises(UsageError, match="--selection-boxes are boxes of the val split"):
        EvaluationOptions("minibirds", "resnet_mini", selection_boxes=tmp_path / "boxes.txt", **options)

"""Choosing checkpoints by boxes that are not the split's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_source import tiny_split

from wsol.boxes import to_map_pixels
from wsol.metrics import MaxBoxAcc, MaxBoxAccV2
from wsol.training.validation import SelectionFigures


def test_figures_are_those_of_the_images_that_have_selection_boxes():
    truth, maps, logits = tiny_split()
    boxes = [one + np.array([1, 0, 3, 2]) for one in truth.boxes]
    boxes[3] = boxes[4] = boxes[5] = np.zeros((0, 4), np.int64)
    lists = replace(truth, boxes=tuple(boxes))
    figures = SelectionFigures(lists)
    for start in range(0, len(truth), 3):
        indices = list(range(start, min(start + 3, len(truth))))
        figures.update(indices, maps[1, indices], torch.from_numpy(logits[1, indices]), torch.zeros(len(indices)))
    kept = [index for index in range(len(truth)) if index not in (3, 4, 5)]
    expected, expected_v2 = MaxBoxAcc(), MaxBoxAccV2()
    in_map = [to_map_pixels(boxes[i], truth.sizes[i], maps.shape[:1:-1]).astype(np.int64) for i in kept]
    for metric in (expected, expected_v2):
        metric.update(torch.from_numpy(maps[1, kept]), in_map)
    found = figures.compute()
    assert found["selection_max_box_acc"] == pytest.approx(expected.compute()["max_box_acc"][0.5])
    assert found["selection_max_box_acc_v2"] == pytest.approx(expected_v2.compute()["mean"])
    assert 0 < found["selection_max_box_acc"] < 100

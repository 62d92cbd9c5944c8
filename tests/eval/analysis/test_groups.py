"""Groups of images against plain means of each group."""

from __future__ import annotations

import numpy as np
import pytest

from eval.analysis.groups import GroupCounts, size_buckets
from eval.judging.records import record_type


def test_size_buckets_take_the_largest_box_and_close_below() -> None:
    boxes = [np.array([[0, 0, 10, 10], [0, 0, 50, 50]]), np.array([[0, 0, 10, 99]]), np.array([[0, 0, 10, 100]])]
    assert size_buckets(boxes, np.array([[100, 100]] * 3)).tolist() == [2, 0, 1]


def test_group_counts_equal_means_of_the_groups_images_with_boxes() -> None:
    random = np.random.default_rng(1)
    records = np.zeros(200, record_type(2))
    groups = random.integers(0, 5, 200)
    records["boxed"] = (random.random(200) < 0.8) & (groups != 4)
    records["in_top1"] = random.random((200, 2)) < 0.5
    records["hit"] = (random.random(records["hit"].shape) < 0.5) & records["boxed"][:, None, None, None]
    records["iou"] = np.where(records["boxed"][:, None], random.random((200, 2)), np.nan)
    counts = GroupCounts(6)
    counts.update(groups[:70], records[:70], last=1)
    counts.update(groups[70:], records[70:], last=1)
    for group in range(4):
        of_group = records[groups == group]
        boxed = of_group[of_group["boxed"]]
        found = counts.percent(group)
        assert found["top1_cls"] == pytest.approx(100 * of_group["in_top1"][:, 1].mean())
        for place, figure in enumerate(("gt_known_loc", "top1_loc", "top5_loc")):
            assert found[figure] == pytest.approx(100 * boxed["hit"][:, 1, 0, place].mean())
        assert found["first_step"] == pytest.approx(100 * boxed["hit"][:, 0, 0, 0].mean())
        assert found["mean_iou"] == pytest.approx(100 * boxed["iou"][:, 1].mean())
    assert counts.percent(4)["gt_known_loc"] is None, "no image of the class has a box"
    assert counts.images.tolist() == np.bincount(groups, minlength=6).tolist()

"""States of unfinished runs: all comes back, and what belongs to another run is told apart."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from tiny_source import tiny_split
from torchmetrics import Metric

from eval.judging.state import Done, images_done, lists_digest, load_state, save_state
from tdam.errors import UserError
from tdam.files import write_checked
from wsol.data.ground_truth import MaskFiles

DONE = Done(5, "ab12", {"ü/1.png": "truncated"})
FACTS = {"model": "a", "batch_size": 4}


class Counter(Metric):
    """Counts in a table, and a list of values, which no state keeps."""

    def __init__(self, shape=(2, 3)):
        super().__init__()
        self.add_state("table", torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("values", [], dist_reduce_fx="cat")

    def update(self, table):
        self.table += table

    def compute(self):
        return self.table


def counted(table):
    counter = Counter(table.shape)
    counter.update(table)
    return counter


TABLE = torch.arange(6).reshape(2, 3)


def test_what_was_saved_comes_back(tmp_path):
    path = tmp_path / "state"
    one, other = counted(TABLE), counted(TABLE.T)
    other.table = other.table.T  # not contiguous
    save_state(path, DONE, {"one": one, "other": other}, FACTS)
    loaded = {"one": Counter(), "other": Counter()}
    assert load_state(path, loaded, FACTS) == DONE
    assert torch.equal(loaded["one"].table, TABLE)
    assert torch.equal(loaded["other"].table, TABLE)
    assert images_done(path) == 5


def test_a_run_without_counters_is_saved_too(tmp_path):
    save_state(tmp_path / "state", Done(), {}, {})
    assert load_state(tmp_path / "state", {}, {}) == Done(0, None, {})


def test_facts_are_compared_as_they_are_saved(tmp_path):
    facts = {"folder": tmp_path, "size": (3, 2)}
    save_state(tmp_path / "state", DONE, {}, facts)
    assert load_state(tmp_path / "state", {}, dict(reversed(facts.items()))) == DONE


def test_every_fact_that_differs_is_named(tmp_path):
    path = tmp_path / "state"
    save_state(path, DONE, {}, FACTS | {"limit": 3})
    with pytest.raises(UserError) as caught:
        load_state(path, {}, {"model": "b", "batch_size": 4, "threshold": 0.2})
    assert str(caught.value) == (
        f"{path} belongs to another run (limit was 3, is None, model was 'a', is 'b', threshold was None, is 0.2); "
        "give the same options, or --restart instead of --resume judges all images anew"
    )


@pytest.mark.parametrize(
    "metrics",
    [{"one": Counter((3, 2))}, {"one": Counter(), "more": Counter()}, {"another": Counter()}, {}],
    ids=["of another shape", "one more", "of another name", "one less"],
)
def test_other_counters_are_refused_and_stay_as_they_are(tmp_path, metrics):
    path = tmp_path / "state"
    save_state(path, DONE, {"one": counted(TABLE)}, FACTS)
    with pytest.raises(UserError, match=r"state belongs to another run \(it has other counters\); --restart"):
        load_state(path, metrics, FACTS)
    assert not any(metric.table.any() for metric in metrics.values())


def test_a_file_of_another_version_is_told_from_a_damaged_one(tmp_path):
    path = tmp_path / "state"
    write_checked(path, b"\x02\x00\x00\x00\x00\x00\x00\x00{}")
    with pytest.raises(UserError, match=r"state was written by another version .*; --restart"):
        images_done(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"state.*damaged.*; --restart"):
        images_done(path)


def test_a_digest_of_lists_knows_everything_they_say():
    truth, _, _ = tiny_split()
    labels, sizes, boxes = truth.labels.copy(), truth.sizes.copy(), truth.boxes
    labels[3] = (labels[3] + 1) % 7
    sizes[3] = 36, 48
    changed = [
        {"dataset": "other"},
        {"split": "val"},
        {"image_ids": ("other.png", *truth.image_ids[1:])},
        {"class_names": ("other", *truth.class_names[1:])},
        {"masks": tuple(MaskFiles(("mask.png",), "ignore.png") for _ in range(13))},
        {"labels": labels},
        {"sizes": sizes},
        {"boxes": (boxes[0] + 1, *boxes[1:])},
        {"boxes": (boxes[0].astype(np.float64), *boxes[1:])},
        {"boxes": (np.vstack([boxes[0], boxes[1]]), np.zeros((0, 4), np.int64), *boxes[2:])},
    ]
    digests = [lists_digest(dataclasses.replace(truth, **change)) for change in changed]
    assert len({lists_digest(truth), *digests}) == len(changed) + 1
    again, _, _ = tiny_split()
    assert lists_digest(again) == lists_digest(truth)

"""Class scores of one network with the maps of another."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_source import ArraySource, judge, tiny_split

from eval.analysis.curves import count_split
from eval.judging.process import Process
from eval.maps.logits import GivenLogits, LogitsWriter, read_logits
from tdam.errors import UserError


def write(path, ids, logits):
    np.savez(path, image_ids=np.array(ids), logits=logits)
    return path


def test_the_class_is_the_files_and_the_map_the_sources(tmp_path):
    truth, maps, logits = tiny_split()
    other = np.random.default_rng(3).normal(size=logits.shape[1:]).astype(np.float32)
    other[np.arange(len(truth)), truth.labels] += 2.0
    order = np.random.default_rng(4).permutation(len(truth))
    path = write(tmp_path / "a.npz", [truth.image_ids[i] for i in order], other[order])
    source = GivenLogits(ArraySource(maps, logits), read_logits(path, truth))
    ours = count_split(judge(tmp_path / "a", source, truth))
    # As if the network had given these scores itself.
    theirs = count_split(judge(tmp_path / "b", ArraySource(maps, np.stack([other] * len(maps))), truth))
    alone = count_split(judge(tmp_path / "c", ArraySource(maps, logits), truth))
    for row in ("1", "2"):
        assert ours.classification[row] == theirs.classification[row]
        for figure in ("gt_known_loc", "top1_loc", "top5_loc"):
            mine = ours.curves[row].localization[figure]
            assert np.array_equal(mine, theirs.curves[row].localization[figure])
        assert np.array_equal(mine_known(ours, row), mine_known(alone, row))
    assert ours.classification["2"] != alone.classification["2"]


def mine_known(counts, row):
    return counts.curves[row].localization["gt_known_loc"]


def test_what_is_written_is_what_is_read(tmp_path):
    truth, maps, logits = tiny_split()
    writer = LogitsWriter(tmp_path / "b.npz", truth)
    for batch in ArraySource(maps, logits).batches(range(len(truth))):
        writer.add(batch)
    writer.write(Process())
    np.testing.assert_array_equal(read_logits(tmp_path / "b.npz", truth), logits[-1])


def test_files_that_do_not_fit_are_refused_by_name(tmp_path):
    truth, _, logits = tiny_split()
    ids, scores = list(truth.image_ids), logits[0]
    broken = scores.copy()
    broken[2, 1] = np.nan
    cases = [
        (write(tmp_path / "few.npz", ids[1:], scores[1:]), r"few\.npz lacks 1 of 13 images, first 0\.png"),
        (write(tmp_path / "wide.npz", ids, scores[:, :5]), r"wide\.npz has scores of 5 classes, tiny has 7"),
        (write(tmp_path / "nan.npz", ids, broken), r"nan\.npz: a score of 2\.png is not finite"),
        (write(tmp_path / "flat.npz", ids, scores[0]), r"flat\.npz is not an \.npz file with image_ids"),
        (tmp_path / "missing.npz", r"missing\.npz is not an \.npz file"),
    ]
    np.savez(tmp_path / "other.npz", scores=scores)
    (tmp_path / "text.npz").write_text("no file of NumPy")
    np.save(tmp_path / "array.npy", scores)
    cases += [(tmp_path / name, rf"{name} is not an \.npz file") for name in ("other.npz", "text.npz", "array.npy")]
    for path, message in cases:
        with pytest.raises(UserError, match=message):
            read_logits(path, truth)

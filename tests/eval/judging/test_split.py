"""A judged split against the metric classes, which count the same by other code."""

from __future__ import annotations

import dataclasses
import functools
import shutil

import numpy as np
import pytest
import torch.multiprocessing as mp
from tiny_source import (
    HEIGHT,
    PROTOCOL,
    WIDTH,
    ArraySource,
    free_port,
    integers,
    judge,
    judge_as,
    mask_of,
    pxap,
    tiny_split,
)

from eval.analysis.curves import count_split
from eval.judging.process import Process
from eval.judging.records import read_records
from eval.judging.split import SECONDS_BETWEEN_SAVES, Judging, judge_split, unfinished
from eval.judging.thresholds import Thresholds
from eval.measures.tdam_steps import filter_steps, heat_map_box, right_at_any_step
from eval.protocols import get_protocol
from tdam.errors import UserError
from wsol.metrics import LocalizationAccuracy, MaxBoxAcc, MaxBoxAccV2, PixelAveragePrecision


def test_curves_are_those_of_the_metrics(tmp_path):
    truth, maps, logits = tiny_split()
    judged = judge(tmp_path, ArraySource(maps, logits), truth)
    assert judged.rows == ("1", "2", "mean", "max", "confidence")
    boxes = [PROTOCOL.map_boxes(b, s, (WIDTH, HEIGHT)) for b, s in zip(truth.boxes, truth.sizes, strict=True)]
    counts = count_split(judged)
    for step in range(2):
        v1, v2, localization = MaxBoxAcc(), MaxBoxAccV2(), LocalizationAccuracy()
        v1.update(maps[step], boxes)
        v2.update(maps[step], boxes)
        localization.update(maps[step], boxes, logits[step], truth.labels)
        curves = counts.curves[str(step + 1)]
        for place, iou in enumerate((0.3, 0.5, 0.7)):
            np.testing.assert_allclose(curves.largest[iou], v1.num_correct[place].numpy() * 100 / 13)
            np.testing.assert_allclose(curves.all[iou], v2.num_correct[place].numpy() * 100 / 13)
        assert curves.max_box_acc() == pytest.approx(v1.compute()["max_box_acc"])
        for name, curve in localization.curves().items():
            np.testing.assert_allclose(curves.localization[name], curve)
        known = localization.compute()
        assert counts.classification[str(step + 1)]["top1_cls"] == pytest.approx(known["top1_cls"])
        assert curves.best_threshold == localization.best_threshold("gt_known_loc")
        pixels = PixelAveragePrecision()
        pixels.update(maps[step], np.stack([mask_of(i, (HEIGHT, WIDTH)) for i in range(13)]))
        assert pxap(judged)[str(step + 1)] == pytest.approx(pixels.compute(), abs=1e-12)


def test_any_step_is_right_where_some_step_is(tmp_path):
    truth, maps, logits = tiny_split(num_images=17, steps=3)
    judged = judge(tmp_path, ArraySource(maps, logits), truth)
    (records,) = judged.records()
    top1 = records["in_top1"][:, :3]
    hit = records["iou_fixed"][:, :3] >= 0.5
    counts = count_split(judged)
    fixed = counts.curves["any"].at_policy["fixed"]
    assert fixed == pytest.approx(counts.curves["any"].at(0.2))
    assert fixed["gt_known_loc"] == pytest.approx(hit.any(axis=1).mean() * 100)
    assert fixed["top1_loc"] == pytest.approx((hit & top1).any(axis=1).mean() * 100)
    assert counts.classification["any"]["top1_cls"] == pytest.approx(top1.any(axis=1).mean() * 100)


def test_macro_mean_weighs_classes_alike(tmp_path):
    truth, maps, logits = tiny_split(num_images=23, steps=1, classes=4)
    macro = dataclasses.replace(PROTOCOL, macro=True)
    judged = judge_split(ArraySource(maps, logits), truth, macro, Thresholds(0.2), tmp_path)
    (records,) = judged.records()
    hit = records["iou_fixed"][:, 0] >= 0.5
    per_class = [hit[truth.labels == label].mean() for label in np.unique(truth.labels)]
    curves = count_split(judged).curves["1"]
    assert curves.at_policy["fixed"]["gt_known_loc"] == pytest.approx(np.mean(per_class) * 100)
    assert curves.at(0.2)["gt_known_loc"] == pytest.approx(np.mean(per_class) * 100)


def test_an_unreadable_image_is_a_miss_and_is_listed(tmp_path):
    truth, maps, logits = tiny_split()
    whole = judge(tmp_path / "whole", ArraySource(maps, logits), truth)
    judged = judge(tmp_path / "broken", ArraySource(maps, logits, unreadable=[2, 9]), truth)
    assert judged.faults == {"2.png": "truncated", "9.png": "truncated"}
    counts = count_split(judged)
    assert counts.unreadable == [2, 9]
    (records,) = judged.records()
    (all_records,) = whole.records()
    kept = [image for image in range(13) if image not in (2, 9)]
    np.testing.assert_array_equal(records[kept]["reached_all"], all_records[kept]["reached_all"])
    expected = (all_records[kept]["in_top1"][:, 0]).sum() * 100 / 13
    assert counts.classification["1"]["top1_cls"] == pytest.approx(expected)
    ceiling = all_records[kept]["reached_largest"][:, 0].max(axis=1) >= 3
    assert counts.curves["1"].localization["gt_known_loc"].max() <= ceiling.sum() * 100 / 13 + 1e-9


def test_a_killed_run_continues_with_identical_results(tmp_path, monkeypatch):
    truth, maps, logits = tiny_split(num_images=22)
    whole = judge(tmp_path / "whole", ArraySource(maps, logits), truth)
    monkeypatch.setattr("eval.judging.split.SECONDS_BETWEEN_SAVES", -1.0)
    assert SECONDS_BETWEEN_SAVES > 0
    with pytest.raises(KeyboardInterrupt):
        judge(tmp_path / "killed", ArraySource(maps, logits, stop_after=3), truth)
    source = ArraySource(maps, logits)
    seen = []
    resumed = judge(tmp_path / "killed", source, truth, resume=True, progress=seen.append)
    assert seen[0] == 16, "the first three batches are not done again"
    assert integers(resumed) == integers(whole)
    assert pxap(resumed) == pxap(whole)


def test_a_state_of_other_options_or_lists_is_refused(tmp_path):
    truth, maps, logits = tiny_split()
    judge(tmp_path, ArraySource(maps, logits), truth, facts={"model": "a"})
    with pytest.raises(UserError, match=r"model was 'a', is 'b'.*--restart"):
        judge(tmp_path, ArraySource(maps, logits), truth, facts={"model": "b"}, resume=True)
    moved = dataclasses.replace(truth, boxes=(truth.boxes[0] + 1, *truth.boxes[1:]))
    with pytest.raises(UserError, match="lists was"):
        judge(tmp_path, ArraySource(maps, logits), moved, facts={"model": "a"}, resume=True)


def test_a_flipped_bit_anywhere_in_what_a_killed_run_left_is_refused_or_changes_nothing(tmp_path, monkeypatch):
    truth, maps, logits = tiny_split(num_images=22)
    whole = judge(tmp_path / "whole", ArraySource(maps, logits), truth)
    monkeypatch.setattr("eval.judging.split.SECONDS_BETWEEN_SAVES", -1.0)
    with pytest.raises(KeyboardInterrupt):
        judge(tmp_path / "killed", ArraySource(maps, logits, stop_after=3), truth)
    random = np.random.default_rng(0)
    files = sorted(path for path in (tmp_path / "killed").iterdir() if path.is_file())
    assert len(files) == 2
    refused = []
    for attempt in range(60):
        folder = tmp_path / str(attempt)
        shutil.copytree(tmp_path / "killed", folder)
        path = folder / files[attempt % 2].name
        content = bytearray(path.read_bytes())
        bit = random.integers(8 * len(content))
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        try:
            resumed = judge(folder, ArraySource(maps, logits), truth, resume=True)
        except UserError as error:
            refused.append((path.name, str(error)))
            continue
        assert integers(resumed) == integers(whole)
        assert pxap(resumed) == pxap(whole)
    assert len(refused) >= 50
    assert all(name in message and "--restart" in message for name, message in refused)


def test_faults_seen_before_a_run_was_killed_are_kept(tmp_path, monkeypatch):
    truth, maps, logits = tiny_split(num_images=22)
    monkeypatch.setattr("eval.judging.split.SECONDS_BETWEEN_SAVES", -1.0)
    with pytest.raises(KeyboardInterrupt):
        judge(tmp_path, ArraySource(maps, logits, unreadable=[1], stop_after=3), truth)
    resumed = judge(tmp_path, ArraySource(maps, logits), truth, resume=True)
    assert resumed.faults == {"1.png": "truncated"}


def test_what_was_judged_before_an_error_is_saved(tmp_path):
    truth, maps, logits = tiny_split(num_images=22)
    whole = judge(tmp_path / "whole", ArraySource(maps, logits), truth)
    with pytest.raises(KeyboardInterrupt):
        judge(tmp_path / "stopped", ArraySource(maps, logits, stop_after=3), truth)
    assert unfinished(tmp_path) == 22 + 12
    seen = []
    resumed = judge(tmp_path / "stopped", ArraySource(maps, logits), truth, resume=True, progress=seen.append)
    assert seen[0] == 16
    assert integers(resumed) == integers(whole)


def test_a_batch_that_was_judged_in_part_is_judged_anew(tmp_path):
    truth, maps, logits = tiny_split(num_images=22)
    whole = judge(tmp_path / "whole", ArraySource(maps, logits), truth)

    def broken_mask(index, size):
        if index == 9:
            raise UserError("no mask")
        return mask_of(index, size)

    with pytest.raises(UserError, match="no mask"):
        judge_split(
            ArraySource(maps, logits), truth, PROTOCOL, Thresholds(0.2), tmp_path / "broken", mask_of=broken_mask
        )
    seen = []
    resumed = judge(tmp_path / "broken", ArraySource(maps, logits), truth, resume=True, progress=seen.append)
    assert seen[0] == 4, "the pixels of the batch were counted in part, so nothing was saved"
    assert pxap(resumed) == pxap(whole)
    assert integers(resumed) == integers(whole)


def test_a_score_map_that_cannot_be_written_is_written_by_the_resumed_run(tmp_path):
    truth, maps, logits = tiny_split(num_images=22)
    written = []

    def full_disk(batch):
        if len(written) == 2:
            raise UserError("no space left")
        written.append(batch.indices.tolist())

    with pytest.raises(UserError, match="no space"):
        judge(tmp_path, ArraySource(maps, logits), truth, watch=full_disk)
    judge(tmp_path, ArraySource(maps, logits), truth, resume=True, watch=lambda b: written.append(b.indices.tolist()))
    assert [index for batch in written for index in batch] == list(range(22))


@pytest.mark.parametrize("num_images", [13, 1])
def test_two_processes_count_the_same_integers(tmp_path, num_images):
    truth, maps, logits = tiny_split(num_images=num_images)
    alone = judge(tmp_path / "one", ArraySource(maps, logits, unreadable=[1]), truth)
    with mp.Manager() as manager:
        answers = manager.dict()
        mp.spawn(judge_as, args=(2, num_images, tmp_path / "two", free_port(), answers), nprocs=2)
        for rank in range(2):
            counts, precision, faults = answers[rank]
            assert counts == integers(alone)
            assert precision == pxap(alone)
            assert faults == alone.faults


def test_records_of_two_processes_are_those_of_one_in_the_same_order(tmp_path, monkeypatch):
    """The two are judged here one after the other; the second hears of the first's faults."""
    truth, maps, logits = tiny_split(num_images=14)
    source = ArraySource(maps, logits, batch_size=3, unreadable=[1, 4, 12])
    alone = judge(tmp_path / "one", source, truth)
    gathered = []

    def gather(values, value):
        gathered.append(value)
        values[:] = [*gathered, {}][:2]

    monkeypatch.setattr("torch.distributed.barrier", lambda: None)
    monkeypatch.setattr("torch.distributed.all_gather_object", gather)
    monkeypatch.setattr(Process, "collect", lambda process, paths: None)  # they share a folder
    for rank in range(2):
        both = judge(tmp_path / "two", source, truth, process=Process(rank, 2))
    monkeypatch.setattr("eval.judging.split.read_records", functools.partial(read_records, chunk=3))
    kept = np.concatenate(list(both.records()))
    assert kept.tobytes() == np.concatenate(list(alone.records())).tobytes()
    assert both.faults == alone.faults == {f"{image}.png": "truncated" for image in (1, 4, 12)}


def test_a_state_is_saved_when_more_than_ten_seconds_have_passed(tmp_path, monkeypatch):
    truth, maps, logits = tiny_split(num_images=22)
    now, saved = [1000.0], []

    def five_seconds(batch):
        now[0] += 5

    monkeypatch.setattr("eval.judging.split.time.monotonic", lambda: now[0])
    monkeypatch.setattr("eval.judging.split.save_state", lambda path, done, *_: saved.append(done.images))
    judge(tmp_path, ArraySource(maps, logits), truth, watch=five_seconds)
    assert saved == [12, 22, 22], "after 15 and 30 seconds, and at the end"


@pytest.mark.parametrize("change", ["processes", "batch_size", "lists", "selection", "record_bytes", "mine"])
def test_a_state_knows_what_it_is_of(tmp_path, change):
    truth, maps, logits = tiny_split()
    other = dataclasses.replace(truth, labels=(truth.labels + 1) % 7)

    def run(folder, changed, **options):
        source = ArraySource(maps, logits, batch_size=3 if changed == "batch_size" else 4)
        thresholds = Thresholds(0.2, rules=("otsu",) if changed == "record_bytes" else ())
        process = Process(0, 2) if changed == "processes" else Process()
        return Judging(
            source,
            other if changed == "lists" else truth,
            PROTOCOL,
            thresholds,
            folder,
            process=process,
            selection=other if changed == "selection" else None,
            facts={"mine": changed == "mine"},
            **options,
        )

    with run(tmp_path, None) as judging:
        judging.take(next(ArraySource(maps, logits).batches([0, 1])))
    with pytest.raises(UserError, match=rf"[(\s]{change} was "):
        run(tmp_path, change, resume=True)
    with run(tmp_path, None, resume=True) as judging:
        assert judging.left() == list(range(2, 13))
    with run(tmp_path, None) as judging:
        assert judging.left() == list(range(13)), "without resume all are judged anew"


def test_the_tdam_protocol_also_gives_the_authors_accuracy(tmp_path):
    truth, maps, logits = tiny_split(num_images=9, steps=3)
    judged = judge_split(ArraySource(maps, logits), truth, get_protocol("tdam"), Thresholds(0.2), tmp_path)
    cams = maps[..., ::4, ::4]
    boxes = np.array([[heat_map_box(cam) for cam in of_step] for of_step in cams])
    confident = np.exp(logits).max(axis=-1) / np.exp(logits).sum(axis=-1)
    filtered = filter_steps(boxes, confident, logits)
    for k, name in ((1, "top1_cls"), (5, "top5_cls")):
        right = right_at_any_step(filtered, truth.labels, k)
        assert judged.filtered_steps.compute()[name] == pytest.approx(100 * right.mean())
    plain = judge_split(ArraySource(maps, logits), truth, PROTOCOL, Thresholds(0.2), tmp_path / "plain")
    assert plain.filtered_steps is None

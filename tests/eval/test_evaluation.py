"""Whole evaluations of a small dataset on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.multiprocessing as mp
from PIL import Image
from tiny_dataset import CLASSES, write_checkpoint, write_dataset
from tiny_source import evaluate_as, free_port

import wsol
from eval.evaluation import evaluate
from eval.judging.process import Process
from eval.judging.split import unfinished
from eval.options import EvaluationOptions
from eval.protocols import get_protocol
from eval.run import PARTIAL
from tdam.errors import CheckpointError, UsageError, UserError
from wsol.data import ImageError, load_dataset
from wsol.metrics import LocalizationAccuracy, MaxBoxAcc, MaxBoxAccV2
from wsol.results import read_results

FIXED_KEYS = {"schema", "model", "dataset", "protocol", "environment", "images", "metrics", "steps", "thresholds"}
FIGURES = {"top1_cls", "top5_cls", "gt_known_loc", "top1_loc", "top5_loc", "max_box_acc", "max_box_acc_v2"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return write_dataset(folder / "things"), write_checkpoint(folder / "weights.safetensors")


def run(data, **options):
    dataset, checkpoint = data
    base = {"dataset": str(dataset), "model": "resnet_mini_tdam", "checkpoint": checkpoint, "batch_size": 3}
    return evaluate(EvaluationOptions(**{**base, **options}), Process(), torch.device("cpu"))


def test_results_hold_every_fixed_key_and_agree_with_the_metrics(data, tmp_path):
    results = run(data, output=tmp_path)
    assert results.keys() >= FIXED_KEYS
    assert json.loads((tmp_path / "results.json").read_text()) == json.loads(json.dumps(results))
    assert results["images"] == 7
    assert list(results["steps"]) == ["1", "2"]
    assert results["metrics"] == results["steps"]["2"]
    assert all(figures.keys() >= FIGURES for figures in results["steps"].values())
    assert "7 images" in results["thresholds"]["chosen_on"]
    assert results["baselines"]["centre_box"]["gt_known_loc"] >= results["baselines"]["full_image"]["gt_known_loc"]
    for row in ("1", "2"):
        assert sum(results["breakdown"][row].values()) == 7
        low, high = results["intervals"]["rows"][row]["gt_known_loc"]["val"]
        assert low <= results["steps"][row]["gt_known_loc"]["val"] <= high

    dataset = load_dataset(str(data[0]), "test")
    network = wsol.open_trained("resnet_mini_tdam", checkpoint=data[1])
    dataset.transform = wsol.Localizer(network)._transform
    images, labels, _ = zip(*(dataset[i] for i in range(7)), strict=True)
    cams = wsol.class_activation_maps(network.model, torch.stack(images), torch.tensor(labels))
    maps = wsol.score_maps(cams.maps, size=(96, 96))
    truth, protocol = dataset.ground_truth, get_protocol("wsolevaluation")
    boxes = [protocol.map_boxes(b, s, (96, 96)) for b, s in zip(truth.boxes, truth.sizes, strict=True)]
    for step in range(2):
        v1, v2, localization = MaxBoxAcc(), MaxBoxAccV2(), LocalizationAccuracy()
        v1.update(maps[step], boxes)
        v2.update(maps[step], boxes)
        localization.update(maps[step], boxes, cams.logits[step], torch.tensor(labels))
        figures = results["steps"][str(step + 1)]
        assert figures["max_box_acc"] == pytest.approx(v1.compute()["max_box_acc"][0.5])
        assert figures["max_box_acc_v2"] == pytest.approx(v2.compute()["mean"])
        assert figures["top5_cls"] == pytest.approx(localization.compute()["top5_cls"])
        for name, at_fixed in localization.at_threshold(0.2).items():
            assert figures[name]["fixed"] == pytest.approx(at_fixed)
            assert figures[name]["oracle"] == pytest.approx(localization.compute()[name])
        chosen = results["thresholds"]["val"][str(step + 1)]
        assert figures["gt_known_loc"]["val"] == pytest.approx(localization.at_threshold(chosen)["gt_known_loc"])


def test_files_hold_one_row_per_image_and_step(data, tmp_path):
    run(data, output=tmp_path)
    predictions = pd.read_csv(tmp_path / "predictions.csv")
    assert predictions[["image", "step"]].value_counts().max() == 1
    assert len(predictions) == 7 * 2
    assert set(predictions["class_name"]) <= set(CLASSES)
    curves = pd.read_csv(tmp_path / "curves.csv", dtype={"step": str})
    assert set(curves["step"]) == {"1", "2", "mean", "max", "confidence", "any"}
    assert (curves.groupby("step").size() == 1000).all()


def test_predicted_boxes_are_those_a_localizer_finds(data, tmp_path):
    results = run(data, output=tmp_path, val=False, threshold=0.3)
    assert results["thresholds"]["val"] is None
    assert results["metrics"]["gt_known_loc"]["val"] is None
    network = wsol.open_trained("resnet_mini_tdam", checkpoint=data[1])
    found = wsol.Localizer(network, threshold=0.3)([data[0] / "test" / f"{i}.png" for i in range(7)])
    predictions = pd.read_csv(tmp_path / "predictions.csv")
    for localization in found:
        rows = predictions[predictions["image"].str.endswith(localization.path.name)].sort_values("step")
        for step, (_, row) in zip(localization.steps, rows.iterrows(), strict=True):
            assert row[[f"predicted_{c}" for c in ("x0", "y0", "x1", "y1")]].tolist() == step.box.tolist()
            assert row["class_name"] == step.label
            assert row["confidence"] == pytest.approx(step.score, abs=1e-4)


def test_saved_score_maps_score_the_same_without_the_network(data, tmp_path):
    with_network = run(data, output=tmp_path / "a", save_score_maps=tmp_path / "maps", val=False)
    from_maps = run(data, output=tmp_path / "b", score_maps=tmp_path / "maps", model=None, checkpoint=None)
    for step in ("1", "2"):
        ours, theirs = from_maps["steps"][step], with_network["steps"][step]
        assert ours["gt_known_loc"] == theirs["gt_known_loc"]
        assert ours["max_box_acc_v2"] == theirs["max_box_acc_v2"]
        assert ours["top1_cls"] is None
        assert ours["top1_loc"] == {"fixed": None, "val": None, "oracle": None}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_saved_score_maps_have_the_type_that_was_asked_for(data, tmp_path, dtype):
    run(data, output=tmp_path / "a", save_score_maps=tmp_path / "maps", score_map_dtype=dtype, val=False, bootstrap=0)
    saved = [np.load(path) for path in sorted((tmp_path / "maps").rglob("*.npy"))]
    assert len(saved) == 7
    assert {one.dtype for one in saved} == {np.dtype(dtype)}
    assert all(one.min() == 0 and one.max() == 1 for one in saved)


def test_float64_maps_hold_the_digits_of_float32(data, tmp_path):
    for dtype in ("float32", "float64"):
        run(data, output=tmp_path / dtype, save_score_maps=tmp_path / f"maps-{dtype}", score_map_dtype=dtype, val=False)
    for path in (tmp_path / "maps-float32").rglob("*.npy"):
        wide = np.load(tmp_path / "maps-float64" / path.relative_to(tmp_path / "maps-float32"))
        np.testing.assert_array_equal(wide, np.load(path).astype(np.float64))


def test_thresholds_of_an_earlier_result_are_used(data, tmp_path):
    first = run(data, output=tmp_path)
    again = run(data, val_results=tmp_path / "results.json")
    assert again["thresholds"]["val"] == first["thresholds"]["val"]
    assert "read from" in again["thresholds"]["chosen_on"]


def test_a_limit_keeps_all_classes_in(data):
    results = run(data, limit=3)
    assert results["images"] == 3
    assert results["data"]["limit"] == 3


def test_an_unreadable_image_stops_or_counts_as_a_miss(data, tmp_path):
    dataset = write_dataset(tmp_path / "broken")
    victim = dataset / "test" / "3.png"
    victim.write_bytes(victim.read_bytes()[:200])
    with pytest.raises(ImageError, match=r"3\.png"):
        run((dataset, data[1]), val=False)
    results = run((dataset, data[1]), val=False, on_error="count", workers=1)
    assert results["images"] == 7
    assert len(results["faults"]["unreadable"]) == 1
    assert results["metrics"]["max_box_acc_by_iou"]["0.3"] <= 6 / 7 * 100 + 1e-9


def test_untrained_and_foreign_weights_are_refused(data, tmp_path):
    untrained = write_checkpoint(tmp_path / "untrained.safetensors", trained=False)
    with pytest.raises(CheckpointError, match="untrained"):
        run(data, checkpoint=untrained)
    with pytest.raises(CheckpointError, match="--model resnet_mini_tdam"):
        run(data, model="resnet_mini")
    with pytest.raises(UserError, match="wsol-train --model resnet18_tdam"):
        run(data, model="resnet18_tdam", checkpoint=None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "--model NAME"),
        ({"model": "x", "resume": True}, "--output"),
        ({"model": "x", "limit": 0}, "--limit"),
        ({"model": "x", "threshold": 1.0}, "--threshold"),
        ({"model": "x", "method": "grad-cam", "compile": True}, "--method cam"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        EvaluationOptions(dataset="minibirds", **options)


def test_results_of_another_schema_are_refused(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_results(tmp_path)
    (tmp_path / "results.json").write_text('{"schema": "other"}')
    with pytest.raises(UserError, match="schema"):
        read_results(tmp_path)
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(UserError, match="readable"):
        read_results(tmp_path / "results.json")


def test_two_runs_give_the_same_records(data, tmp_path):
    first, second = run(data, output=tmp_path / "a"), run(data, output=tmp_path / "b", batch_size=7)
    assert first["steps"] == second["steps"]
    a, b = (pd.read_csv(tmp_path / name / "predictions.csv") for name in "ab")
    np.testing.assert_array_equal(a["x0"], b["x0"])


@pytest.fixture
def own(tmp_path):
    """A copy of the dataset whose files may be spoilt, and the checkpoint that knows its classes."""
    return write_dataset(tmp_path / "things", images=6), write_checkpoint(tmp_path / "weights.safetensors")


SPOILT = {"missing": None, "empty": b"", "garbage": b"no image", "truncated": 400}


@pytest.mark.parametrize("kind", SPOILT)
def test_an_image_that_cannot_be_read_is_counted_as_a_miss(own, kind, tmp_path):
    image, content = own[0] / "test/2.png", SPOILT[kind]
    image.unlink() if content is None else image.write_bytes(
        content if isinstance(content, bytes) else image.read_bytes()[:content]
    )
    with pytest.raises(ImageError, match=r"test/2\.png.*--on-error count"):
        run(own, bootstrap=0)
    results = run(own, on_error="count", bootstrap=5, output=tmp_path / "out")
    assert list(results["faults"]["unreadable"]) == ["2.png"]
    assert results["images"] == 6
    assert results["breakdown"]["2"]["unreadable"] == 1
    predictions = pd.read_csv(tmp_path / "out/predictions.csv")
    assert not predictions.loc[predictions["image"] == "2.png", "hit_gt_known_loc"].any()


def test_masks_that_cannot_be_read_are_left_out_where_that_is_asked_for(own, tmp_path):
    for number in range(6):
        path = own[0] / f"test_masks/{number}.png"
        path.parent.mkdir(exist_ok=True)
        size = Image.open(own[0] / f"test/{number}.png").size
        Image.new("L", size, 255).save(path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ImageError, match=r"test_masks/5\.png: .*--on-error count"):
        run(own, bootstrap=0)
    results = run(own, on_error="count", bootstrap=0)
    (found,) = [one for one in results["data"]["findings"] if one["kind"] == "mask unreadable"]
    assert found["count"] == 1
    assert "5.png" in found["examples"][0]
    assert results["metrics"]["pxap"] == pytest.approx(100)  # the others are all object


def test_the_order_of_the_classes_changes_no_figure(own):
    labels = [CLASSES[number % len(CLASSES)] for number in range(6)]
    before = run(own, bootstrap=0)
    order = sorted(CLASSES, reverse=True)
    (own[0] / "dataset.yaml").write_text(
        f"classes: [{', '.join(order)}]\nsplits:\n"
        + "".join(f"  {split}: {{images: {split}, boxes: {split}.csv}}\n" for split in ("val", "test"))
    )
    after = run(own, bootstrap=0)
    assert after["steps"] == before["steps"]
    assert [row["class"] for row in after["per_class"]] == [row["class"] for row in before["per_class"]]
    assert sorted(row["class"] for row in after["per_class"]) == sorted(labels)
    (said,) = [one for one in after["data"]["findings"] if one["kind"] == "classes"]
    assert "matched by name" in said["examples"][0]


def test_what_is_left_out_of_the_box_metrics_stands_in_the_results(own):
    lists = (own[0] / "test.csv").read_text().splitlines()
    lists[3] = ",".join(lists[3].split(",")[:2]) + ",,,,"
    (own[0] / "test.csv").write_text("\n".join(lists))
    results = run(own, bootstrap=0)
    assert results["data"]["without_box"] == 1
    assert {one["kind"] for one in results["data"]["findings"]} == {"image without box"}
    assert results["images"] == 6


def test_batches_before_an_error_are_kept_and_the_mended_run_continues(data, tmp_path):
    dataset, checkpoint = write_dataset(tmp_path / "things", images=11), data[1]
    whole = run((dataset, checkpoint), output=tmp_path / "whole", val=False)
    picture = (dataset / "test" / "7.png").read_bytes()
    (dataset / "test" / "7.png").write_bytes(picture[: len(picture) // 2])
    with pytest.raises(ImageError, match=r"7\.png.*--on-error count"):
        run((dataset, checkpoint), output=tmp_path / "mended", val=False)
    assert unfinished(tmp_path / "mended" / PARTIAL) == 6, "two batches of three came before it"
    (dataset / "test" / "7.png").write_bytes(picture)
    mended = run((dataset, checkpoint), output=tmp_path / "mended", val=False, resume=True)
    assert mended["steps"] == whole["steps"]
    files = [(tmp_path / name / "predictions.csv").read_bytes() for name in ("whole", "mended")]
    assert files[0] == files[1]


def test_every_mask_is_read_once_and_no_image_twice(tmp_path, data, monkeypatch):
    dataset = write_dataset(tmp_path / "things")
    (dataset / "test_masks").mkdir()
    for number in range(7):
        size = Image.open(dataset / f"test/{number}.png").size
        Image.new("L", size, 255).save(dataset / f"test_masks/{number}.png")
    decoded: list[str] = []
    for name in ("decode_exact", "decode_mask"):
        decoder = getattr(wsol.data.dataset, name)

        def noted(content, where, rule, decoder=decoder):
            decoded.append(where)
            return decoder(content, where, rule)

        monkeypatch.setattr(wsol.data.dataset, name, noted)
    monkeypatch.setitem(wsol.data.dataset.DECODERS, "exact", wsol.data.dataset.decode_exact)
    results = run((dataset, data[1]), gallery=0)
    assert results["metrics"]["pxap"] is not None
    assert len(decoded) == len(set(decoded)) == 7 + 7 + 7, "images of val, of test, and the masks of test"


def test_the_batch_size_changes_no_figure(data):
    assert run(data)["steps"] == run(data, batch_size=None)["steps"]


def test_four_processes_without_a_shared_folder_find_what_one_finds(data, tmp_path):
    dataset, checkpoint = data
    options = {"dataset": str(dataset), "model": "resnet_mini_tdam", "checkpoint": checkpoint, "batch_size": 2}
    alone = run(data, batch_size=2, output=tmp_path / "alone")
    with mp.Manager() as manager:
        answers = manager.dict()
        together = {**options, "output": Path("out")}
        mp.spawn(evaluate_as, args=(4, free_port(), together, tmp_path, answers), nprocs=4)
        for rank in range(4):
            for key in ("metrics", "steps", "thresholds", "intervals", "breakdown", "attention_shift"):
                assert answers[rank][key] == alone[key], key
    assert (tmp_path / "machine-0" / "out" / "predictions.csv").read_bytes() == (
        tmp_path / "alone" / "predictions.csv"
    ).read_bytes()
    for rank in range(4):
        assert not list((tmp_path / f"machine-{rank}").rglob("records-*"))

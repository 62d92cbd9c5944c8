"""The metrics against wsolevaluation's recorded counts, brute force and two processes."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.multiprocessing
from metric_shards import random_batch, run_rank, sharded, states
from torchmetrics import Metric, MetricCollection
from wsol_goldens import golden_sweeps, load_arrays, load_json, load_recipes

from wsol.errors import InputError, NothingToJudgeError
from wsol.metrics import (
    LocalizationAccuracy,
    MaxBoxAcc,
    MaxBoxAccV2,
    PixelAveragePrecision,
    label_ranks,
)
from wsol.sweep import best_iou_per_cut


def golden_metrics() -> dict[str, Metric]:
    """One metric per recorded curve: group of maps of one dataset and size, contours, threshold step."""
    metrics: dict[str, Metric] = {}
    for case, sweep in golden_sweeps():
        for kind, name in ((MaxBoxAcc, "single"), (MaxBoxAccV2, "multi")):
            for step in (0.001, 0.01):
                key = f"{case['dataset']}_{case['H']}x{case['W']}_{name}_{step}"
                metric = metrics.setdefault(key, kind(cam_threshold_interval=step))
                metric.update_from_sweep(sweep)
    return metrics


def test_curves_of_all_golden_groups_are_identical() -> None:
    curves, summary = load_arrays("curves.npz"), load_json("summary.json")["maxboxacc"]
    metrics = golden_metrics()
    assert set(metrics) == set(summary)
    for key, metric in metrics.items():
        for row, percent in enumerate((30, 50, 70)):
            np.testing.assert_array_equal(metric.num_correct[row].numpy(), curves[f"{key}_{percent}"], err_msg=key)
        result = metric.compute()
        assert list(result["max_box_acc"].values()) == summary[key]["iou30_50_70"]
        assert result["mean"] == summary[key]["v2_mean"]
        assert result["images"] == summary[key]["n"]


def load_mask(instances: list[np.ndarray], ignore: np.ndarray) -> np.ndarray:
    """An evaluation mask as wsolevaluation builds it: 1 object, 0 background, 255 ignored."""

    def resized(mask: np.ndarray) -> np.ndarray:
        return cv2.resize(mask.astype(np.float32), (224, 224), interpolation=cv2.INTER_NEAREST) > 0.5

    inside = np.any([resized(mask) for mask in instances], axis=0)
    mask = inside.astype(np.uint8)
    mask[resized(ignore) & ~inside] = 255
    return mask


@pytest.mark.parametrize("step", [0.001, 0.01])
def test_pxap_of_the_recorded_masks_is_identical(step: float) -> None:
    recipes, recorded, histograms = load_recipes(), load_json("masks.json"), load_arrays("mask_hist.npz")
    pooled = PixelAveragePrecision(step)
    for case in recorded["cases"]:
        score_map = recipes.mask_score_map(case["kind"], case["map_seed"])[None]
        mask = load_mask(*recipes.mask_set(case["mask_seed"]))[None]
        single = PixelAveragePrecision(step)
        single.update(score_map, mask)
        pooled.update(torch.from_numpy(score_map), torch.from_numpy(mask))
        assert single.compute() == case["pxap"][str(step)]
    assert pooled.compute() == recorded["pooled_pxap"][str(step)]
    np.testing.assert_array_equal(pooled.object_histogram, histograms[f"true_{step}"])
    np.testing.assert_array_equal(pooled.background_histogram, histograms[f"false_{step}"])


def test_pxap_of_wsolevaluations_own_mask_fixtures_is_identical() -> None:
    recipes, masks = load_recipes(), load_arrays("test_masks.npz")
    for case in load_json("test_masks.json")["cases"]:
        mask = masks[case["mask"]]
        for name, expected in case["pxap"].items():
            kind, _, step = name.rpartition("_")
            constants = {"zeros": 0.0, "half": 0.5, "ones": 1.0}
            if kind in constants:
                score_map = np.full(mask.shape, constants[kind])
            elif kind.startswith("perfect_ignore"):
                score_map = np.where(mask == 255, float(kind[-1]), mask.astype(float))
            else:
                kind, _, seed = kind.rpartition("_")
                score_map = recipes.mask_score_map(kind, int(seed))
            metric = PixelAveragePrecision(float(step))
            metric.update(score_map[None], mask[None])
            if isinstance(expected, str):
                with pytest.raises(RuntimeError, match="no object pixel"):
                    metric.compute()
            else:
                assert metric.compute() == expected, name


def test_pxap_is_the_average_precision_of_scikit_learns_definition() -> None:
    """With one bin per score the area is the sum over pixels of precision times the step in recall."""
    random = np.random.default_rng(1)
    scores = random.permutation(200).reshape(1, 10, 20) / 200 + 0.0005
    mask = (random.random((1, 10, 20)) < 0.3).astype(np.uint8)
    ranked = mask.ravel()[np.argsort(-scores.ravel())]
    precision_at_hits = (ranked.cumsum() / np.arange(1, 201))[ranked == 1]
    metric = PixelAveragePrecision()
    metric.update(scores, mask)
    assert metric.compute() == pytest.approx(100 * precision_at_hits.mean(), abs=1e-9)


def test_localization_figures_equal_counting_image_by_image() -> None:
    score_maps, boxes, logits, labels = random_batch(40, seed=5)
    metric = LocalizationAccuracy(iou_threshold=0.4, cam_threshold_interval=0.05)
    for part in (slice(0, 13), slice(13, 40)):
        metric.update(score_maps[part], boxes[part], torch.from_numpy(logits[part]), torch.from_numpy(labels[part]))
    top5 = torch.topk(torch.from_numpy(logits), 5).indices.numpy()
    sweep = best_iou_per_cut(score_maps, boxes)
    for i, threshold in enumerate(np.arange(0, 1, 0.05)):
        hit = sweep.iou_at([threshold])[:, 0] >= 0.4
        expected = {
            "gt_known_loc": 100 * np.mean(hit),
            "top1_loc": 100 * np.mean([h and t[0] == label for h, t, label in zip(hit, top5, labels, strict=True)]),
            "top5_loc": 100 * np.mean([h and label in t for h, t, label in zip(hit, top5, labels, strict=True)]),
        }
        assert metric.at_threshold(metric.thresholds[i]) == pytest.approx(expected)
    result = metric.compute()
    assert result["top1_cls"] == pytest.approx(100 * np.mean(top5[:, 0] == labels))
    assert result["top5_cls"] == pytest.approx(
        100 * np.mean([label in t for t, label in zip(top5, labels, strict=True)])
    )
    for figure, curve in metric.curves().items():
        assert result[figure] == curve.max()
        assert metric.at_threshold(result["best_threshold"][figure])[figure] == curve.max()
        assert 0 < curve.max() < 100


def test_gt_known_loc_at_half_is_max_box_acc_at_half() -> None:
    score_maps, boxes, logits, labels = random_batch(30, seed=6)
    sweep = best_iou_per_cut(score_maps, boxes)
    localization, single, every = LocalizationAccuracy(), MaxBoxAcc(), MaxBoxAccV2()
    localization.update_from_sweep(sweep, logits, labels)
    single.update_from_sweep(sweep)
    every.update_from_sweep(sweep)
    np.testing.assert_array_equal(localization.num_gt_known_loc, single.num_correct[1])
    assert localization.compute()["gt_known_loc"] == single.compute()["max_box_acc"][0.5]
    assert (every.num_correct >= single.num_correct).all()
    assert (every.num_boxes >= 30).all()


def test_strict_counts_only_iou_above_the_threshold() -> None:
    score_map = np.zeros((1, 10, 10))
    score_map[0, :5, :9] = 1.0  # box 0 0 9 5, 60 closed pixels; ground truth 30 of them
    inputs = (score_map, [[[0, 0, 9, 2]]], [[1.0, 0.0]], [0])
    figures = {}
    for strict in (False, True):
        metric = LocalizationAccuracy(strict=strict)
        metric.update(*inputs)
        figures[strict] = metric.at_threshold(0.5)["gt_known_loc"]
    assert figures == {False: 100.0, True: 0.0}


def test_label_ranks_break_ties_by_class_index() -> None:
    logits = np.random.default_rng(0).integers(0, 4, (200, 11)).astype(float)
    labels = np.random.default_rng(1).integers(0, 11, 200)
    order = np.argsort(-logits, axis=1, kind="stable")
    expected = [list(row).index(label) for row, label in zip(order, labels, strict=True)]
    np.testing.assert_array_equal(label_ranks(torch.from_numpy(logits).bfloat16(), labels), expected)


def all_metrics() -> MetricCollection:
    return MetricCollection({"v1": MaxBoxAcc(), "v2": MaxBoxAccV2(iou_thresholds=(0.5, 0.6))})


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_metrics_survive_pickle_state_dict_reset_and_a_collection() -> None:
    score_maps, boxes, _, _ = random_batch(12, seed=7)
    collection = all_metrics()
    collection.update(score_maps[:1], boxes[:1])
    collection.update(score_maps[1:], boxes[1:])
    for name, metric in collection.items():
        alone = type(metric)(iou_thresholds=metric.iou_thresholds)
        alone.update(score_maps, boxes)
        resumed = type(metric)(iou_thresholds=metric.iou_thresholds)
        resumed.load_state_dict(metric.state_dict())
        for copy in (alone, resumed, pickle.loads(pickle.dumps(metric))):
            for state, value in states(copy).items():
                np.testing.assert_array_equal(value, states(metric)[state], err_msg=f"{name} {state}")
            assert copy.num_correct.dtype == torch.int64
        assert resumed.compute() == metric.compute()
    collection.reset()
    with pytest.raises(NothingToJudgeError, match="no image has been counted"):
        collection["v1"].compute()


def test_forward_gives_the_batch_and_keeps_the_sum() -> None:
    score_maps, boxes, logits, labels = random_batch(10, seed=9)
    metric, batch = LocalizationAccuracy(), LocalizationAccuracy()
    metric(score_maps[:4], boxes[:4], logits[:4], labels[:4])
    result = metric(score_maps[4:], boxes[4:], logits[4:], labels[4:])
    batch.update(score_maps[4:], boxes[4:], logits[4:], labels[4:])
    assert result == batch.compute()
    assert metric.compute()["images"] == 10


# --- two processes


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_two_processes_give_the_integers_of_one(tmp_path: Path) -> None:
    expected = sharded(slice(0, 9))
    uneven, empty_rank = [(0, 6), (6, 9)], [(0, 9), (9, 9)]
    torch.multiprocessing.spawn(run_rank, args=([uneven, empty_rank], str(tmp_path)), nprocs=2)
    for rank in range(2):
        results = pickle.loads((tmp_path / f"{rank}.pickle").read_bytes())
        for metric, (result, summed) in zip(expected * 2, results, strict=True):
            assert result == metric.compute()
            for state, value in states(metric).items():
                assert summed[state].dtype == np.int64
                np.testing.assert_array_equal(summed[state], value)


# --- bad input


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros((2, 3)), [0], r"got \(2, 3\), \(1,\)"),
        (np.zeros(3), [0], r"logits must have the shape \(N, C\)"),
        (np.zeros((1, 3)), [3], "label 3 is none of the 3 classes"),
        (np.zeros((1, 3)), [-1], "label -1 is none of the 3 classes"),
        (np.zeros((1, 3)), [1.0], "labels must be integers"),
        (np.array([[0.0, 1.0], [np.nan, 1.0]]), [0, 0], "logits of image 1 of the batch hold NaN"),
        (np.zeros((2, 3)), [0, 0], "1 score maps, but logits of 2 images"),
    ],
)
def test_bad_logits_and_labels_are_named(logits: Any, labels: Any, message: str) -> None:
    metric = LocalizationAccuracy()
    with pytest.raises(InputError, match=message):
        metric.update(np.zeros((1, 4, 4)), [[[0, 0, 1, 1]]], logits, labels)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (np.zeros((1, 4, 4)), "masks must be uint8"),
        (np.zeros((1, 4, 5), dtype=np.uint8), r"masks of shape \(1, 4, 5\) do not fit"),
        (np.full((1, 4, 4), 2, dtype=np.uint8), "mask 0 of the batch holds the value 2"),
    ],
)
def test_bad_masks_are_named(masks: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        PixelAveragePrecision().update(np.zeros((1, 4, 4)), masks)


def test_bad_options_and_missing_boxes_are_named() -> None:
    with pytest.raises(InputError, match=r"threshold interval must lie in \(0, 1\], got 0"):
        MaxBoxAcc(cam_threshold_interval=0)
    with pytest.raises(InputError, match=r"IoU thresholds must lie in \[0, 1\]"):
        MaxBoxAcc(iou_thresholds=(30, 50))
    with pytest.raises(InputError, match="need the ground-truth boxes"):
        MaxBoxAcc().update(np.zeros((1, 4, 4)))
    metric = LocalizationAccuracy(cam_threshold_interval=0.1)
    with pytest.raises(InputError, match=r"nearest is 0\.2"):
        metric.at_threshold(0.23)

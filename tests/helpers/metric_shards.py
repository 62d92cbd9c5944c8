"""Random maps to judge, whole or in shards by several processes.

Apart from the tests, because a process that is spawned imports its function by name.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchmetrics import Metric

from wsol.metrics import LocalizationAccuracy, MaxBoxAcc, MaxBoxAccV2, PixelAveragePrecision
from wsol.sweep import best_iou_per_cut


def random_batch(num_images: int, seed: int) -> tuple[np.ndarray, list[np.ndarray], np.ndarray, np.ndarray]:
    """Maps, boxes, logits, labels; the map is high inside the first box of most images."""
    random = np.random.default_rng(seed)
    score_maps = random.random((num_images, 24, 31)) * 0.6
    boxes = []
    for i in range(num_images):
        corners = random.integers(0, (31, 24), (random.integers(1, 4), 2, 2))
        boxes.append(np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1))
        x0, y0, x1, y1 = boxes[i][0]
        score_maps[i, y0 : y1 + 1, x0 : x1 + 1] += 0.4 * random.random()
    return score_maps, boxes, random.normal(size=(num_images, 9)), random.integers(0, 9, num_images)


def states(metric: Metric) -> dict[str, np.ndarray]:
    return {name: getattr(metric, name).numpy() for name in metric._defaults}


def sharded(shard: slice) -> list[Metric]:
    score_maps, boxes, logits, labels = random_batch(9, seed=8)
    masks = (score_maps > 0.5).astype(np.uint8)
    metrics = [MaxBoxAcc(), MaxBoxAccV2(), LocalizationAccuracy(), PixelAveragePrecision()]
    if shard.start < shard.stop:
        sweep = best_iou_per_cut(score_maps[shard], boxes[shard])
        metrics[0].update_from_sweep(sweep)
        metrics[1].update_from_sweep(sweep)
        metrics[2].update_from_sweep(sweep, logits[shard], labels[shard])
        metrics[3].update(score_maps[shard], masks[shard])
    return metrics


def run_rank(rank: int, splits: list[list[tuple[int, int]]], folder: str) -> None:
    """Judge this rank's shard of every split; leave the results and the summed states in the folder."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=len(splits[0])
    )
    results: list[Any] = []
    for shards in splits:
        for metric in sharded(slice(*shards[rank])):
            result = metric.compute()
            with metric.sync_context():
                results.append((result, states(metric)))
    Path(folder, f"{rank}.pickle").write_bytes(pickle.dumps(results))
    torch.distributed.destroy_process_group()

"""A made-up split: maps and logits from a seed, without images or a network."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import torch

import wsol
from eval.analysis.curves import count_split
from eval.evaluation import evaluate
from eval.judging.process import end_process, start_process
from eval.judging.split import judge_split
from eval.judging.thresholds import Thresholds
from eval.maps import MapBatch
from eval.options import EvaluationOptions
from eval.protocols import get_protocol
from wsol.data import GroundTruth

PROTOCOL = get_protocol("wsolevaluation")
WIDTH, HEIGHT = 28, 20  # of the score maps; images are of another shape, and neither is square


class ArraySource:
    """Score maps and logits held in arrays."""

    def __init__(self, score_maps, logits, batch_size=4, unreadable=(), stop_after=None, degenerate=()):
        self.score_maps = score_maps
        self.logits = logits
        self.batch_size = batch_size
        self.unreadable = set(unreadable)
        self.stop_after = stop_after
        self.degenerate = np.zeros(score_maps.shape[:2], np.bool_)
        for step, image in degenerate:
            self.degenerate[step, image] = True
        self.steps = len(score_maps)
        self.map_size = score_maps.shape[-2:]
        self.has_logits = logits is not None

    def batches(self, indices: Sequence[int]) -> Iterator[MapBatch]:
        for number, start in enumerate(range(0, len(indices), self.batch_size)):
            if number == self.stop_after:
                raise KeyboardInterrupt
            chunk = list(indices[start : start + self.batch_size])
            faults = {index: "truncated" for index in chunk if index in self.unreadable}
            maps = self.score_maps[:, chunk].copy()
            for place, index in enumerate(chunk):
                if index in faults:
                    maps[:, place] = 0
            yield MapBatch(
                indices=np.array(chunk, dtype=np.int64),
                score_maps=maps,
                predicted_maps=None if self.logits is None else maps[..., ::-1].copy(),
                predicted_cams=None if self.logits is None else maps[..., ::4, ::4],
                logits=None if self.logits is None else self.logits[:, chunk],
                degenerate=self.degenerate[:, chunk],
                unreadable=faults,
            )


def tiny_split(num_images=13, steps=2, classes=7, seed=0):
    """Maps with a blob near the ground truth, logits that are often right; images of 48 x 36 pixels.

    The maps of the predicted classes are the labels' mirrored.
    """
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, num_images)
    boxes, maps = [], np.zeros((steps, num_images, HEIGHT, WIDTH), np.float32)
    for image in range(num_images):
        count = 1 + (image % 4 == 0)
        corners = generator.integers([0, 0], [24, 18], (count, 2))
        boxes.append(np.hstack([corners, corners + generator.integers(8, 18, (count, 2))]).astype(np.int64))
        for step in range(steps):
            raw = generator.random((6, 6)) * 0.6
            x0, y0, x1, y1 = boxes[-1][0] * np.array([WIDTH, HEIGHT] * 2) / np.array([48, 36] * 2)
            blob = cv2.resize(raw, (WIDTH, HEIGHT))
            blob[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1] += generator.random() * 0.8
            maps[step, image] = wsol.normalize_score_map(blob)
    logits = generator.normal(size=(steps, num_images, classes)).astype(np.float32)
    logits[:, np.arange(num_images), labels] += 1.0
    truth = GroundTruth(
        dataset="tiny",
        split="test",
        image_ids=tuple(f"{image}.png" for image in range(num_images)),
        labels=labels.astype(np.int64),
        sizes=np.tile(np.array([48, 36]), (num_images, 1)),
        boxes=tuple(boxes),
        class_names=tuple(f"class {label}" for label in range(classes)),
    )
    return truth, maps, logits


def mask_of(index, size):
    mask = np.zeros(size, np.uint8)
    mask[index % 5 : 12, 3:15] = 1
    mask[0, :] = 255
    return mask


def integers(judged):
    """Counts of all curves, as exact integers."""
    images = sum(len(boxes) > 0 for boxes in judged.ground_truth.boxes)
    curves = {}
    counted = count_split(judged)
    for row, of_row in counted.curves.items():
        every = {**of_row.localization, **of_row.largest, **{f"v2 {iou}": curve for iou, curve in of_row.all.items()}}
        for name, curve in every.items():
            counts = curve * images / 100
            np.testing.assert_allclose(counts, counts.round(), atol=1e-9)
            curves[row, name] = tuple(counts.round().astype(int))
        curves[row, "cls"] = tuple(counted.classification.get(row, {}).values())
    return curves


def pxap(judged):
    """PxAP of every row in percent."""
    return {row: metric.compute() for row, metric in judged.pixel_metrics.items()}


def judge(folder, source, truth, threshold=0.2, **options):
    """Judge a split with masks by the default protocol."""
    return judge_split(source, truth, PROTOCOL, Thresholds(threshold), folder, mask_of=mask_of, **options)


def free_port():
    """A port of this machine that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def join(rank, count, port):
    """Become one process of several, as torchrun would have started it."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    return start_process("cpu")


def judge_as(rank, count, num_images, folder, port, answers):
    process, _ = join(rank, count, port)
    truth, maps, logits = tiny_split(num_images=num_images)
    judged = judge(folder, ArraySource(maps, logits, unreadable=[1]), truth, process=process)
    answers[rank] = (integers(judged), pxap(judged), judged.faults)
    end_process()


def evaluate_as(rank, count, port, options, folder, answers):
    """One process of an evaluation whose working directory is its own, as on a machine without a shared disk."""
    own = folder / f"machine-{rank}"
    own.mkdir()
    os.chdir(own)
    process, device = join(rank, count, port)
    answers[rank] = evaluate(EvaluationOptions(**options), process, device)
    end_process()

"""A training set of up to 25 small random images, and settings that train on it in a second."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image

from wsol.data import GroundTruth
from wsol.training import TrainingConfig


class TinyImages:
    """Random images of several sizes in memory, with the interface of `LocalizationDataset` that training uses."""

    def __init__(self, images: int = 24, classes: int = 3, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        sizes = random.integers(96, 120, (images, 2))
        self.ground_truth = GroundTruth(
            dataset="tiny",
            split="train",
            image_ids=tuple(f"{index}.png" for index in range(images)),
            labels=np.arange(images) % classes,
            sizes=sizes,
            boxes=tuple(np.array([[10, 10, 60, 60]]) for _ in range(images)),
            class_names=tuple(f"class {index}" for index in range(classes)),
        )
        # Each of its own brightness, so that a test can tell which image it sees.
        self.pictures = [
            Image.fromarray(random.integers(5 * index, 128 + 5 * index, (height, width, 3), dtype=np.uint8))
            for index, (width, height) in enumerate(sizes)
        ]
        self.transform: Any = None

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int, int]:
        return self.transform(self.pictures[index]), int(self.ground_truth.labels[index]), index


def tiny_config(**settings: Any) -> TrainingConfig:
    """Three epochs of three steps on the CPU, without worker processes."""
    defaults: dict[str, Any] = {
        "model": "resnet_mini_tdam",
        "dataset": "tiny",
        "epochs": 3,
        "batch_size": 8,
        "lr": 0.01,
        "workers": 0,
        "pad": 4,
        "device": "cpu",
        "log_every": 1,
        "tensorboard": False,
    }
    return TrainingConfig.from_dict({**defaults, **settings})

"""A dataset of a few small pictures on disk, and a checkpoint for it, as a user would have them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import tdam

CLASSES = ("cup", "kite", "lamp", "sock", "tree", "vase")


def write_dataset(folder: Path, images: int = 7, seed: int = 0, splits: Sequence[str] = ("val", "test")) -> Path:
    """Write splits of noisy pictures with one bright rectangle, boxes in CSV; returns the folder."""
    generator = np.random.default_rng(seed)
    for split in splits:
        (folder / split).mkdir(parents=True)
        rows = ["path,label,x0,y0,x1,y1"]
        for number in range(images):
            width, height = int(generator.integers(60, 120)), int(generator.integers(60, 120))
            picture = generator.integers(0, 120, (height, width, 3), dtype=np.uint8)
            x0, y0 = int(generator.integers(0, width // 2)), int(generator.integers(0, height // 2))
            x1, y1 = x0 + width // 3, y0 + height // 3
            picture[y0:y1, x0:x1] += 100
            Image.fromarray(picture).save(folder / split / f"{number}.png")
            rows.append(f"{number}.png,{CLASSES[number % len(CLASSES)]},{x0},{y0},{x1},{y1}")
        (folder / f"{split}.csv").write_text("\n".join(rows) + "\n")
    return folder


def write_checkpoint(path: Path, model: str = "resnet_mini_tdam", trained: bool = True, seed: int = 0) -> Path:
    """Write weights that claim to be trained; they are random, and the steps differ."""
    torch.manual_seed(seed)
    network = tdam.create_model(model, num_classes=len(CLASSES))
    for parameter in network.parameters():
        if parameter.ndim == 1:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    config = {"model": model, "num_classes": len(CLASSES), "class_names": list(CLASSES), "trained": trained}
    tdam.save_checkpoint(network, path, config)
    return path

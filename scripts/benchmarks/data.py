"""What reading images costs: exact and fast decoding, their effect on the metrics, time lost waiting.

    python scripts/benchmarks/data.py --model resnet_mini_tdam [--checkpoint FILE]

Everything is measured in one run on this machine:

1. milliseconds of CPU time from a JPEG of 500 x 375 to a tensor of 224 x 224, both ways in turns;
2. the largest difference that fast decoding makes to any metric: the network on minibirds rendered at 300 pixels,
   so that every image is resized;
3. the share of an epoch that the network waits for images, with 0, 1 and 2 reading processes.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
import tyro
from machine import machine
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader

import tdam
from eval.evaluation import evaluate
from eval.judging.process import end_process, start_process
from eval.options import EvaluationOptions
from wsol.data import GroundTruth, LocalizationDataset, load_dataset
from wsol.data.files.stores import Folder
from wsol.data.minibirds import render, render_image
from wsol.data.transforms import evaluation_transform
from wsol.data.waiting import WaitingClock

ROUNDS, PER_ROUND = 7, 40
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LARGE = 300  # pixels of the rendered minibirds, resized to the network's input


def main(model: str = "resnet_mini_tdam", checkpoint: Path | None = None, images: int = 504) -> None:
    """Run the three measurements and print them.

    Args:
        model: Network for the second and third.
        checkpoint: Its weights; default: those that wsol-eval would take.
        images: Images of minibirds to judge.
    """
    console = Console()
    console.print(f"{machine()}; torch {torch.__version__}, OpenCV {cv2.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        console.print(decoding_table(Path(folder)))
        tree = Path(folder) / "minibirds"
        render(tree, size=LARGE, counts={"test": images, "train": 12})
        console.print(metrics_table(tree, model, checkpoint))
        console.print(waiting_table(tree, model))


def decoding_table(folder: Path) -> Table:
    """CPU milliseconds per image from encoded bytes to the network's tensor."""
    scene = cv2.imdecode(np.frombuffer(render_image("test", 0, size=500).jpeg, np.uint8), cv2.IMREAD_COLOR)
    (folder / "a.jpg").write_bytes(cv2.imencode(".jpg", scene[:375], [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())
    truth = GroundTruth(
        "one", "test", ("a.jpg",), np.zeros(1, np.int64), np.array([[500, 375]]), (np.zeros((0, 4), np.int64),), ("x",)
    )
    transform = evaluation_transform(224, MEAN, STD)
    datasets = {way: LocalizationDataset(truth, Folder(folder), transform, way) for way in ("exact", "fast")}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    costs: dict[str, list[float]] = {way: [] for way in datasets}
    for _ in range(ROUNDS):
        for way, dataset in datasets.items():
            start = time.process_time()
            for _ in range(PER_ROUND):
                dataset[0]
            costs[way].append((time.process_time() - start) / PER_ROUND * 1e3)
    torch.set_num_threads(threads)
    table = Table("decode", "ms per image", "ratio", title="500 x 375 JPEG to 224 x 224, one thread, median")
    for way, milliseconds in costs.items():
        ratios = [exact / other for exact, other in zip(costs["exact"], milliseconds, strict=True)]
        table.add_row(way, f"{statistics.median(milliseconds):.2f}", f"{statistics.median(ratios):.2f}")
    return table


def metrics_table(tree: Path, model: str, checkpoint: Path | None) -> Table:
    """Metrics of the last step, exact and fast."""
    rows = {}
    for way in ("exact", "fast"):
        options = EvaluationOptions(
            dataset=str(tree), model=model, checkpoint=checkpoint, decode=way, val=False, bootstrap=0, gallery=0
        )
        process, device = start_process("cpu")
        rows[way] = evaluate(options, process, device)["metrics"]
        end_process()
    table = Table("metric, percent", *rows, "difference", title=f"{model} on minibirds at {LARGE} pixels")
    for name in rows["exact"]:
        one, other = (_number(rows[way][name]) for way in rows)
        if one is not None and other is not None:
            table.add_row(name, f"{one:.2f}", f"{other:.2f}", f"{abs(one - other):.2f}")
    return table


def _number(value: object) -> float | None:
    if isinstance(value, dict):
        value = value.get("oracle")
    return float(value) if isinstance(value, int | float) else None


def waiting_table(tree: Path, name: str) -> Table:
    """Share of the time that a network waits for its batches."""
    model = tdam.create_model(name, num_classes=12).eval()
    config = model.pretrained_cfg
    transform = evaluation_transform(config["input_size"], config["mean"], config["std"])
    table = Table(
        "decode", "reading processes", "images per second", "time lost waiting", title=f"{name}, batches of 32"
    )
    for way in ("exact", "fast"):
        dataset = load_dataset(tree, "test", transform=transform, decode=way)
        for workers in (0, 1, 2):
            clock = WaitingClock(DataLoader(dataset, batch_size=32, num_workers=workers))
            with torch.inference_mode():
                for batch, _, _ in clock:
                    model(batch)
            speed = len(dataset) / (clock.waiting + clock.working)
            table.add_row(way, str(workers), f"{speed:.0f}", f"{clock.share_waiting:.0%}")
    return table


if __name__ == "__main__":
    tyro.cli(main)

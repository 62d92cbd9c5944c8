"""The first 200 steps of fine-tuning EfficientNet-Lite0 with feedback from plain weights: which form stays stable?

python scripts/experiments/finetune_stability.py --photographs ../shared/real     # finished runs are kept
python scripts/experiments/finetune_stability.py --photographs ../shared/real --table

The published spatial gate takes the sigmoid of a sum over all channels. Compared are that sum ("faithful"), the same
over the root of the number of channels ("scaled", `spatial_score="scaled"`), the faithful form with the gradient
clipped to norm 1, and the plain network. ImageNet weights, a linear probe for the ten classes of `imagenet10`, then SGD
with the settings that `wsol-train` has by default but for batches of eight, at its learning rate and at a tenth of it.
Every step keeps loss, accuracy of its batch and gradient norms, before clipping; some keep the accuracy on the 100
images of val and test.
Rows go to docs/data/finetune_stability.csv, the figure to docs/images/finetune-stability.png.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from comparison import markdown
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from photographs import converter, probe
from pretrained_on_photographs import NETWORKS
from torch import Tensor, nn

import tdam
from tdam.feedback import FeedbackBlock
from tdam.files import replacing
from wsol import draw
from wsol.data import LocalizationDataset, load_dataset
from wsol.data.transforms import evaluation_transform
from wsol.draw.style import CYCLE, PAGE, STYLE
from wsol.opening import open_trained

ROOT = Path(__file__).parents[2]
CSV = ROOT / "docs" / "data" / "finetune_stability.csv"
FIGURE = ROOT / "docs" / "images" / "finetune-stability.png"
STEPS, BATCH, MOMENTUM, WEIGHT_DECAY = 200, 8, 0.9, 1e-4
LEARNING_RATES = (0.001, 0.01)
SIDE, MARGIN = 128, 16
JUDGED = (0, 1, 2, 5, 10, 20, 50, 100, 200)
SHOWN = (0, 1, 10, 50, 200)
WINDOW = 10  # steps that the table averages over


@dataclass(frozen=True)
class Configuration:
    """How a network is fine-tuned; without options it has no feedback."""

    options: tdam.FeedbackOptions | None = None
    clip: float | None = None


CONFIGURATIONS = {
    "faithful": Configuration(tdam.FeedbackOptions()),
    "scaled": Configuration(tdam.FeedbackOptions(spatial_score="scaled")),
    "faithful, clipped": Configuration(tdam.FeedbackOptions(), clip=1.0),
    "plain": Configuration(),
}


@dataclass(frozen=True)
class Images:
    """Normalized images ``(N, 3, H, W)`` and labels ``(N,)``; those for training have a margin to crop from."""

    train: Tensor
    train_labels: Tensor
    judged: Tensor
    judged_labels: Tensor


def prepared(root: Path, weights: Path) -> Images:
    """The images in memory; writes the probed network to `weights` where it is not yet."""
    original = weights.with_name("original.safetensors")
    if not original.exists():
        converter().convert(original, NETWORKS[0])
    network = open_trained(NETWORKS[0], checkpoint=original)
    splits = {split: load_dataset(root / "imagenet10", split) for split in ("train", "val", "test")}
    if not weights.exists():
        splits["train"].transform = transform(network.preprocessing, SIDE)
        probe(network, splits["train"], weights)
    train, train_labels = stacked(splits["train"], network.preprocessing, SIDE + MARGIN)
    val, val_labels = stacked(splits["val"], network.preprocessing, SIDE)
    test, test_labels = stacked(splits["test"], network.preprocessing, SIDE)
    return Images(train, train_labels, torch.cat([val, test]), torch.cat([val_labels, test_labels]))


def transform(preprocessing: dict[str, Any], side: int) -> Any:
    """Resize to a square and normalize."""
    return evaluation_transform((side, side), mean=preprocessing["mean"], std=preprocessing["std"])


def stacked(dataset: LocalizationDataset, preprocessing: dict[str, Any], side: int) -> tuple[Tensor, Tensor]:
    """All images of a split as one tensor, with their labels."""
    dataset.transform = transform(preprocessing, side)
    return torch.stack([dataset[index][0] for index in range(len(dataset))]), torch.from_numpy(
        dataset.ground_truth.labels
    )


def network_of(configuration: Configuration, weights: Path) -> nn.Module:
    """The probed network, with feedback where the configuration asks for it."""
    model, _ = tdam.load_model(weights)
    return model if configuration.options is None else tdam.add_feedback(model, configuration.options)


def batches(images: Images, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches of random crops and flips; a seed gives all configurations the same ones."""
    random = np.random.default_rng(seed)
    while True:
        order = random.permutation(len(images.train))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            top, left = random.integers(0, MARGIN + 1, size=(2, BATCH))
            crops = [
                images.train[image, :, y : y + SIDE, x : x + SIDE]
                for image, y, x in zip(chosen, top, left, strict=True)
            ]
            flipped = [
                crop.flip(-1) if flip else crop for crop, flip in zip(crops, random.random(BATCH) < 0.5, strict=True)
            ]
            yield torch.stack(flipped), images.train_labels[chosen]


def gradient_norms(model: nn.Module) -> dict[str, float]:
    """Norm of the gradient in the searchlights' last layers together, and in all other parameters."""
    last = {id(block.attention.expand.weight) for block in model.modules() if isinstance(block, FeedbackBlock)}
    sums = {True: 0.0, False: 0.0}
    for parameter in model.parameters():
        if parameter.grad is not None:
            sums[id(parameter) in last] += float(parameter.grad.square().sum())
    return {"gradient_searchlight": sums[True] ** 0.5, "gradient_rest": sums[False] ** 0.5}


@torch.no_grad()
def accuracy(model: nn.Module, images: Images) -> float:
    """Top-1 accuracy in percent on the images that are judged."""
    model.eval()
    logits = torch.cat([model(part) for part in images.judged.split(50)])
    model.train()
    return 100.0 * float((logits.argmax(1) == images.judged_labels).float().mean())


def run(images: Images, weights: Path, configuration: Configuration, lr: float, seed: int) -> list[dict[str, Any]]:
    """Fine-tune; one row per step, and one for the network before the first."""
    torch.manual_seed(seed)
    model = network_of(configuration, weights)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True)
    rows: list[dict[str, Any]] = [{"step": 0, "accuracy": accuracy(model, images)}]
    for step, (batch, labels) in zip(range(1, STEPS + 1), batches(images, seed), strict=False):
        logits = model(batch)
        loss = nn.functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        norms = gradient_norms(model)
        if configuration.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), configuration.clip)
        optimizer.step()
        right = 100.0 * float((logits.argmax(1) == labels).float().mean())
        judged = accuracy(model, images) if step in JUDGED else None
        rows.append({"step": step, "loss": loss.item(), "batch_accuracy": right, **norms, "accuracy": judged})
        if not np.isfinite(rows[-1]["loss"]):
            break
    return rows


def finished() -> pd.DataFrame:
    """Rows that are done."""
    return pd.read_csv(CSV) if CSV.exists() else pd.DataFrame(columns=["configuration", "lr", "seed", "step"])


def keep(name: str, lr: float, seed: int, rows: list[dict[str, Any]]) -> None:
    """Add a run's rows to the CSV."""
    new = pd.DataFrame([{"configuration": name, "lr": lr, "seed": seed, **row} for row in rows])
    table = pd.concat([finished(), new], ignore_index=True) if CSV.exists() else new
    with replacing(CSV) as part:
        table.to_csv(part, index=False, float_format="%.5g")


def table(rows: pd.DataFrame) -> str:
    """Means over seeds, each with its lowest and highest seed."""
    lines = []
    for lr, name in product(LEARNING_RATES, CONFIGURATIONS):
        own = rows[(rows.configuration == name) & (rows.lr == lr)]
        if own.empty:
            continue
        cells = [str(lr), name, str(own.seed.nunique())]
        cells += [spread(own[own.step == step].accuracy) for step in SHOWN]
        cells.append(spread(own[own.step > STEPS - WINDOW].groupby("seed").loss.mean(), 2))
        has_searchlight = CONFIGURATIONS[name].options is not None
        cells.append(spread(own[own.step == 1].gradient_searchlight) if has_searchlight else "–")
        cells.append(spread(own[own.step == 1].gradient_rest))
        lines.append(cells)
    accuracies = [f"accuracy, step {step}" for step in SHOWN]
    norms = ["gradient at step 1: searchlights' last layers", "all others"]
    return markdown(["lr", "configuration", "seeds", *accuracies, f"loss, last {WINDOW} steps", *norms], lines)


def spread(values: pd.Series, digits: int = 1) -> str:
    """Mean, with the lowest and the highest value where they differ."""
    mean, low, high = (f"{value:.{digits}f}" for value in (values.mean(), values.min(), values.max()))
    return mean if low == high else f"{mean} ({low} to {high})"


def figure(rows: pd.DataFrame) -> Figure:
    """Loss, accuracy and the searchlight's gradient over the steps, a row for each learning rate; means over seeds."""
    with rc_context(STYLE):
        drawn = Figure(figsize=(PAGE, 4.4), layout="constrained")
        for lr, (loss, right, gradient) in zip(LEARNING_RATES, drawn.subplots(2, 3), strict=True):
            for colour, name in zip(CYCLE, CONFIGURATIONS, strict=False):
                own = rows[(rows.configuration == name) & (rows.lr == lr)]
                means = own.groupby("step").mean(numeric_only=True)
                if means.empty:
                    continue
                smooth = means.loss.rolling(WINDOW, min_periods=1).mean()
                loss.plot(means.index, smooth, color=colour, label=name if lr == LEARNING_RATES[0] else None)
                judged = means.accuracy.dropna()
                right.plot(judged.index, judged, color=colour, marker="o", markersize=2.5)
                if CONFIGURATIONS[name].options is not None:
                    gradient.plot(means.index, means.gradient_searchlight, color=colour, linewidth=0.8)
            loss.set(xlabel="step", ylabel=f"loss, mean of {WINDOW} steps", ylim=(0, 3), title=f"learning rate {lr}")
            right.set(xlabel="step", ylabel="accuracy, val and test, %", ylim=(0, 102))
            gradient.set(xlabel="step", ylabel="gradient, searchlights' last layers", yscale="log")
            gradient.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            gradient.yaxis.set_minor_formatter(NullFormatter())
        drawn.legend(loc="outside lower center", ncols=4)
    return drawn


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, required=True, help="folder of imagenet10")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "finetune_stability")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of this process")
    parser.add_argument("--table", action="store_true", help="print the table of finished runs, draw them and end")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if not arguments.table:
        arguments.work.mkdir(parents=True, exist_ok=True)
        weights = arguments.work / "probed.safetensors"
        images = prepared(arguments.photographs, weights)
        for seed, lr, name in product(range(arguments.seeds), LEARNING_RATES, CONFIGURATIONS):
            rows = finished()
            if ((rows.configuration == name) & (rows.lr == lr) & (rows.seed == seed)).any():
                continue
            keep(name, lr, seed, run(images, weights, CONFIGURATIONS[name], lr, seed))
            print(f"{name}, lr {lr}, seed {seed}: done", flush=True)
    print(table(finished()))
    draw.save(figure(finished()), FIGURE, dpi=150)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Feedback put into EfficientNet-Lite0 and trained on one half of `imagenet650`, judged on the other; and the reverse.

python scripts/experiments/feedback_on_imagenet650.py --photographs ../shared/real    # finished runs are kept
python scripts/experiments/feedback_on_imagenet650.py --photographs ../shared/real --table

The photographs of one half (even and odd in turn) train the last two stages and the last convolution, image labels
only; classifier, earlier stages and all running statistics stay as published. Each image is judged by the network that
has not seen it. One row per configuration, seed and step goes to docs/data/imagenet650_feedback.csv, the figures of
attention shift to docs/data/imagenet650_shift.csv. The shift is taken at the fixed threshold: no box chooses anything.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from comparison import markdown, mean_and_interval
from cross_stage import HandDown
from kept_features import judge_features
from pretrained_on_photographs import WSOLEVALUATION, Photographs, hits_and_sizes, transformed
from torch import Tensor, nn

import tdam
import wsol
from eval.analysis.curves import count_split
from eval.analysis.figures import row_figures
from eval.analysis.intervals import poisson_counts
from eval.judging.thresholds import Thresholds
from eval.measures.attention_shift import AttentionShift
from eval.protocols import get_protocol
from tdam.files import replacing
from wsol.data import LocalizationDataset

ROOT = Path(__file__).parents[2]
CSV = ROOT / "docs" / "data" / "imagenet650_feedback.csv"
SHIFT = ROOT / "docs" / "data" / "imagenet650_shift.csv"
NETWORK = "tf_efficientnet_lite0"
TRAINED_STAGES = 2
HANDED_DOWN = "energy handed down"
# Options of the TDAM network; None: the plain network. Every one starts as the published network.
CONFIGURATIONS: dict[str, dict[str, Any] | None] = {
    "plain": None,
    "tdam t2 m1": {},
    "tdam t2 m1 scaled": {"spatial_score": "scaled"},
    "tdam t2 m1 top": {"attention": "top"},
    "tdam t3 m1": {"steps": 3},
    HANDED_DOWN: None,
}
# Ten times the rate for the new parts made the loss of the published gate diverge.
EPOCHS, BATCH, LR, WEIGHT_DECAY, CLIP = 5, 25, 1e-4, 0.01, 1.0
FIGURES = ("top1_cls", "gt_known_fixed", "max_box_acc", "max_box_acc_v2", "size_balanced", "centre_box_fails")
REPLICATES = 1000


class Halves:
    """The photographs as the trained stages see them.

    Args:
        photographs: The datasets.

    Attributes:
        dataset: The images.
        maps: Input of the trained stages (2, N, C, h, w): of the images, and of the images mirrored.
        labels: (N,).
    """

    def __init__(self, photographs: Photographs) -> None:
        self.network = photographs.network("imagenet650", NETWORK)
        self.dataset: LocalizationDataset = transformed(
            photographs.open("imagenet650", "test"), self.network, get_protocol(WSOLEVALUATION)
        )
        self.labels = torch.from_numpy(self.dataset.ground_truth.labels)
        path = photographs.work / "features" / "imagenet650-front.npy"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path, sync=False) as part, part.open("wb") as file:
                np.save(file, self._front().numpy())
        self.maps = torch.from_numpy(np.load(path))

    @torch.no_grad()
    def _front(self) -> Tensor:
        model: Any = self.network.model
        front = nn.Sequential(model.conv_stem, model.bn1, *model.blocks[:-TRAINED_STAGES])
        loader = torch.utils.data.DataLoader(self.dataset, batch_size=BATCH)
        return torch.stack(
            [torch.cat([front(images.flip(-1) if flip else images) for images, _, _ in loader]) for flip in (0, 1)]
        )

    def back(self, name: str) -> Any:
        """A new network of a configuration that takes `maps` in place of images."""
        model: Any = copy.deepcopy(self.network.model)
        options = CONFIGURATIONS[name]
        if options is not None:
            tdam.add_feedback(model, tdam.FeedbackOptions(init="identity", **options))
        model.conv_stem, model.bn1 = nn.Identity(), nn.Identity()
        for stage in range(len(model.blocks) - TRAINED_STAGES):
            model.blocks[stage] = nn.Identity()
        if name == HANDED_DOWN:
            model.bn2 = nn.Sequential(model.bn2, HandDown())
        # Running statistics stay: a batch is too small to replace those of 1.3 million images.
        return model.eval()

    def train(self, name: str, seed: int, half: int) -> tuple[Any, float]:
        """A network of a configuration, trained on the even (half 0) or odd images; and the loss of its last batch."""
        torch.manual_seed(seed)
        model = self.back(name)
        model.get_classifier().requires_grad_(False)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, LR, weight_decay=WEIGHT_DECAY)
        images = torch.arange(half, len(self.labels), 2)
        steps = EPOCHS * -(-len(images) // BATCH)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(EPOCHS):
            for batch in images[torch.randperm(len(images))].split(BATCH):
                mirrored = torch.randint(2, (len(batch),))
                loss = nn.functional.cross_entropy(model(self.maps[mirrored, batch]), self.labels[batch])
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(trained, CLIP)
                optimizer.step()
                schedule.step()
        return model, float(loss.detach())

    @torch.no_grad()
    def apply(self, model: Any, half: int) -> tuple[Tensor, Tensor]:
        """Last maps (T, B, D, h, w) and logits (T, B, C) of every step on the even (half 0) or odd images."""
        found = [tdam.forward_steps(model, maps) for maps in self.maps[0, half::2].split(BATCH)]
        return torch.cat([one.features for one in found], 1), torch.cat([one.logits for one in found], 1)


def run(photographs: Photographs, halves: Halves, name: str, seed: int) -> tuple[list[dict[str, Any]], list[Any]]:
    """Train both halves, judge each image once; rows of every step, and rows of the attention shift."""
    trained = [halves.train(name, seed, half) for half in (0, 1)]
    # The even images are judged by the network of the odd ones, and the odd ones by that of the even ones.
    parts = [halves.apply(trained[1 - half][0], half) for half in (0, 1)]
    loss = max(loss for _, loss in trained)
    features, logits = (in_order(*its_halves) for its_halves in zip(*parts, strict=True))
    protocol = get_protocol(WSOLEVALUATION)
    thresholds = Thresholds(protocol.threshold_for("imagenet"))
    rows = []
    for step, maps in enumerate(features, start=1):
        folder = photographs.work / "records" / f"{name}-{seed}-{step}".replace(" ", "_")
        judged = judge_features(maps.numpy(), halves.network, halves.dataset, "cam", protocol, thresholds, folder)
        figures = row_figures(judged, count_split(judged), "1")
        hits, sizes = hits_and_sizes(judged, halves.network.input_size)
        path = hits_file(photographs, name, seed, step)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, hits=hits["largest@0.5"])
        found = {
            "top1_cls": figures["top1_cls"],
            "gt_known_fixed": figures["gt_known_loc"]["fixed"],
            **{key: figures[key] for key in ("max_box_acc", "max_box_acc_v2")},
            **{key: sizes[key]["oracle"] for key in ("size_balanced", "centre_box_fails")},
        }
        values = {key: round(float(value), 3) for key, value in found.items()}
        rows.append({"configuration": name, "seed": seed, "epochs": EPOCHS, "step": step, "loss": loss, **values})
    return rows, [] if len(features) == 1 else shift_rows(halves, name, seed, features, logits, thresholds.fixed)


def in_order(even: Tensor, odd: Tensor) -> Tensor:
    """Values (T, N, …) of all images from those of the even and of the odd ones."""
    values = torch.empty(even.shape[0], even.shape[1] + odd.shape[1], *even.shape[2:])
    values[:, 0::2], values[:, 1::2] = even, odd
    return values


def shift_rows(
    halves: Halves, name: str, seed: int, features: Tensor, logits: Tensor, threshold: float
) -> list[dict[str, Any]]:
    """Attention shift from the first step to the last, of images with one box and of images with several."""
    steps, protocol, truth = len(features), get_protocol(WSOLEVALUATION), halves.dataset.ground_truth
    weight = halves.network.model.get_classifier().weight.detach()  # type: ignore[operator]
    height, width = halves.network.input_size
    metric = AttentionShift(steps, (threshold,) * steps)
    for images in torch.arange(len(truth)).split(BATCH):
        maps = torch.einsum("tbdhw,bd->tbhw", features[:, images], weight[halves.labels[images]])
        sizes = truth.sizes[images.numpy()]
        boxes = [
            protocol.map_boxes(truth.boxes[int(image)], size, (width, height))
            for image, size in zip(images, sizes, strict=True)
        ]
        metric.update(wsol.score_maps(maps, (height, width)), boxes, sizes, logits[:, images])
    rows = []
    for group, found in metric.compute()["groups"].items():
        figures = {**found["pairs"][f"1-{steps}"], **found["objects"]}
        for figure, values in figures.items():
            rows.append({"configuration": name, "seed": seed, "group": group, "figure": figure, **values})
    return rows


def hits_file(photographs: Photographs, name: str, seed: int, step: int) -> Path:
    """Where the hits (N, thresholds) of a step lie."""
    return photographs.work / "hits" / f"imagenet650-{name}-{seed}-{step}.npz".replace(" ", "_")


def add_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Add rows to a CSV."""
    earlier = [pd.read_csv(path)] if path.exists() else []
    with replacing(path) as part:
        pd.concat([*earlier, pd.DataFrame(rows)], ignore_index=True).to_csv(part, index=False, float_format="%.6g")


def resampled_best(hits: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """MaxBoxAcc of every resample of the images, its threshold chosen anew."""
    weights = poisson_counts(np.arange(len(hits)), REPLICATES)
    return 100.0 * (weights @ hits).max(axis=1) / weights.sum(axis=1)


def against_plain(photographs: Photographs, runs: pd.DataFrame) -> str:
    """MaxBoxAcc minus that of the plain network of the same seed; images and seeds resampled for the interval."""
    differences, values = [], []
    for seed, step in zip(runs.seed, runs.step, strict=True):
        files = [
            hits_file(photographs, runs.configuration.iloc[0], seed, step),
            hits_file(photographs, "plain", seed, 1),
        ]
        if all(path.exists() for path in files):
            first, second = (np.load(path)["hits"] for path in files)
            differences.append(resampled_best(first) - resampled_best(second))
            values.append(100.0 * (first.mean(axis=0).max() - second.mean(axis=0).max()))
    if not values:
        return "–"
    chosen = np.random.default_rng(0).integers(0, len(values), (len(values), REPLICATES))
    low, high = np.percentile(np.take_along_axis(np.array(differences), chosen, 0).mean(axis=0), [2.5, 97.5])
    return f"{np.mean(values):+.1f} [{low:+.1f}, {high:+.1f}]"


def table(photographs: Photographs, rows: pd.DataFrame) -> str:
    """Means over seeds of every step."""
    lines = []
    for (name, step), runs in rows.groupby(["configuration", "step"], sort=False):
        means = [mean_and_interval(runs[figure]) for figure in FIGURES]
        lines.append([f"{name}, step {step}", str(len(runs)), *means, against_plain(photographs, runs)])
    return markdown(["configuration", "seeds", *FIGURES, "max_box_acc against plain"], lines)


def table_of_shift(rows: pd.DataFrame) -> str:
    """Figures of the attention shift: means over seeds, and the widest ends of the seeds' intervals."""
    lines = []
    for (name, group), runs in rows.groupby(["configuration", "group"], sort=False):
        for figure, found in runs.groupby("figure", sort=False):
            mean, low, high = found["mean"].mean(), found["low"].min(), found["high"].max()
            lines.append([str(name), str(group), str(figure), f"{mean:.3f} [{low:.3f}, {high:.3f}]"])
    return markdown(
        ["configuration", "images", "figure", "mean [lowest end, highest end of the seeds' intervals]"], lines
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, required=True, help="folder of imagenet650")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "photographs_pretrained")
    parser.add_argument("--rounds", type=int, default=3, help="seeds 0 to ROUNDS - 1")
    parser.add_argument("--only", nargs="+", default=list(CONFIGURATIONS), choices=CONFIGURATIONS, metavar="NAME")
    parser.add_argument("--table", action="store_true", help="print the tables of finished runs and end")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.work.mkdir(parents=True, exist_ok=True)
    photographs = Photographs(arguments.photographs, arguments.work)
    if not arguments.table:
        halves = Halves(photographs)
        for seed in range(arguments.rounds):
            for name in arguments.only:
                done = CSV.exists() and (pd.read_csv(CSV)[["configuration", "seed"]] == [name, seed]).all(axis=1).any()
                if not done:
                    rows, shift = run(photographs, halves, name, seed)
                    if shift:
                        add_rows(SHIFT, shift)
                    add_rows(CSV, rows)
                    print(rows[-1], flush=True)
    print(table(photographs, pd.read_csv(CSV)), table_of_shift(pd.read_csv(SHIFT)), sep="\n\n")


if __name__ == "__main__":
    main()

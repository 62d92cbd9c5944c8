"""Feedback put into EfficientNet-Lite0, whose last stages are then trained on photographs, with image labels only.

python scripts/experiments/feedback_on_photographs.py --photographs ../shared/real    # finished runs are kept
python scripts/experiments/feedback_on_photographs.py --photographs ../shared/real --table

The last two stages and the last convolution are trained; classifier (on `imagenet10` and `pets3` the linear probe of
photographs.py), earlier stages and all running statistics stay. `imagenet650` has one split: the photographs of one
half (even and odd in turn) train, those of the other are judged, and the reverse; the others have a train split. One
row per dataset, configuration, seed and step goes to docs/data/photographs_feedback.csv, the figures of attention shift
to docs/data/photographs_feedback_shift.csv. The shift is taken at the fixed threshold: no box chooses anything.
"""

from __future__ import annotations

import argparse
import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from comparison import markdown, mean_and_interval
from cross_stage import HandDown
from kept_features import judge_features
from photographs import WSOLEVALUATION, Photographs, hits_and_sizes, transformed
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
CSV = ROOT / "docs" / "data" / "photographs_feedback.csv"
SHIFT = ROOT / "docs" / "data" / "photographs_feedback_shift.csv"
DATASETS = ("imagenet650", "imagenet10", "pets3")
NETWORK = "tf_efficientnet_lite0"
TRAINED_STAGES = 2
UNTRAINED, PLAIN, HANDED_DOWN = "untrained", "plain", "energy handed down"
# Options of the TDAM network; None: a plain network. Every one starts as the published network.
CONFIGURATIONS: dict[str, dict[str, Any] | None] = {
    UNTRAINED: None,
    PLAIN: None,
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
KEYS = ["dataset", "configuration", "seed"]


@dataclass(frozen=True)
class Fold:
    """Images that train, and images of the test split that are judged by the network they have trained.

    Attributes:
        maps: Input of the trained stages (2, N, C, h, w): of the training images, and of these mirrored.
        labels: (N,).
        judged: Positions in the test split.
    """

    maps: Tensor
    labels: Tensor
    judged: Tensor


class Task:
    """One dataset as the trained stages see it.

    Args:
        photographs: The datasets.
        name: Which one.

    Attributes:
        network: The published network, with a classifier for the dataset's classes.
        test: The images that are judged.
        maps: Input of the trained stages (N, C, h, w) for these.
        folds: Together they judge every image once.
    """

    def __init__(self, photographs: Photographs, name: str) -> None:
        self.name, self._photographs = name, photographs
        self.network = photographs.network(name, NETWORK)
        self.test, maps = self._split("test")
        self.maps = maps[0]
        places = torch.arange(len(self.test))
        if name == "imagenet650":
            labels = labels_of(self.test)
            self.folds = [Fold(maps[:, half::2], labels[half::2], places[1 - half :: 2]) for half in (0, 1)]
        else:
            train, maps = self._split("train")
            self.folds = [Fold(maps, labels_of(train), places)]

    def _split(self, split: str) -> tuple[LocalizationDataset, Tensor]:
        """A split, and the maps (2, N, C, h, w) of its images and of these mirrored; made at first use."""
        protocol = get_protocol(WSOLEVALUATION)
        dataset = transformed(self._photographs.open(self.name, split), self.network, protocol)
        path = self._photographs.work / "features" / f"{self.name}-{split}-front.npy"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path, sync=False) as part, part.open("wb") as file:
                np.save(file, self._front(dataset).numpy())
        return dataset, torch.from_numpy(np.load(path))

    @torch.no_grad()
    def _front(self, dataset: LocalizationDataset) -> Tensor:
        model: Any = self.network.model
        front = nn.Sequential(model.conv_stem, model.bn1, *model.blocks[:-TRAINED_STAGES])
        loader = torch.utils.data.DataLoader(dataset, batch_size=BATCH)
        return torch.stack(
            [torch.cat([front(images.flip(-1) if flip else images) for images, _, _ in loader]) for flip in (0, 1)]
        )

    def back(self, configuration: str) -> Any:
        """A new network of a configuration that takes `maps` in place of images."""
        model: Any = copy.deepcopy(self.network.model)
        options = CONFIGURATIONS[configuration]
        if options is not None:
            tdam.add_feedback(model, tdam.FeedbackOptions(init="identity", **options))
        model.conv_stem, model.bn1 = nn.Identity(), nn.Identity()
        for stage in range(len(model.blocks) - TRAINED_STAGES):
            model.blocks[stage] = nn.Identity()
        if configuration == HANDED_DOWN:
            model.bn2 = nn.Sequential(model.bn2, HandDown())
        # Running statistics stay: a batch is too small to replace those of 1.3 million images.
        return model.eval()

    def train(self, configuration: str, seed: int, fold: Fold) -> tuple[Any, float]:
        """A network of a configuration, trained on the images of a fold; and the loss of its last batch."""
        torch.manual_seed(seed)
        model = self.back(configuration)
        if configuration == UNTRAINED:
            return model, float("nan")
        model.get_classifier().requires_grad_(False)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, LR, weight_decay=WEIGHT_DECAY)
        steps = EPOCHS * -(-len(fold.labels) // BATCH)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(EPOCHS):
            for batch in torch.randperm(len(fold.labels)).split(BATCH):
                mirrored = torch.randint(2, (len(batch),))
                loss = nn.functional.cross_entropy(model(fold.maps[mirrored, batch]), fold.labels[batch])
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(trained, CLIP)
                optimizer.step()
                schedule.step()
        return model, float(loss.detach())

    @torch.no_grad()
    def apply(self, model: Any, places: Tensor) -> tuple[Tensor, Tensor]:
        """Last maps (T, B, D, h, w) and logits (T, B, C) of every step on some of the test images."""
        found = [tdam.forward_steps(model, self.maps[some]) for some in places.split(BATCH)]
        return torch.cat([one.features for one in found], 1), torch.cat([one.logits for one in found], 1)


def labels_of(dataset: LocalizationDataset) -> Tensor:
    """Labels (N,) of a split."""
    return torch.from_numpy(dataset.ground_truth.labels)


def run(
    photographs: Photographs, task: Task, name: str, seed: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Train on every fold, judge each image once; rows of every step, and rows of the attention shift."""
    parts, loss = [], float("nan")
    for fold in task.folds:
        model, loss = task.train(name, seed, fold)
        parts.append(task.apply(model, fold.judged))
    places = torch.cat([fold.judged for fold in task.folds])
    features, logits = (in_order(torch.cat(values, 1), places) for values in zip(*parts, strict=True))
    protocol = get_protocol(WSOLEVALUATION)
    keys: dict[str, Any] = {"dataset": task.name, "configuration": name, "seed": seed}
    thresholds = Thresholds(protocol.threshold_for("imagenet"))
    rows = []
    for step, maps in enumerate(features, start=1):
        folder = photographs.work / "records" / f"{task.name}-{name}-{seed}-{step}".replace(" ", "_")
        judged = judge_features(maps.numpy(), task.network, task.test, "cam", protocol, thresholds, folder)
        figures = row_figures(judged, count_split(judged), "1")
        hits, sizes = hits_and_sizes(judged, task.network.input_size)
        path = hits_file(photographs, task.name, name, seed, step)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, hits=hits["largest@0.5"])
        found = {
            "top1_cls": 100.0 * float((logits[step - 1].argmax(1) == labels_of(task.test)).float().mean()),
            "gt_known_fixed": figures["gt_known_loc"]["fixed"],
            **{key: figures[key] for key in ("max_box_acc", "max_box_acc_v2")},
            **{key: sizes[key]["oracle"] for key in ("size_balanced", "centre_box_fails")},
        }
        values = {key: round(float(value), 3) for key, value in found.items()}
        rows.append({**keys, "epochs": EPOCHS if name != UNTRAINED else 0, "step": step, "loss": loss, **values})
    if len(features) == 1:
        return rows, []
    return rows, [{**keys, **row} for row in shift_rows(task, features, logits, thresholds.fixed)]


def in_order(values: Tensor, places: Tensor) -> Tensor:
    """Values (T, N, …) of images at `places`, put back into the order of the images."""
    return values[:, places.argsort()]


def shift_rows(task: Task, features: Tensor, logits: Tensor, threshold: float) -> list[dict[str, Any]]:
    """Attention shift from the first step to the last, of images with one box and of images with several."""
    steps, protocol, truth = len(features), get_protocol(WSOLEVALUATION), task.test.ground_truth
    weight = task.network.model.get_classifier().weight.detach()  # type: ignore[operator]
    height, width = task.network.input_size
    metric = AttentionShift(steps, (threshold,) * steps)
    for images in torch.arange(len(truth)).split(BATCH):
        maps = torch.einsum("tbdhw,bd->tbhw", features[:, images], weight[labels_of(task.test)[images]])
        sizes = truth.sizes[images.numpy()]
        boxes = [
            protocol.map_boxes(truth.boxes[int(image)], size, (width, height))
            for image, size in zip(images, sizes, strict=True)
        ]
        metric.update(wsol.score_maps(maps, (height, width)), boxes, sizes, logits[:, images])
    rows = []
    for group, found in metric.compute()["groups"].items():
        if not found["images"]:
            continue
        figures = {**found["pairs"][f"1-{steps}"], **found["objects"]}
        for figure, values in figures.items():
            rows.append({"group": group, "figure": figure, **values})
    return rows


def hits_file(photographs: Photographs, dataset: str, name: str, seed: int, step: int) -> Path:
    """Where the hits (N, thresholds) of a step lie."""
    return photographs.work / "hits" / f"{dataset}-{name}-{seed}-{step}.npz".replace(" ", "_")


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
    dataset, name = runs.dataset.iloc[0], runs.configuration.iloc[0]
    for seed, step in zip(runs.seed, runs.step, strict=True):
        files = [hits_file(photographs, dataset, name, seed, step), hits_file(photographs, dataset, PLAIN, seed, 1)]
        if name != PLAIN and all(path.exists() for path in files):
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
    for (dataset, name, step), runs in rows.groupby(["dataset", "configuration", "step"], sort=False):
        means = [mean_and_interval(runs[figure]) for figure in FIGURES]
        cells = [str(dataset), f"{name}, step {step}", str(len(runs)), *means]
        lines.append([*cells, against_plain(photographs, runs)])
    return markdown(["dataset", "configuration", "seeds", *FIGURES, "max_box_acc against plain"], lines)


def table_of_shift(rows: pd.DataFrame) -> str:
    """Figures of the attention shift: means over seeds, and the widest ends of the seeds' intervals."""
    lines = []
    for keys, runs in rows.groupby(["dataset", "configuration", "group"], sort=False):
        for figure, found in runs.groupby("figure", sort=False):
            mean, low, high = found["mean"].mean(), found["low"].min(), found["high"].max()
            lines.append([*map(str, keys), str(len(found)), str(figure), f"{mean:.3f} [{low:.3f}, {high:.3f}]"])
    ends = "mean [lowest end, highest end of the seeds' intervals]"
    return markdown(["dataset", "configuration", "images", "seeds", "figure", ends], lines)


def is_done(dataset: str, name: str, seed: int) -> bool:
    """Whether a run's rows are in the CSV."""
    return CSV.exists() and bool((pd.read_csv(CSV)[KEYS] == [dataset, name, seed]).all(axis=1).any())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, required=True, help="folder of imagenet650, imagenet10 and pets3")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "photographs_pretrained")
    parser.add_argument("--rounds", type=int, default=3, help="seeds 0 to ROUNDS - 1")
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS), choices=DATASETS)
    parser.add_argument("--only", nargs="+", default=list(CONFIGURATIONS), choices=CONFIGURATIONS, metavar="NAME")
    parser.add_argument("--table", action="store_true", help="print the tables of finished runs and end")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.work.mkdir(parents=True, exist_ok=True)
    photographs = Photographs(arguments.photographs, arguments.work)
    for dataset in () if arguments.table else arguments.datasets:
        task = Task(photographs, dataset)
        for seed in range(arguments.rounds):
            for name in arguments.only:
                if is_done(dataset, name, seed) or (name == UNTRAINED and seed > 0):
                    continue
                rows, shift = run(photographs, task, name, seed)
                if shift:
                    add_rows(SHIFT, shift)
                add_rows(CSV, rows)
                print(rows[-1], flush=True)
    print(table(photographs, pd.read_csv(CSV)), table_of_shift(pd.read_csv(SHIFT)), sep="\n\n")


if __name__ == "__main__":
    main()

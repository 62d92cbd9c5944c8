"""What each way to come by a threshold is worth: no boxes, pseudo boxes, true boxes of other images, the oracle.

python scripts/experiments/threshold_choices.py --photographs ../shared/real --metadata ../shared/metadata

`imagenet650` (EfficientNet-Lite0) has one split: even and odd images choose for each other. minibirds has a val split.
Pseudo boxes: those of another network at the fixed threshold, which saw no box; and true boxes spoiled as the published
CLIP, RPN and selective-search lists are. Those lists name images that are not at hand, so their errors are transferred:
every true box is shifted and scaled as the list's box of an object of like size is, in twenty draws. Rows go to
docs/data/threshold_choices.csv, the quality of the lists themselves to docs/data/pseudo_boxes.csv.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from comparison import markdown
from photographs import converter

from eval.analysis.intervals import poisson_counts
from eval.maps.opened import Opened
from eval.options import EvaluationOptions
from tdam.files import write_text
from wsol.boxes import quantize_score_map, to_map_pixels
from wsol.boxes.thresholds import DEFAULT_RULES, find_rule
from wsol.data import GroundTruth, LocalizationDataset
from wsol.sweep import best_iou_per_cut, cam_thresholds, cut_table

ROOT = Path(__file__).parents[2]
CSV, LISTS_CSV = ROOT / "docs" / "data" / "threshold_choices.csv", ROOT / "docs" / "data" / "pseudo_boxes.csv"
LISTS = {"CLIP": "clip", "RPN": "rpn", "selective search": "selective_search"}
FIXED, IOU = 0.2, 0.5
DRAWS, LIKE, REPLICATES = 20, 100, 1000
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Swept:
    """Boxes of a split's maps at every cut.

    Attributes:
        boxes: ``(N, 256, 4)`` ``x0 y0 x1 y1`` relative to the map's width and height.
        maximum: ``(N,)`` maxima of the 8-bit maps.
        own_cuts: Rule -> cuts ``(N,)`` that it finds.
        truth: True boxes of each image ``(K, 4)``, relative.
        side: Side of the maps in pixels.
    """

    boxes: Floats
    maximum: npt.NDArray[np.uint8]
    own_cuts: dict[str, npt.NDArray[np.int64]]
    truth: list[Floats]
    side: int

    def hits(self, boxes: Sequence[Floats]) -> npt.NDArray[np.bool_]:
        """Whether the box at each cut meets one of each image's boxes ``(N, 256)``."""
        return np.array([best_iou(*pair, self.side) >= IOU for pair in zip(self.boxes, boxes, strict=True)])

    def at_thresholds(self, hits: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Hits per cut as hits per threshold relative to the map's maximum ``(N, n)``."""
        return np.take_along_axis(hits, cut_table(self.maximum, cam_thresholds()), axis=1)

    def part(self, places: slice) -> Swept:
        """Some of the images."""
        cuts = {rule: found[places] for rule, found in self.own_cuts.items()}
        return Swept(self.boxes[places], self.maximum[places], cuts, self.truth[places], self.side)


def best_iou(found: Floats, boxes: Floats, side: int) -> Floats:
    """Best IoU ``(n,)`` of relative boxes ``(n, 4)`` with others ``(K, 4)``, pixels closed as in wsolevaluation."""
    first, second = (np.trunc(one * side + 1e-6)[..., None, :] for one in (found, boxes))
    second = np.moveaxis(second, -2, 0)
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2]) + 1
    overlap = np.clip(sides, 0, None).prod(-1)
    areas = [(one[..., 2:] - one[..., :2] + 1).prod(-1) for one in (first, second)]
    return (overlap / (areas[0] + areas[1] - overlap)).max(-1)


def sweep_split(opened: Opened, dataset: LocalizationDataset) -> Swept:
    """Judge the CAM of the label, last step, of all images of a split."""
    truth, source = dataset.ground_truth, opened.source(dataset, None)
    side, _ = source.map_size
    boxes, maxima, relative = [], [], []
    cuts: dict[str, list[int]] = {rule: [] for rule in DEFAULT_RULES}
    for batch in source.batches(range(len(truth))):
        maps = batch.score_maps[-1]
        objects = [map_boxes(truth, index, side) for index in batch.indices]
        found = best_iou_per_cut(maps, objects)
        boxes.append(found.largest_boxes / side)
        maxima.append(found.maximum)
        relative += [one / side for one in objects]
        for rule, of_rule in cuts.items():
            of_rule += find_rule(rule).cuts(np.stack([quantize_score_map(one) for one in maps])).tolist()
    return Swept(
        np.concatenate(boxes),
        np.concatenate(maxima),
        {rule: np.array(of_rule) for rule, of_rule in cuts.items()},
        relative,
        side,
    )


def map_boxes(truth: GroundTruth, index: int, side: int) -> npt.NDArray[np.int64]:
    """True boxes of an image in map pixels."""
    return to_map_pixels(truth.boxes[index], truth.sizes[index], (side, side)).astype(np.int64)


def boxes_of_other(swept: Swept) -> list[Floats]:
    """The other network's boxes at the fixed threshold."""
    cuts = cut_table(swept.maximum, [FIXED])[:, 0]
    return [boxes[cut][None] for boxes, cut in zip(swept.boxes, cuts, strict=True)]


@dataclass(frozen=True)
class PublishedList:
    """A published list of pseudo boxes beside the true ones of the same images, all relative to the image.

    Attributes:
        truth: ``(N, 4)`` true box of each image, the one that its pseudo box meets best.
        pseudo: ``(N, 4)`` its pseudo box.
    """

    truth: Floats
    pseudo: Floats

    @classmethod
    def read(cls, metadata: Path, dataset: str, name: str) -> PublishedList:
        """Read the list of a dataset's val split."""
        folder = metadata / dataset / "val"
        lists = GroundTruth.from_lists(folder, dataset, "val")
        pseudo = lists.with_boxes(metadata / "pseudo" / name / dataset / "val" / "localization.txt")
        pairs = []
        for true, found, size in zip(lists.boxes, pseudo.boxes, lists.sizes, strict=True):
            if len(true) and len(found):
                scale = np.tile(np.asarray(size, dtype=float), 2)
                first, second = true / scale, found[:1] / scale
                pairs.append((first[best_iou_each(first, second).argmax()], second[0]))
        truth, boxes = (np.array(part) for part in zip(*pairs, strict=True))
        return cls(truth, boxes)

    def quality(self) -> dict[str, float]:
        """Mean IoU with the true boxes, and percent of at least 0.5."""
        iou = np.array([best_iou_each(a[None], b[None])[0] for a, b in zip(self.truth, self.pseudo, strict=True)])
        return {"images": len(iou), "mean_iou": 100 * iou.mean(), "iou_50": 100 * (iou >= IOU).mean()}

    def spoil(self, boxes: Sequence[Floats], draw: int) -> list[Floats]:
        """True boxes shifted and scaled as this list's boxes of objects of like area are."""
        generator = np.random.default_rng(draw)
        areas = area(self.truth)
        order = np.argsort(areas)
        spoiled = []
        for true in boxes:
            box = true[generator.integers(len(true))]
            place = np.searchsorted(areas[order], area(box))
            first = int(np.clip(place - LIKE // 2, 0, max(0, len(order) - LIKE)))
            like = order[generator.integers(first, min(first + LIKE, len(order)))]
            spoiled.append(moved(box, self.truth[like], self.pseudo[like])[None])
        return spoiled


def best_iou_each(first: Floats, second: Floats) -> Floats:
    """Best IoU of each relative box with the others, on a grid fine enough for any image."""
    return best_iou(first, second, side=1000)


def area(boxes: Floats) -> Floats:
    """Areas of relative boxes, at least that of a pixel."""
    return np.maximum(boxes[..., 2:] - boxes[..., :2], 1e-3).prod(-1)


def moved(box: Floats, true: Floats, pseudo: Floats) -> Floats:
    """A box that is to `box` what `pseudo` is to `true`, cut at the border of the image."""
    size = np.tile(np.maximum(true[2:] - true[:2], 1e-3), 2)
    offsets = (pseudo - np.tile(true[:2], 2)) / size
    return np.clip(np.tile(box[:2], 2) + offsets * np.tile(box[2:] - box[:2], 2), 0, 1)


def choose(chooser: npt.NDArray[Any], judged: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Hits ``(M,)`` of some images at the threshold that finds most of the others."""
    return judged[:, chooser.sum(axis=0).argmax()]


Chosen = Callable[[Callable[[Swept], Sequence[Floats]]], npt.NDArray[Any]]


def by_halves(swept: Swept) -> Chosen:
    """Even and odd images choose for each other."""
    judged = swept.at_thresholds(swept.hits(swept.truth))

    def chosen(boxes_of: Callable[[Swept], Sequence[Floats]]) -> npt.NDArray[Any]:
        chooser = swept.at_thresholds(swept.hits(boxes_of(swept)))
        found = np.zeros(len(judged))
        for half in (0, 1):
            found[half::2] = choose(chooser[1 - half :: 2], judged[half::2])
        return found

    return chosen


def by_val(val: Swept, test: Swept) -> Chosen:
    """The val split chooses for the test split."""
    judged = test.at_thresholds(test.hits(test.truth))
    return lambda boxes_of: choose(val.at_thresholds(val.hits(boxes_of(val))), judged)


def spoiled_by(published: PublishedList, draw: int) -> Callable[[Swept], Sequence[Floats]]:
    """Gives a split's true boxes with the errors of a list."""
    return lambda one: published.spoil(one.truth, draw)


def ways(
    swept: Swept, chosen: Chosen, other: Callable[[Swept], Sequence[Floats]], lists: dict[str, PublishedList]
) -> Iterator[tuple[str, str, npt.NDArray[Any]]]:
    """Name, boxes looked at, and hits ``(N,)`` of every way to come by a threshold."""
    hits = swept.hits(swept.truth)
    judged = swept.at_thresholds(hits)
    for rule, cuts in swept.own_cuts.items():
        yield rule, "none", np.take_along_axis(hits, cuts[:, None], axis=1)[:, 0]
    yield f"fixed {FIXED}", "none", np.take_along_axis(hits, cut_table(swept.maximum, [FIXED]), axis=1)[:, 0]
    yield "another network's boxes", "pseudo", chosen(other)
    for name, published in lists.items():
        draws = [chosen(spoiled_by(published, draw)) for draw in range(DRAWS)]
        yield f"boxes with the errors of {name}", "pseudo", np.mean(draws, axis=0)
    yield "true val boxes", "val", chosen(lambda one: one.truth)
    yield "oracle", "test", choose(judged, judged)


def rows_of(dataset: str, network: str, found: Sequence[tuple[str, str, npt.NDArray[Any]]]) -> list[dict[str, Any]]:
    """A row for each way, with its difference to true val boxes."""
    base = next(hits for name, _, hits in found if name == "true val boxes").astype(float)
    weights = poisson_counts(np.arange(len(base)), REPLICATES)
    totals = weights.sum(axis=1)
    rows = []
    for name, boxes, hits in found:
        values = hits.astype(float)
        low, high = np.quantile(100 * (weights @ values) / totals, [0.025, 0.975])
        d_low, d_high = np.quantile(100 * (weights @ (values - base)) / totals, [0.025, 0.975])
        facts = {"dataset": dataset, "network": network, "images": len(base), "choice": name, "boxes": boxes}
        figures = {"gt_known": 100 * values.mean(), "low": low, "high": high}
        against = {"against_val": 100 * (values - base).mean(), "against_val_low": d_low, "against_val_high": d_high}
        rows.append({**facts, **figures, **against})
    return rows


def open_network(work: Path, model: str, **options: Any) -> Opened:
    """A network and its dataset."""
    checkpoint = None
    if model.startswith("tf_"):
        checkpoint = work / f"{model}.safetensors"
        if not checkpoint.exists():
            converter().convert(checkpoint, model)
    return Opened(EvaluationOptions(model=model, checkpoint=checkpoint, **options), torch.device("cpu"))


def photographs(arguments: argparse.Namespace, lists: dict[str, PublishedList]) -> list[dict[str, Any]]:
    """Rows of `imagenet650`."""
    options = {"dataset": "imagenet", "data_root": arguments.photographs / "imagenet650"}
    first, second = (
        sweep_split(one, one.dataset)
        for one in (open_network(arguments.work, f"tf_efficientnet_lite{n}", **options) for n in (0, 1))
    )
    found = list(ways(first, by_halves(first), lambda one: boxes_of_other(second), lists))
    return rows_of("imagenet650", "EfficientNet-Lite0", found)


def minibirds(arguments: argparse.Namespace, lists: dict[str, PublishedList]) -> list[dict[str, Any]]:
    """Rows of minibirds: the bundled network, and its plain twin for pseudo boxes."""
    opened, other = (
        open_network(arguments.work, name, dataset="minibirds") for name in ("resnet_mini_tdam", "resnet_mini")
    )
    val, test = (sweep_split(opened, opened.split(name)) for name in ("val", "test"))
    pseudo = boxes_of_other(sweep_split(other, other.split("val")))
    found = list(ways(test, by_val(val, test), lambda one: pseudo, lists))
    return rows_of("minibirds", "resnet_mini_tdam", found)


def table(rows: pd.DataFrame) -> str:
    """All rows in Markdown, the datasets one below the other."""
    lines = [
        [
            row.dataset,
            row.choice,
            row.boxes,
            f"{row.gt_known:.1f} [{row.low:.1f}, {row.high:.1f}]",
            f"{row.against_val:+.1f} [{row.against_val_low:+.1f}, {row.against_val_high:+.1f}]".replace("-", "−"),
        ]
        for row in rows.itertuples()
    ]
    return markdown(["dataset", "threshold", "boxes", "GT-known", "against true val boxes"], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, required=True, help="folder that holds imagenet650")
    parser.add_argument("--metadata", type=Path, required=True, help="folder of wsolevaluation's lists and of pseudo/")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "threshold_choices", help="folder for checkpoints")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    read = {
        (dataset, name): PublishedList.read(arguments.metadata, dataset, folder)
        for dataset in ("ILSVRC", "CUB")
        for name, folder in LISTS.items()
    }
    quality = [{"dataset": dataset, "list": name, **one.quality()} for (dataset, name), one in read.items()]
    write_text(LISTS_CSV, pd.DataFrame(quality).to_csv(index=False, float_format="%.2f"))
    print(pd.DataFrame(quality).round(1).to_string(index=False), end="\n\n")
    rows = photographs(arguments, {name: read["ILSVRC", name] for name in LISTS})
    rows += minibirds(arguments, {name: read["CUB", name] for name in LISTS})
    write_text(CSV, pd.DataFrame(rows).to_csv(index=False, float_format="%.3f"))
    print(table(pd.DataFrame(rows)))


if __name__ == "__main__":
    main()

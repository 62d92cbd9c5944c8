"""How attention moves from step to step, measured: on one image, and summed over a split.

All formulas stand in `docs/attention-shift.md`. Maps are those of the ground-truth class, boxes are in score-map
pixels with the convention of wsolevaluation.

    metric = AttentionShift(steps=2, thresholds=(0.2, 0.2))
    metric.update(score_maps, boxes, image_sizes, logits)      # (T, N, H, W), N x (K, 4), (N, 2), (T, N, C)
    metric.compute()["groups"]["several_objects"]["objects"]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from eval.maps import MapBatch
from eval.measures.counts import Counts
from eval.measures.fusion import softmax
from eval.measures.map_comparison import (
    IOU_HIT,
    Boxes,
    Map,
    boxes_area,
    centroid_shift,
    energy_inside,
    js_distance,
    largest_boxes,
    objects_covered,
    rank_correlation,
    region,
    region_iou,
)
from eval.protocols import Protocol
from wsol.data import GroundTruth
from wsol.errors import InputError
from wsol.sweep import box_iou

GROUPS: Final = ("all", "one_object", "several_objects")
PAIR_FIGURES: Final = (
    "box_iou",
    "region_iou",
    "rank_correlation",
    "js_distance",
    "centroid_shift",
    "class_changed",
    "confidence_change",
    "gained",
    "lost",
    "net_gain",
)
STEP_FIGURES: Final = ("localized", "energy_in_boxes", "energy_in_mask", "box_area", "confidence")
OBJECT_FIGURES: Final = ("all_steps", "last_step_as_many_boxes", "gain_over_last_step", "gain_over_as_many_boxes")
SHARES: Final = frozenset({"class_changed", "gained", "lost", "localized"})
"""Figures that are yes or no for an image; their mean is a share."""

Z_95: Final = NormalDist().inv_cdf(0.975)


def step_pairs(steps: int) -> list[tuple[int, int]]:
    """Pairs of steps that are compared: consecutive ones, then first with last.

    >>> step_pairs(3)
    [(1, 2), (2, 3), (1, 3)]
    >>> step_pairs(2)
    [(1, 2)]
    """
    consecutive = [(step, step + 1) for step in range(1, steps)]
    return [*consecutive, (1, steps)] if steps > 2 else consecutive


def image_figures(
    score_maps: Map,
    truth: Boxes,
    image_size: npt.ArrayLike,
    thresholds: Sequence[float],
    probabilities: npt.NDArray[np.floating] | None = None,
    mask: npt.NDArray[np.uint8] | None = None,
    hits: npt.NDArray[np.bool_] | None = None,
) -> dict[str, float]:
    """Every figure of one image.

    Args:
        score_maps: `(T, H, W)` in [0, 1], of the ground-truth class at every step.
        truth: `(K, 4)` ground-truth boxes in score-map pixels.
        image_size: Width and height of the original image.
        thresholds: Threshold of each step, relative to the map's maximum.
        probabilities: `(T, C)` class probabilities; without them figures of classes are left out.
        mask: `(H, W)` uint8, 1 object, 0 background, 255 ignored; without it `energy_in_mask` is left out.
        hits: `(T,)` whether the image is found at each step, as an evaluation decided it; without them a box counts
            from IoU 0.5 on.

    Returns:
        Figures by key, see `figure_keys`. Undefined ones are left out.
    """
    steps = len(score_maps)
    regions = [region(one, threshold) for one, threshold in zip(score_maps, thresholds, strict=True)]
    candidates = [largest_boxes(one, steps) for one in regions]
    boxes = np.stack([found[0] for found in candidates])
    if hits is None:
        hits = np.any(box_iou(boxes, truth) >= IOU_HIT, axis=1)
    inside = boxes_area(truth, score_maps.shape[1:])
    figures = {}
    for step in range(steps):
        x0, y0, x1, y1 = boxes[step]
        figures[f"step/{step + 1}/localized"] = float(hits[step])
        figures[f"step/{step + 1}/energy_in_boxes"] = energy_inside(score_maps[step], inside)
        figures[f"step/{step + 1}/box_area"] = (x1 - x0 + 1) * (y1 - y0 + 1) / inside.size
        if mask is not None:
            judged = np.where(mask == 255, 0, score_maps[step])
            figures[f"step/{step + 1}/energy_in_mask"] = energy_inside(judged, mask == 1)
        if probabilities is not None:
            figures[f"step/{step + 1}/confidence"] = float(probabilities[step].max())
    for first, second in step_pairs(steps):
        a, b = first - 1, second - 1
        pair = {
            "box_iou": float(box_iou(boxes[a : a + 1], boxes[b : b + 1])[0, 0]),
            "region_iou": region_iou(regions[a], regions[b]),
            "rank_correlation": rank_correlation(score_maps[a], score_maps[b]),
            "js_distance": js_distance(score_maps[a], score_maps[b]),
            "centroid_shift": centroid_shift(score_maps[a], score_maps[b], image_size),
            "gained": float(hits[b] and not hits[a]),
            "lost": float(hits[a] and not hits[b]),
            "net_gain": float(hits[b]) - float(hits[a]),
        }
        if probabilities is not None:
            pair["class_changed"] = float(probabilities[a].argmax() != probabilities[b].argmax())
            pair["confidence_change"] = float(probabilities[b].max()) - float(probabilities[a].max())
        figures.update({f"pair/{first}-{second}/{name}": value for name, value in pair.items()})
    if len(truth) > 1:
        figures.update(_object_figures(boxes, candidates[-1], truth))
    return {key: value for key, value in figures.items() if not np.isnan(value)}


def figure_keys(steps: int) -> list[str]:
    """Keys of all figures of a network with `steps` steps.

    >>> figure_keys(1)[:2]
    ['step/1/localized', 'step/1/energy_in_boxes']
    """
    return [
        *(f"step/{step}/{name}" for step in range(1, steps + 1) for name in STEP_FIGURES),
        *(f"pair/{first}-{second}/{name}" for first, second in step_pairs(steps) for name in PAIR_FIGURES),
        *(f"objects/step_{step}" for step in range(1, steps + 1)),
        *(f"objects/{name}" for name in OBJECT_FIGURES),
    ]


class AttentionShift(Counts):
    """Attention-shift figures of a split: means with intervals, for all images and by number of objects.

    The states are integer sums of values in units of 2^-20, so any sharding of a split gives the same bits.

    Args:
        steps: Number of computation steps T.
        thresholds: Threshold of each step's map, relative to its maximum.

    Attributes:
        images: Images per group of `GROUPS`, `(3,)` int64.
        count: Images for which a figure is defined, `(3, F)` int64; F as in `figure_keys`.
        total: Sums, `(3, F)` int64 in units of 2^-20.
        total_of_squares: Sums of squares, `(3, F)` int64 in units of 2^-20.

    >>> maps = torch.zeros(2, 1, 8, 8); maps[0, :, 2:6, 2:6] = 1.0; maps[1, :, 2:6, 3:7] = 1.0
    >>> metric = AttentionShift(steps=2, thresholds=(0.2, 0.2))
    >>> metric.update(maps, [[[2, 2, 6, 6]]], [[8, 8]])
    >>> metric.compute()["groups"]["all"]["pairs"]["1-2"]["region_iou"]["mean"]
    0.6
    """

    images: Tensor
    count: Tensor
    total: Tensor
    total_of_squares: Tensor

    _UNIT = 1 << 20

    def __init__(self, steps: int, thresholds: Sequence[float]) -> None:
        if len(thresholds) != steps:
            raise InputError(f"{steps} steps need {steps} thresholds, got {len(thresholds)}")
        self.steps = steps
        self.thresholds = tuple(float(threshold) for threshold in thresholds)
        self.keys = figure_keys(steps)
        table = (len(GROUPS), len(self.keys))
        super().__init__(images=(len(GROUPS),), count=table, total=table, total_of_squares=table)

    def update(
        self,
        score_maps: Any,
        boxes: Sequence[Any],
        image_sizes: Any,
        logits: Any = None,
        masks: Sequence[npt.NDArray[np.uint8] | None] | None = None,
        hits: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        """Count a batch.

        Args:
            score_maps: `(T, N, H, W)` in [0, 1], of the ground-truth class.
            boxes: N arrays `(K_i, 4)` x0 y0 x1 y1 in score-map pixels.
            image_sizes: `(N, 2)` width and height of the original images.
            logits: `(T, N, C)`, or None where only maps are known.
            masks: N masks `(H, W)` uint8 (1 object, 0 background, 255 ignored) or None each.
            hits: `(T, N)` whether each image is found at each step, as an evaluation decided it; without them a box
                counts from IoU 0.5 on.

        Raises:
            InputError: If the inputs do not fit each other, or an image has no box.
        """
        maps = np.asarray(score_maps)
        if maps.ndim != 4 or len(maps) != self.steps or not maps.shape[1] == len(boxes) == len(image_sizes):
            raise InputError(
                f"need score maps ({self.steps}, N, H, W), N lists of boxes and N sizes; "
                f"got {maps.shape}, {len(boxes)} and {len(image_sizes)}"
            )
        probabilities = None if logits is None else softmax(np.asarray(logits))
        for image, truth in enumerate(np.asarray(one, dtype=np.int64).reshape(-1, 4) for one in boxes):
            if len(truth) == 0:
                raise InputError(f"image {image} of the batch has no ground-truth box")
            figures = image_figures(
                maps[:, image],
                truth,
                image_sizes[image],
                self.thresholds,
                None if probabilities is None else probabilities[:, image],
                None if masks is None else masks[image],
                None if hits is None else hits[:, image],
            )
            self._add(figures, several=len(truth) > 1)

    def update_batch(
        self,
        batch: MapBatch,
        ground_truth: GroundTruth,
        protocol: Protocol,
        hits: npt.NDArray[np.bool_],
        mask_of: Callable[[int, tuple[int, int]], npt.NDArray[np.uint8] | None] | None = None,
    ) -> None:
        """Count what an evaluation pass has at hand; images that are unreadable or have no box are left out.

        Args:
            batch: Maps of some images.
            ground_truth: Lists of the split.
            protocol: Says how boxes are brought to the map's pixels.
            hits: `(T, B)` whether each image is found at each step.
            mask_of: Gives the mask of an image at a size `(H, W)`, or None.
        """
        kept = [
            place
            for place, index in enumerate(batch.indices.tolist())
            if index not in batch.unreadable and len(ground_truth.boxes[index])
        ]
        if not kept:
            return
        indices = batch.indices[kept].tolist()
        height, width = batch.score_maps.shape[-2:]
        sizes = ground_truth.sizes[indices]
        self.update(
            batch.score_maps[:, kept],
            [
                protocol.map_boxes(ground_truth.boxes[index], size, (width, height))
                for index, size in zip(indices, sizes, strict=True)
            ],
            sizes,
            None if batch.logits is None else batch.logits[:, kept],
            None if mask_of is None else [mask_of(index, (height, width)) for index in indices],
            hits[:, kept],
        )

    def compute(self) -> dict[str, Any]:
        """Means with 95 % intervals.

        Returns:
            `thresholds`, and `groups`: per group of `GROUPS` its `images`, `steps` {step: {figure: …}}, `pairs`
            {"1-2": {figure: …}} and, where images hold several objects, `objects` {figure: …}. A figure is `mean`,
            `low`, `high` and `images`, the number of images for which it is defined.
        """
        return {
            "thresholds": list(self.thresholds),
            "groups": {group: self._group(number) for number, group in enumerate(GROUPS)},
        }

    def _add(self, figures: Mapping[str, float], several: bool) -> None:
        places = [self.keys.index(key) for key in figures]
        values = np.array(list(figures.values()))
        total = torch.from_numpy(np.rint(values * self._UNIT).astype(np.int64))
        squares = torch.from_numpy(np.rint(values**2 * self._UNIT).astype(np.int64))
        for group in (0, 2 if several else 1):
            self.images[group] += 1
            self.count[group, places] += 1
            self.total[group, places] += total
            self.total_of_squares[group, places] += squares

    def _group(self, group: int) -> dict[str, Any]:
        result: dict[str, Any] = {"images": int(self.images[group]), "steps": {}, "pairs": {}, "objects": {}}
        for place, key in enumerate(self.keys):
            count = int(self.count[group, place])
            if count == 0:
                continue
            mean = int(self.total[group, place]) / self._UNIT / count
            mean_square = int(self.total_of_squares[group, place]) / self._UNIT / count
            figure = _figure(key.split("/")[-1], count, mean, mean_square)
            match key.split("/"):
                case ["step", step, name]:
                    result["steps"].setdefault(step, {})[name] = figure
                case ["pair", pair, name]:
                    result["pairs"].setdefault(pair, {})[name] = figure
                case ["objects", name]:
                    result["objects"][name] = figure
        return result


def _figure(name: str, count: int, mean: float, mean_square: float) -> dict[str, float]:
    if name in SHARES:
        from scipy import stats  # only where figures are counted, see `map_comparison`

        # Wilson's interval is sound also where nearly all or nearly no images count.
        low, high = stats.binomtest(round(mean * count), count).proportion_ci(0.95, method="wilson")
    else:
        half = Z_95 * (max(mean_square - mean**2, 0.0) / count) ** 0.5
        low, high = mean - half, mean + half
    return {"mean": round(mean, 6), "low": round(low, 6), "high": round(high, 6), "images": count}


def _object_figures(boxes: Boxes, last_candidates: Boxes, truth: Boxes) -> dict[str, float]:
    """Distinct objects that one step and all steps cover, and what as many boxes of the last step cover."""
    by_step = [objects_covered(box[None], truth) for box in boxes]
    by_all = objects_covered(boxes, truth)
    as_many = objects_covered(last_candidates, truth)
    return {
        **{f"objects/step_{step}": float(covered) for step, covered in enumerate(by_step, start=1)},
        "objects/all_steps": float(by_all),
        "objects/last_step_as_many_boxes": float(as_many),
        "objects/gain_over_last_step": float(by_all - by_step[-1]),
        "objects/gain_over_as_many_boxes": float(by_all - as_many),
    }

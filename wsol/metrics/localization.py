"""Classification and localization accuracies of one map per image, at every threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tdam.errors import check_name
from wsol.errors import InputError, NothingToJudgeError
from wsol.metrics.counting import CountingMetric
from wsol.metrics.max_box_acc import as_sweep
from wsol.metrics.ranks import label_ranks
from wsol.sweep import BoxConvention, BoxRule, Sweep, cam_thresholds

LOC_FIGURES = ("gt_known_loc", "top1_loc", "top5_loc")


class LocalizationAccuracy(CountingMetric):
    """Top-1 and Top-5 classification, GT-known Loc, Top-1 Loc and Top-5 Loc.

    The map is that of the ground-truth class. GT-known Loc counts images whose box meets the ground
    truth; Top-k Loc counts those of them whose label is among the k highest logits. With maps that
    belong to a class and one threshold this equals the definition by "the box of the predicted
    class": a guess can count only if its class is the label, and then its map is this map.

    Counts are kept for every score-map threshold, so that the figures at a fixed threshold, at one
    chosen on other images and at the best one (an oracle) are read from the same counters.

    Args:
        iou_threshold: A box is a hit from this IoU on.
        cam_threshold_interval: Step of the score-map thresholds 0, step, … below 1.
        rule: ``"largest"``: the box of the largest contour. ``"all"``: the best box of all contours.
        strict: Demand an IoU above the threshold, as some papers do, instead of at least it.
        convention: How boxes are written down and overlap; wsolevaluation's by default.
        **kwargs: Passed to `torchmetrics.Metric`.

    Attributes:
        thresholds: ``(n,)`` float64 score-map thresholds.
        images, num_top1_cls, num_top5_cls: int64 counts.
        num_gt_known_loc, num_top1_loc, num_top5_loc: ``(n,)`` int64 counts at each threshold.

    >>> score_maps = torch.zeros(2, 8, 8); score_maps[:, 2:6, 2:6] = 1.0
    >>> metric = LocalizationAccuracy()
    >>> metric.update(score_maps, [[[2, 2, 6, 6]], [[2, 2, 6, 6]]], torch.eye(2, 10), torch.tensor([0, 3]))
    >>> metric.at_threshold(0.2)
    {'gt_known_loc': 100.0, 'top1_loc': 50.0, 'top5_loc': 100.0}
    >>> metric.compute()["top1_cls"]
    50.0
    """

    images: Tensor
    num_top1_cls: Tensor
    num_top5_cls: Tensor
    num_gt_known_loc: Tensor
    num_top1_loc: Tensor
    num_top5_loc: Tensor

    def __init__(
        self,
        iou_threshold: float = 0.5,
        cam_threshold_interval: float = 0.001,
        rule: BoxRule = "largest",
        strict: bool = False,
        convention: BoxConvention | None = None,
        **kwargs: Any,
    ) -> None:
        if not 0 <= iou_threshold <= 1:
            raise InputError(f"the IoU threshold must lie in [0, 1], got {iou_threshold}")
        check_name("box rule", rule, get_args(BoxRule))
        convention = convention or BoxConvention()
        description = {
            "iou_threshold": float(iou_threshold),
            "cam_threshold_interval": cam_threshold_interval,
            "rule": rule,
            "strict": strict,
            "convention": convention,
        }
        super().__init__(description, **kwargs)
        self.iou_threshold = float(iou_threshold)
        self.thresholds = cam_thresholds(cam_threshold_interval)
        self.rule = rule
        self.strict = strict
        self.convention = convention
        for name in ("images", "num_top1_cls", "num_top5_cls"):
            self.add_count(name)
        for figure in LOC_FIGURES:
            self.add_count(f"num_{figure}", len(self.thresholds))

    def update(self, score_maps: Any, boxes: Sequence[Any] | None, logits: Any, labels: Any) -> None:
        """Count a batch.

        Args:
            score_maps: ``(N, H, W)`` float32 or float64 in [0, 1] of the ground-truth class, or the
                `Sweep` made from them.
            boxes: N arrays ``(K_i, 4)`` ``x0 y0 x1 y1`` in score-map pixels; None with a `Sweep`.
            logits: ``(N, C)`` class scores; only their order matters.
            labels: ``(N,)`` integer ground-truth classes.

        Raises:
            InputError: If the inputs cannot be scored or do not fit each other.
        """
        sweep = as_sweep(score_maps, boxes, self.convention)
        ranks = label_ranks(logits, labels)
        if len(ranks) != len(sweep):
            raise InputError(f"{len(sweep)} score maps, but logits of {len(ranks)} images")
        best_iou = sweep.iou(self.rule)
        hits = best_iou > self.iou_threshold if self.strict else best_iou >= self.iou_threshold
        self.images += len(sweep)
        self.num_top1_cls += int((ranks < 1).sum())
        self.num_top5_cls += int((ranks < 5).sum())
        for figure, counted in zip(LOC_FIGURES, (ranks >= 0, ranks < 1, ranks < 5), strict=True):
            counts = torch.from_numpy(sweep.count_per_threshold(hits & counted[:, None], self.thresholds))
            state = getattr(self, f"num_{figure}")
            state += counts.to(state.device)

    def update_from_sweep(self, sweep: Sweep, logits: Any, labels: Any) -> None:
        """Count a batch whose sweep is already known, so that one sweep feeds several metrics."""
        self.update(sweep, None, logits, labels)

    def curves(self) -> dict[str, NDArray[np.float64]]:
        """Percent ``(n,)`` at each of `thresholds` of gt_known_loc, top1_loc and top5_loc.

        Raises:
            NothingToJudgeError: If no image has been counted.
        """
        images = self._counted_images()
        return {figure: getattr(self, f"num_{figure}").cpu().numpy() * 100.0 / images for figure in LOC_FIGURES}

    def at_threshold(self, threshold: float) -> dict[str, float]:
        """Percent of gt_known_loc, top1_loc and top5_loc at one of `thresholds`.

        Raises:
            InputError: If the threshold is not one of `thresholds`.
            NothingToJudgeError: If no image has been counted.
        """
        index = int(np.abs(self.thresholds - threshold).argmin())
        if abs(self.thresholds[index] - threshold) > 1e-9:
            raise InputError(
                f"threshold {threshold} is not among the counted ones; the nearest is {self.thresholds[index]:g}"
            )
        return {figure: float(curve[index]) for figure, curve in self.curves().items()}

    def best_threshold(self, figure: str = "gt_known_loc") -> float:
        """Threshold with the highest figure, the lowest of several: an oracle on the counted images."""
        return float(self.thresholds[self.curves()[figure].argmax()])

    def compute(self) -> dict[str, Any]:
        """Classification accuracies, and each localization figure at its own best threshold (oracle).

        Returns:
            Percent ``top1_cls``, ``top5_cls``, ``gt_known_loc``, ``top1_loc``, ``top5_loc``;
            ``best_threshold`` {figure: threshold, the lowest of several}; ``images``.

        Raises:
            NothingToJudgeError: If no image has been counted.
        """
        images = self._counted_images()
        curves = self.curves()
        return {
            "top1_cls": int(self.num_top1_cls) * 100.0 / images,
            "top5_cls": int(self.num_top5_cls) * 100.0 / images,
            **{figure: float(curve.max()) for figure, curve in curves.items()},
            "best_threshold": {figure: self.best_threshold(figure) for figure in LOC_FIGURES},
            "images": images,
        }

    def _counted_images(self) -> int:
        images = int(self.images)
        if images == 0:
            raise NothingToJudgeError("no image has been counted yet; call update first")
        return images


def localization_accuracy(
    score_maps: Any, boxes: Sequence[Any], logits: Any, labels: Any, threshold: float = 0.2, **options: Any
) -> dict[str, float]:
    """`LocalizationAccuracy.at_threshold` of one batch; options as the class.

    >>> score_map = torch.zeros(1, 8, 8); score_map[0, 2:6, 2:6] = 1.0
    >>> localization_accuracy(score_map, [[[2, 2, 6, 6]]], [[0.0, 1.0]], [1])
    {'gt_known_loc': 100.0, 'top1_loc': 100.0, 'top5_loc': 100.0}
    """
    metric = LocalizationAccuracy(**options)
    metric.update(score_maps, boxes, logits, labels)
    return metric.at_threshold(threshold)

"""MaxBoxAcc and MaxBoxAccV2, with integer counts equal to clovaai/wsolevaluation@96f4b88.

Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right", CVPR 2020 and TPAMI 2022.
Both choose the threshold on the very images they score: they are oracle figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsol.errors import InputError, NothingToJudgeError
from wsol.metrics.counting import CountingMetric
from wsol.sweep import BoxConvention, BoxRule, Sweep, best_iou_per_cut, cam_thresholds

IOU_THRESHOLDS = (0.3, 0.5, 0.7)


class MaxBoxAcc(CountingMetric):
    """Share of images whose largest contour's box meets the ground truth, at the best threshold.

    A box is a hit where its IoU with any ground-truth box of its image is at least the IoU threshold.
    Per IoU threshold, the score-map threshold with the most hits is taken.

    Args:
        iou_thresholds: IoU thresholds in [0, 1]; wsolevaluation's first metric is the value at 0.5.
        cam_threshold_interval: Step of the score-map thresholds 0, step, … below 1.
        convention: How boxes are written down and overlap; wsolevaluation's by default.
        **kwargs: Passed to `torchmetrics.Metric`.

    Attributes:
        num_correct: ``(len(iou_thresholds), n)`` int64 hits at each score-map threshold.
        images: int64 number of images.
        thresholds: ``(n,)`` float64 score-map thresholds.

    >>> score_map = torch.zeros(1, 8, 8); score_map[0, 2:6, 2:6] = 1.0
    >>> metric = MaxBoxAcc(cam_threshold_interval=0.25)
    >>> metric.update(score_map, [[[2, 2, 6, 6]]])
    >>> metric.num_correct
    tensor([[1, 1, 1, 1],
            [1, 1, 1, 1],
            [1, 1, 1, 1]])
    >>> metric.compute()["max_box_acc"]
    {0.3: 100.0, 0.5: 100.0, 0.7: 100.0}
    """

    rule: ClassVar[BoxRule] = "largest"

    num_correct: Tensor
    images: Tensor

    def __init__(
        self,
        iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
        cam_threshold_interval: float = 0.001,
        convention: BoxConvention | None = None,
        **kwargs: Any,
    ) -> None:
        if not len(iou_thresholds) or not all(0 <= threshold <= 1 for threshold in iou_thresholds):
            raise InputError(f"IoU thresholds must lie in [0, 1], got {iou_thresholds}")
        convention = convention or BoxConvention()
        iou_thresholds = tuple(map(float, iou_thresholds))
        description = {"iou_thresholds": iou_thresholds, "cam_threshold_interval": cam_threshold_interval}
        super().__init__(description | {"convention": convention}, **kwargs)
        self.iou_thresholds = iou_thresholds
        self.thresholds = cam_thresholds(cam_threshold_interval)
        self.convention = convention
        self.add_count("num_correct", len(self.iou_thresholds), len(self.thresholds))
        self.add_count("images")

    def update(self, score_maps: Any, boxes: Sequence[Any] | None = None) -> None:
        """Count a batch.

        Args:
            score_maps: ``(N, H, W)`` float32 or float64 in [0, 1], or the `Sweep` made from them.
            boxes: N arrays ``(K_i, 4)`` ``x0 y0 x1 y1`` in score-map pixels; not with a `Sweep`.

        Raises:
            InputError: If maps and boxes cannot be scored.
        """
        sweep = as_sweep(score_maps, boxes, self.convention)
        best_iou = sweep.iou(self.rule)
        counts = [sweep.count_per_threshold(best_iou >= iou, self.thresholds) for iou in self.iou_thresholds]
        self.num_correct += torch.from_numpy(np.stack(counts)).to(self.num_correct.device)
        self.images += len(sweep)

    def update_from_sweep(self, sweep: Sweep) -> None:
        """Count a batch whose sweep is already known, so that one sweep feeds several metrics."""
        self.update(sweep)

    def compute(self) -> dict[str, Any]:
        """Percentages at the best threshold.

        Returns:
            ``max_box_acc`` {IoU threshold: percent}, their ``mean``, ``best_threshold`` {IoU threshold:
            score-map threshold, the lowest of several}, ``images``.

        Raises:
            NothingToJudgeError: If no image has been counted.
        """
        images = self._counted_images()
        num_correct = self.num_correct.cpu().numpy()
        best = num_correct.argmax(axis=1)
        percent = num_correct.max(axis=1) * 100.0 / images
        return {
            "max_box_acc": dict(zip(self.iou_thresholds, percent.tolist(), strict=True)),
            "mean": float(np.average(percent)),
            "best_threshold": dict(zip(self.iou_thresholds, self.thresholds[best].tolist(), strict=True)),
            "images": images,
        }

    def curves(self) -> dict[str, NDArray[np.float64]]:
        """Percent ``(n,)`` at each of `thresholds`, by IoU threshold as text.

        Raises:
            NothingToJudgeError: If no image has been counted.
        """
        percent = self.num_correct.cpu().numpy() * 100.0 / self._counted_images()
        return {f"IoU {iou:g}": curve for iou, curve in zip(self.iou_thresholds, percent, strict=True)}

    def _counted_images(self) -> int:
        images = int(self.images)
        if images == 0:
            raise NothingToJudgeError("no image has been counted yet; call update first")
        return images


class MaxBoxAccV2(MaxBoxAcc):
    """MaxBoxAcc over the boxes of all contours, holes included; its figure is the ``mean`` over IoUs.

    The best of all contours counts, so a map that falls into pieces has more attempts:
    ``boxes_per_image`` of `compute` tells how many.

    Attributes:
        num_boxes: ``(n,)`` int64 candidate boxes of all images at each score-map threshold.

    >>> score_map = torch.zeros(1, 8, 8); score_map[0, 2:6, 2:6] = 1.0; score_map[0, 0, 7] = 1.0
    >>> metric = MaxBoxAccV2(cam_threshold_interval=0.25)
    >>> metric.update(score_map, [[[2, 2, 6, 6]]])
    >>> metric.compute()["mean"], metric.compute()["boxes_per_image"]
    (100.0, {0.3: 2.0, 0.5: 2.0, 0.7: 2.0})
    """

    rule: ClassVar[BoxRule] = "all"

    num_boxes: Tensor

    def __init__(
        self,
        iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
        cam_threshold_interval: float = 0.001,
        convention: BoxConvention | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(iou_thresholds, cam_threshold_interval, convention, **kwargs)
        self.add_count("num_boxes", len(self.thresholds))

    def update(self, score_maps: Any, boxes: Sequence[Any] | None = None) -> None:
        """Count a batch, see `MaxBoxAcc.update`."""
        sweep = as_sweep(score_maps, boxes, self.convention)
        super().update(sweep)
        num_boxes = sweep.count_per_threshold(sweep.num_boxes, self.thresholds)
        self.num_boxes += torch.from_numpy(num_boxes).to(self.num_boxes.device)

    def compute(self) -> dict[str, Any]:
        """Percentages as `MaxBoxAcc.compute`, and ``boxes_per_image`` {IoU threshold: mean number}."""
        result = super().compute()
        best = self.num_correct.cpu().numpy().argmax(axis=1)
        boxes_per_image = self.num_boxes.cpu().numpy()[best] / result["images"]
        result["boxes_per_image"] = dict(zip(self.iou_thresholds, boxes_per_image.tolist(), strict=True))
        return result


def max_box_acc(score_maps: Any, boxes: Sequence[Any], **options: Any) -> dict[str, Any]:
    """`MaxBoxAcc` of one batch; options as the class.

    >>> score_map = torch.zeros(1, 8, 8); score_map[0, 2:6, 2:6] = 1.0
    >>> max_box_acc(score_map, [[[0, 0, 6, 6]]], iou_thresholds=(0.5, 0.7))["max_box_acc"]
    {0.5: 100.0, 0.7: 0.0}
    """
    metric = MaxBoxAcc(**options)
    metric.update(score_maps, boxes)
    return metric.compute()


def max_box_acc_v2(score_maps: Any, boxes: Sequence[Any], **options: Any) -> dict[str, Any]:
    """`MaxBoxAccV2` of one batch; options as the class."""
    metric = MaxBoxAccV2(**options)
    metric.update(score_maps, boxes)
    return metric.compute()


def as_sweep(score_maps: Any, boxes: Sequence[Any] | None, convention: BoxConvention) -> Sweep:
    """The sweep of score maps and boxes; a `Sweep` in their place is passed through."""
    if isinstance(score_maps, Sweep):
        return score_maps
    if boxes is None:
        raise InputError("score maps need the ground-truth boxes of their images")
    return best_iou_per_cut(score_maps, boxes, convention)

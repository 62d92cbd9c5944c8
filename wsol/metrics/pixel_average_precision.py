"""PxAP of Choe et al. (CVPR 2020; TPAMI 2022) with histograms equal to clovaai/wsolevaluation@96f4b88."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from torch import Tensor

from wsol.errors import InputError, NothingToJudgeError
from wsol.metrics.counting import CountingMetric
from wsol.sweep import as_score_maps, cam_thresholds, check_range
from wsol.sweep.inputs import refuse_masked

BACKGROUND, OBJECT, IGNORED = 0, 1, 255


class PixelAveragePrecision(CountingMetric):
    """Area under the pixel precision-recall curve, pixels of all images pooled.

    Args:
        cam_threshold_interval: Width of the histogram bins of scores below 1.
        **kwargs: Passed to `torchmetrics.Metric`.

    Attributes:
        edges: ``(n + 3,)`` float64 edges of the bins: 0, interval, … below 1, then 1, 2, 3; half-open.
        object_histogram: ``(n + 2,)`` int64 object pixels by score.
        background_histogram: ``(n + 2,)`` int64 background pixels by score.

    >>> score_maps = torch.tensor([[[0.9, 0.1], [0.8, 0.2]]])
    >>> masks = torch.tensor([[[1, 0], [0, 255]]], dtype=torch.uint8)
    >>> metric = PixelAveragePrecision(); metric.update(score_maps, masks); metric.compute()
    100.0
    """

    object_histogram: Tensor
    background_histogram: Tensor

    def __init__(self, cam_threshold_interval: float = 0.001, **kwargs: Any) -> None:
        super().__init__({"cam_threshold_interval": cam_threshold_interval}, **kwargs)
        self.edges = np.concatenate([cam_thresholds(cam_threshold_interval), [1.0, 2.0, 3.0]])
        for name in ("object_histogram", "background_histogram"):
            self.add_count(name, len(self.edges) - 1)

    def update(self, score_maps: Any, masks: Any) -> None:
        """Count a batch.

        Args:
            score_maps: ``(N, H, W)`` float32 or float64 in [0, 1].
            masks: ``(N, H, W)`` uint8: 1 object, 0 background, 255 ignored.

        Raises:
            InputError: If maps and masks cannot be scored.
        """
        maps = as_score_maps(score_maps)
        check_range(maps)
        mask_array = as_masks(masks, maps.shape)
        bins = np.searchsorted(self.edges, maps.astype(np.float64, copy=False), side="right") - 1
        device = self.object_histogram.device
        self.object_histogram += _histogram(bins[mask_array == OBJECT], len(self.edges) - 1).to(device)
        self.background_histogram += _histogram(bins[mask_array == BACKGROUND], len(self.edges) - 1).to(device)

    def curve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Precision and recall from the highest score downwards, where a pixel is predicted at all.

        Raises:
            NothingToJudgeError: If no object pixel has been counted.
        """
        true_positives = self.object_histogram.cpu().numpy()[::-1].cumsum()
        false_positives = self.background_histogram.cpu().numpy()[::-1].cumsum()
        if true_positives[-1] == 0:
            raise NothingToJudgeError("the masks counted so far hold no object pixel")
        predicted = true_positives + false_positives
        kept = predicted > 0
        return true_positives[kept] / predicted[kept], true_positives[kept] / true_positives[-1]

    def curves(self) -> dict[str, NDArray[np.float64]]:
        """Precision and recall of `curve`, by name."""
        precision, recall = self.curve()
        return {"precision": precision, "recall": recall}

    def _draw(self, axes: Axes, curves: dict[str, NDArray[Any]]) -> None:
        axes.plot(curves["recall"], curves["precision"])
        axes.set_xlabel("recall")
        axes.set_ylabel("precision")

    def compute(self) -> float:
        """PxAP in percent: the sum of precision times the step in recall, without interpolation.

        Raises:
            NothingToJudgeError: If no object pixel has been counted.
        """
        precision, recall = self.curve()
        return float((precision * np.diff(recall, prepend=0.0)).sum() * 100)


def pixel_average_precision(score_maps: Any, masks: Any, cam_threshold_interval: float = 0.001) -> float:
    """`PixelAveragePrecision` of one batch."""
    metric = PixelAveragePrecision(cam_threshold_interval)
    metric.update(score_maps, masks)
    return metric.compute()


def as_masks(masks: Any, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Masks as a ``(N, H, W)`` uint8 array.

    Raises:
        InputError: Naming what does not fit.
    """
    refuse_masked(masks, "masks")
    array = masks.detach().cpu().numpy() if isinstance(masks, torch.Tensor) else np.asarray(masks)
    if array.dtype != np.uint8:
        raise InputError(f"masks must be uint8 (1 object, 0 background, 255 ignored), got {array.dtype}")
    if array.shape != shape:
        raise InputError(f"masks of shape {array.shape} do not fit score maps of shape {shape}")
    known = (array == BACKGROUND) | (array == OBJECT) | (array == IGNORED)
    if not known.all():
        index = int(np.argmin(known.all(axis=(1, 2))))
        raise InputError(
            f"mask {index} of the batch holds the value {array[index][~known[index]][0]}; valid: 0, 1, 255"
        )
    return array


def _histogram(bins: NDArray[np.integer], num_bins: int) -> Tensor:
    return torch.from_numpy(np.bincount(bins, minlength=num_bins))

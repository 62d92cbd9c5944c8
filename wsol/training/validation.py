"""What `wsol-train` measures after an epoch: the metrics of `wsol.metrics` on the validation split."""

from __future__ import annotations

import os

import numpy as np
from accelerate import PartialState
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from torchmetrics.classification import MulticlassAccuracy

from wsol.boxes import to_map_pixels
from wsol.data import GroundTruth, load_dataset
from wsol.data.dataset import LocalizationDataset
from wsol.data.transforms import evaluation_transform
from wsol.data.workers import from_workers
from wsol.methods import Method
from wsol.metrics import LocalizationAccuracy, MaxBoxAcc, MaxBoxAccV2, PixelAveragePrecision
from wsol.opening.preprocessing import preprocessing_of
from wsol.scoremap import score_maps
from wsol.sweep import best_iou_per_cut


class ClassFigures(nn.Module):
    """Classification, for splits that know labels alone."""

    NAMES: tuple[str, ...] = ("top1_cls", "top5_cls")

    def __init__(self, dataset: LocalizationDataset) -> None:
        super().__init__()
        classes = dataset.ground_truth.num_classes
        self.top1, self.top5 = (MulticlassAccuracy(classes, top_k=k, average="micro") for k in (1, min(5, classes)))

    def update(self, indices: list[int], maps: NDArray[np.float32], logits: Tensor, labels: Tensor) -> None:
        """Count a batch."""
        self.top1.update(logits, labels)
        self.top5.update(logits, labels)

    def compute(self) -> dict[str, float]:
        """Percentages by name."""
        return {"top1_cls": 100.0 * self.top1.compute().item(), "top5_cls": 100.0 * self.top5.compute().item()}


class BoxFigures(ClassFigures):
    """Classification and localization by boxes, protocol wsolevaluation, at the split's own best thresholds.

    Images without a box count for classification alone.
    """

    NAMES = ("top1_cls", "top5_cls", "gt_known_loc", "top1_loc", "top5_loc", "max_box_acc", "max_box_acc_v2")

    def __init__(self, dataset: LocalizationDataset) -> None:
        super().__init__(dataset)
        self.truth = dataset.ground_truth
        self.accuracy, self.box_acc, self.box_acc_v2 = LocalizationAccuracy(), MaxBoxAcc(), MaxBoxAccV2()

    def update(self, indices: list[int], maps: NDArray[np.float32], logits: Tensor, labels: Tensor) -> None:
        """Count a batch."""
        super().update(indices, maps, logits, labels)
        boxed = [place for place, index in enumerate(indices) if len(self.truth.boxes[index])]
        if not boxed:
            return
        height, width = maps.shape[-2:]
        boxes = [
            to_map_pixels(self.truth.boxes[index], self.truth.sizes[index], (width, height)).astype(np.int64)
            for index in (indices[place] for place in boxed)
        ]
        sweep = best_iou_per_cut(maps[boxed], boxes)
        self.accuracy.update_from_sweep(sweep, logits[boxed], labels[boxed])
        self.box_acc.update_from_sweep(sweep)
        self.box_acc_v2.update_from_sweep(sweep)

    def compute(self) -> dict[str, float]:
        """Percentages by name."""
        figures = self.accuracy.compute()
        if self.truth.boxes and not all(map(len, self.truth.boxes)):
            figures |= super().compute()
        figures["max_box_acc"] = self.box_acc.compute()["max_box_acc"][0.5]
        figures["max_box_acc_v2"] = self.box_acc_v2.compute()["mean"]
        return {name: figures[name] for name in self.NAMES}


class SelectionFigures(nn.Module):
    """How well boxes meet selection boxes, which are not the split's own: protocol wsolevaluation, best thresholds.

    Images without a selection box are left out.
    """

    NAMES = ("selection_max_box_acc", "selection_max_box_acc_v2")

    def __init__(self, lists: GroundTruth) -> None:
        super().__init__()
        self.lists = lists
        self.box_acc, self.box_acc_v2 = MaxBoxAcc(), MaxBoxAccV2()

    def update(self, indices: list[int], maps: NDArray[np.float32], logits: Tensor, labels: Tensor) -> None:
        """Count a batch."""
        height, width = maps.shape[-2:]
        boxed = [place for place, index in enumerate(indices) if len(self.lists.boxes[index])]
        if not boxed:
            return
        boxes = [
            to_map_pixels(self.lists.boxes[i], self.lists.sizes[i], (width, height)).astype(np.int64)
            for i in (indices[place] for place in boxed)
        ]
        sweep = best_iou_per_cut(maps[boxed], boxes)
        self.box_acc.update_from_sweep(sweep)
        self.box_acc_v2.update_from_sweep(sweep)

    def compute(self) -> dict[str, float]:
        """Percentages by name."""
        figures = self.box_acc.compute()["max_box_acc"][0.5], self.box_acc_v2.compute()["mean"]
        return dict(zip(self.NAMES, figures, strict=True))


class PixelFigures(ClassFigures):
    """Classification, and PxAP for splits that know masks and no boxes (OpenImages)."""

    NAMES = ("top1_cls", "top5_cls", "pxap")

    def __init__(self, dataset: LocalizationDataset) -> None:
        super().__init__(dataset)
        self.dataset = dataset
        self.precision = PixelAveragePrecision()

    def update(self, indices: list[int], maps: NDArray[np.float32], logits: Tensor, labels: Tensor) -> None:
        """Count a batch."""
        height, width = maps.shape[-2:]
        for position, index in enumerate(indices):
            mask = self.dataset.mask(index, (height, width))
            if mask is not None:
                self.precision.update(maps[position : position + 1], mask[np.newaxis])
        super().update(indices, maps, logits, labels)

    def compute(self) -> dict[str, float]:
        """Percentages by name."""
        return super().compute() | {"pxap": float(self.precision.compute())}


def _kind(truth: GroundTruth) -> type[ClassFigures]:
    """What can be measured on a split."""
    if any(map(len, truth.boxes)):
        return BoxFigures
    return PixelFigures if any(files.objects for files in truth.masks or ()) else ClassFigures


class Validation:
    """Figures of a method's last step on the validation split; every process judges its share.

    Args:
        dataset: Name of the dataset.
        root: Its folder, as for `wsol.data.load_dataset`.
        batch_size: Images per forward pass.
        workers: Processes that decode images; 0 decodes in this one.
        selection_boxes: A second list of boxes of the split, see `SelectionFigures`.
        input_size: Side of the network's input in pixels; None: the network's own.

    Raises:
        DatasetError: If there is no validation split, or the list does not fit it.
    """

    def __init__(
        self,
        dataset: str,
        root: str | None = None,
        batch_size: int = 64,
        workers: int = 0,
        selection_boxes: str | None = None,
        input_size: int | None = None,
    ) -> None:
        self.input_size = input_size
        self.dataset = load_dataset(dataset, split="val", root=root)
        self.kind = _kind(self.dataset.ground_truth)
        self.batch_size = batch_size
        self.workers = min(workers, os.cpu_count() or 1)
        self.selection = None if selection_boxes is None else self.dataset.ground_truth.with_boxes(selection_boxes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of what is measured."""
        return self.kind.NAMES + (SelectionFigures.NAMES if self.selection is not None else ())

    def __call__(self, method: Method) -> dict[str, float]:
        """Judge `method`, which is in eval mode; returns percentages."""
        device = next(method.parameters()).device
        preprocessing = preprocessing_of(method.network, self.input_size)
        size = preprocessing["input_size"][1:]
        self.dataset.transform = evaluation_transform(size, preprocessing["mean"], preprocessing["std"])
        state = PartialState()
        share = Subset(self.dataset, range(state.process_index, len(self.dataset), state.num_processes))
        figures: list[ClassFigures | SelectionFigures] = [self.kind(self.dataset).to(device)]
        if self.selection is not None:
            figures.append(SelectionFigures(self.selection).to(device))
        loader = DataLoader(share, batch_size=self.batch_size, num_workers=self.workers)
        for images, labels, indices in from_workers(loader):
            labels = labels.to(device)
            cams = method.class_activation_maps(images.to(device), labels)
            maps = score_maps(cams.maps[-1], size)
            for counter in figures:
                counter.update(indices.tolist(), maps, cams.logits[-1], labels)
        return {name: value for counter in figures for name, value in counter.compute().items()}

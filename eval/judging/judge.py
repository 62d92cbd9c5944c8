"""One pass over a split: everything that is to be known of every image, written as records.

The figures are counted from the records afterwards (`eval.analysis.curves`), so that any process may have written them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eval.judging.records import Records, iou_levels, record_type
from eval.maps import MapBatch, MapSource
from eval.measures.attention_shift import AttentionShift
from eval.measures.fusion import fuse_steps, softmax
from eval.measures.outcomes import outcomes
from eval.measures.tdam_steps import FilteredStepAccuracy
from eval.protocols import Protocol
from tdam.errors import UserError
from wsol.boxes import boxes_from_score_map
from wsol.data import GroundTruth
from wsol.metrics import PixelAveragePrecision, label_ranks
from wsol.sweep import best_iou_per_cut, cut_table

FUSED_ROWS = ("mean", "max", "confidence")
MaskOf = Callable[[int, tuple[int, int]], npt.NDArray[np.uint8] | None]


def row_names(steps: int, has_logits: bool) -> tuple[str, ...]:
    """Names of what is judged: every step, and with several steps their fusions.

    >>> row_names(2, has_logits=True)
    ('1', '2', 'mean', 'max', 'confidence')
    >>> row_names(1, has_logits=True)
    ('1',)
    """
    names = tuple(str(step) for step in range(1, steps + 1))
    if steps == 1:
        return names
    return names + (FUSED_ROWS if has_logits else FUSED_ROWS[:2])


@dataclass(frozen=True)
class Thresholds:
    """Score-map thresholds that are known before the pass.

    Attributes:
        fixed: The protocol's or the user's one threshold.
        val: Threshold of every row, chosen on the validation split; None where there is none.
    """

    fixed: float
    val: dict[str, float] | None = None

    def headline(self, row: str) -> float:
        """The threshold of a row's headline figures: chosen on val where it exists, else the fixed one."""
        return self.fixed if self.val is None else self.val[row]


@dataclass(frozen=True)
class SplitPass:
    """Turns batches of maps into records, and counts pixels where masks exist.

    Attributes:
        ground_truth: Lists of the split.
        protocol: Conventions to score by.
        thresholds: Thresholds known beforehand.
        rows: Names of the rows, see `row_names`.
        mask_of: Gives the mask of an image at a size ``(H, W)``, or None; None where the split has no masks.
        pixel_metrics: PxAP of every row, updated by `judge`; empty where the split has no masks.
        filtered_steps: The TDAM authors' accuracy, updated by `judge`; None where the protocol does not ask for it.
        attention_shift: Figures of how maps move from step to step, updated by `judge`; None where not asked for.
    """

    ground_truth: GroundTruth
    protocol: Protocol
    thresholds: Thresholds
    rows: tuple[str, ...]
    mask_of: MaskOf | None
    pixel_metrics: dict[str, PixelAveragePrecision]
    filtered_steps: FilteredStepAccuracy | None = None
    attention_shift: AttentionShift | None = None

    def judge(self, batch: MapBatch) -> Records:
        """Judge one batch.

        Returns:
            ``(B,)`` records in the order of the batch.

        Raises:
            UserError: If an image has no ground-truth box or a label that is no class of the network.
        """
        indices = batch.indices
        labels = self.ground_truth.labels[indices]
        probabilities = None if batch.logits is None else softmax(batch.logits)
        records = np.zeros(len(indices), dtype=record_type(len(self.rows)))
        records["index"] = indices
        records["unreadable"] = [index in batch.unreadable for index in indices.tolist()]
        records["degenerate"][:, : len(batch.degenerate)] = batch.degenerate.T
        boxes = self._boxes_in_map(indices, batch.score_maps.shape[-2:]) if self.has_boxes else None
        for number, (name, maps, scores) in enumerate(self._rows_of(batch, probabilities, labels)):
            self._classify(records, number, scores, labels)
            if boxes is not None:
                self._localize(records, number, name, maps, boxes)
            self._count_pixels(name, maps, records)
        self._box_predictions(records, batch)
        if self.filtered_steps is not None and batch.predicted_cams is not None and batch.logits is not None:
            readable = ~records["unreadable"]
            self.filtered_steps.update(batch.predicted_cams[:, readable], batch.logits[:, readable], labels[readable])
        if self.attention_shift is not None:
            self.attention_shift.update_batch(batch, self.ground_truth, self.protocol, self.mask_of)
        return records

    @property
    def has_boxes(self) -> bool:
        """Whether the split knows boxes at all; a split with masks only is scored by its pixels."""
        return self.ground_truth.masks is None or any(len(boxes) for boxes in self.ground_truth.boxes)

    def _rows_of(
        self, batch: MapBatch, probabilities: npt.NDArray[np.float32] | None, labels: npt.NDArray[np.int64]
    ) -> list[tuple[str, npt.NDArray[np.floating], npt.NDArray[np.float32] | None]]:
        """Name, maps ``(B, H, W)`` and class scores ``(B, C)`` of every row."""
        steps = len(batch.score_maps)
        rows = [
            (self.rows[step], batch.score_maps[step], None if batch.logits is None else batch.logits[step])
            for step in range(steps)
        ]
        if steps == 1:
            return rows
        fused = fuse_steps(batch.score_maps, probabilities, labels)
        return rows + [(name, fused[name].score_maps, fused[name].probabilities) for name in self.rows[steps:]]

    def _boxes_in_map(self, indices: npt.NDArray[np.int64], map_size: tuple[int, ...]) -> list[npt.NDArray[np.int64]]:
        height, width = map_size
        boxes = []
        for index in indices.tolist():
            if len(self.ground_truth.boxes[index]) == 0:
                raise UserError(
                    f"{self.ground_truth.image_ids[index]} of {self.ground_truth.dataset} "
                    f"{self.ground_truth.split} has no ground-truth box: add one to the lists or leave the image out"
                )
            image_size = self.ground_truth.sizes[index]
            boxes.append(self.protocol.map_boxes(self.ground_truth.boxes[index], image_size, (width, height)))
        return boxes

    def _localize(
        self,
        records: Records,
        row: int,
        name: str,
        maps: npt.NDArray[np.floating],
        boxes: Sequence[npt.NDArray[np.int64]],
    ) -> None:
        sweep = best_iou_per_cut(maps, boxes, self.protocol.convention)
        records["maximum"][:, row] = sweep.maximum
        records["reached_largest"][:, row] = iou_levels(sweep.largest)
        records["reached_all"][:, row] = iou_levels(sweep.all)
        headline, fixed = cut_table(sweep.maximum, [self.thresholds.headline(name), self.thresholds.fixed]).T
        image = np.arange(len(sweep))
        records["iou"][:, row] = sweep.largest[image, headline]
        records["iou_fixed"][:, row] = sweep.largest[image, fixed]
        records["candidates"][:, row] = sweep.num_boxes[image, headline]
        boxes_in_map = sweep.largest_boxes[image, headline]
        records["box"][:, row] = self._in_image(records["index"], boxes_in_map, maps.shape[-2:])
        in_top1 = None if (records["class_id"][:, row] < 0).all() else records["in_top1"][:, row]
        records["outcome"][:, row] = outcomes(boxes_in_map, boxes, in_top1, self.protocol)

    def _box_predictions(self, records: Records, batch: MapBatch) -> None:
        """Boxes of each step's own top class, for people and programs that use the network without labels."""
        if batch.predicted_maps is None:
            return
        for row, maps in enumerate(batch.predicted_maps):
            threshold = self.thresholds.headline(self.rows[row])
            boxes = np.concatenate([boxes_from_score_map(one, threshold) for one in maps])
            records["predicted_box"][:, row] = self._in_image(records["index"], boxes, maps.shape[-2:])

    def _in_image(
        self, indices: npt.NDArray[np.int64], boxes: npt.NDArray[np.integer], map_size: tuple[int, ...]
    ) -> npt.NDArray[np.int64]:
        """One box of each image, carried from its map to its original frame; -1 where that frame is not listed."""
        height, width = map_size
        found = np.full((len(indices), 4), -1, dtype=np.int64)
        for place, size in enumerate(self.ground_truth.sizes[indices]):
            if size[0]:
                box = self.protocol.unmap_boxes(boxes[place], size, (width, height))
                found[place] = np.clip(np.floor(box + 0.5), 0, np.tile(size - 1, 2))
        return found

    def _classify(
        self, records: Records, row: int, scores: npt.NDArray[np.float32] | None, labels: npt.NDArray[np.int64]
    ) -> None:
        if scores is None:
            records["class_id"][:, row] = -1
            records["confidence"][:, row] = np.nan
            return
        unreadable = records["unreadable"]
        ranks = label_ranks(scores, labels)
        probabilities = scores if row >= self._num_steps else softmax(scores)
        records["class_id"][:, row] = np.where(unreadable, -1, scores.argmax(axis=-1))
        records["confidence"][:, row] = np.where(unreadable, np.nan, probabilities.max(axis=-1))
        records["in_top1"][:, row] = (ranks < 1) & ~unreadable
        records["in_top5"][:, row] = (ranks < 5) & ~unreadable

    @property
    def _num_steps(self) -> int:
        return sum(name.isdigit() for name in self.rows)

    def _count_pixels(self, name: str, maps: npt.NDArray[np.floating], records: Records) -> None:
        if self.mask_of is None:
            return
        for position, index in enumerate(records["index"].tolist()):
            mask = None if records["unreadable"][position] else self.mask_of(index, maps.shape[-2:])
            if mask is not None:
                self.pixel_metrics[name].update(maps[position : position + 1], mask[None])


def new_pixel_metrics(rows: Sequence[str], has_masks: bool) -> dict[str, PixelAveragePrecision]:
    """A fresh PxAP for every row, or none where the split has no masks."""
    return {name: PixelAveragePrecision() for name in rows} if has_masks else {}


def new_attention_shift(
    rows: Sequence[str], thresholds: Thresholds, ground_truth: GroundTruth
) -> AttentionShift | None:
    """A fresh counter of attention-shift figures, or None where there is one step or no box to compare with."""
    steps = [name for name in rows if name.isdigit()]
    if len(steps) == 1 or not any(len(boxes) for boxes in ground_truth.boxes):
        return None
    return AttentionShift(len(steps), [thresholds.headline(name) for name in steps])


def rows_of(source: MapSource) -> tuple[str, ...]:
    """Rows that a source of maps gives."""
    return row_names(source.steps, source.has_logits)

"""One pass over a split: everything that is to be known of every image, written as records.

The figures are counted from the records afterwards (`eval.analysis.curves`), so that any process may have written them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eval.judging.hits import decide_hits, iou_levels, kept_hits
from eval.judging.records import Records, record_type
from eval.judging.thresholds import Thresholds
from eval.maps import MapBatch, MapSource
from eval.measures.attention_shift import AttentionShift
from eval.measures.fusion import fuse_steps, softmax
from eval.measures.outcomes import Outcome, outcome
from eval.measures.tdam_steps import FilteredStepAccuracy
from eval.protocols import Protocol
from wsol.boxes import boxes_from_score_map
from wsol.boxes.thresholds import find_rule
from wsol.data import GroundTruth
from wsol.metrics import label_ranks
from wsol.sweep import best_iou_per_cut, cut_table, quantize

if TYPE_CHECKING:
    from wsol.metrics import PixelAveragePrecision

FUSED_ROWS = ("mean", "max", "confidence")
NO_BOXES = np.zeros((0, 4))
PLACEHOLDER = np.zeros((1, 4), dtype=np.int64)
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
        selection: Lists of the same split with selection boxes in place of the ground truth's; None where not given.
    """

    ground_truth: GroundTruth
    protocol: Protocol
    thresholds: Thresholds
    rows: tuple[str, ...]
    mask_of: MaskOf | None
    pixel_metrics: dict[str, PixelAveragePrecision]
    filtered_steps: FilteredStepAccuracy | None = None
    attention_shift: AttentionShift | None = None
    selection: GroundTruth | None = None

    @property
    def record(self) -> np.dtype[np.void]:
        """What is kept of every image."""
        return record_of(self.rows, self.thresholds, self.selection)

    def judge(self, batch: MapBatch) -> Records:
        """Judge one batch.

        Returns:
            ``(B,)`` records in the order of the batch.

        Raises:
            UserError: If a label is no class of the network.
        """
        indices = batch.indices
        labels = self.ground_truth.labels[indices]
        probabilities = None if batch.logits is None else softmax(batch.logits)
        records = np.zeros(len(indices), dtype=self.record)
        records["index"] = indices
        records["unreadable"] = [index in batch.unreadable for index in indices.tolist()]
        records["boxed"] = [len(self.ground_truth.boxes[index]) > 0 for index in indices.tolist()]
        records["degenerate"][:, : len(batch.degenerate)] = batch.degenerate.T
        map_size = batch.score_maps.shape[-2:]
        truth = self._boxes_in_map(self.ground_truth, indices, map_size)
        selection = None if self.selection is None else self._boxes_in_map(self.selection, indices, map_size)
        for number, (name, maps, scores) in enumerate(self._rows_of(batch, probabilities, labels)):
            self._classify(records, number, scores, labels)
            self._localize(records, number, name, maps, truth)
            if selection is not None:
                self._compare_with_selection(records, number, maps, selection)
            self._count_pixels(name, maps, records)
        self._box_predictions(records, batch)
        if self.filtered_steps is not None and batch.predicted_cams is not None and batch.logits is not None:
            readable = ~records["unreadable"]
            self.filtered_steps.update(batch.predicted_cams[:, readable], batch.logits[:, readable], labels[readable])
        if self.attention_shift is not None:
            hits = np.stack([kept_hits(records, step) for step in range(self._num_steps)])
            self.attention_shift.update_batch(batch, self.ground_truth, self.protocol, hits, self.mask_of)
        return records

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

    def _boxes_in_map(
        self, lists: GroundTruth, indices: npt.NDArray[np.int64], map_size: tuple[int, ...]
    ) -> list[npt.NDArray[Any]]:
        """Boxes of each image in score-map pixels, ``(K, 4)``; an image without any has K = 0.

        Where the size of an image is not known, which then cannot be read either, there is a placeholder.
        """
        height, width = map_size
        truth: list[npt.NDArray[Any]] = []
        for index in indices.tolist():
            boxes, size = lists.boxes[index], lists.sizes[index]
            if not len(boxes):
                truth.append(NO_BOXES)
            elif not size.all():
                truth.append(PLACEHOLDER)
            else:
                truth.append(self.protocol.map_boxes(boxes, size, (width, height)))
        return truth

    def _localize(
        self,
        records: Records,
        row: int,
        name: str,
        maps: npt.NDArray[np.floating],
        truth: Sequence[npt.NDArray[Any]],
    ) -> None:
        """Judge the boxes of one row: levels, hits, IoU, kind of error. The only place where hits are decided."""
        boxed, readable = records["boxed"], ~records["unreadable"]
        # The sweep compares with something for every image; what it says of images without a box is not used.
        sweep = best_iou_per_cut(maps, [one if len(one) else PLACEHOLDER for one in truth], self.protocol.convention)
        judged = boxed & readable
        records["maximum"][:, row] = sweep.maximum
        records["reached_largest"][:, row] = np.where(judged[:, None], iou_levels(sweep.largest), 0)
        records["reached_all"][:, row] = np.where(judged[:, None], iou_levels(sweep.all), 0)
        thresholds = (self.thresholds.headline(name), self.thresholds.fixed)
        records["hit"][:, row] = decide_hits(records, row, thresholds, self.protocol, self._own_cuts(maps))
        headline, fixed = cut_table(sweep.maximum, thresholds).T
        image = np.arange(len(sweep))
        for field, cut in (("iou", headline), ("iou_fixed", fixed)):
            records[field][:, row] = np.select([~boxed, ~readable], [np.nan, 0.0], sweep.largest[image, cut])
        records["candidates"][:, row] = np.where(judged, sweep.num_boxes[image, headline], 0)
        found = sweep.largest_boxes[image, headline]
        records["box"][:, row] = self._in_image(records, found, maps.shape[-2:])
        records["outcome"][:, row] = self._outcomes(records, row, found, truth)

    def _own_cuts(self, maps: npt.NDArray[np.floating]) -> npt.NDArray[np.int64] | None:
        """Cuts ``(B, R)`` that each map finds by the rules."""
        if not self.thresholds.rules:
            return None
        quantized = quantize(maps)
        return np.stack([find_rule(rule).cuts(quantized) for rule in self.thresholds.rules], axis=1)

    def _compare_with_selection(
        self,
        records: Records,
        row: int,
        maps: npt.NDArray[np.floating],
        selection: Sequence[npt.NDArray[Any]],
    ) -> None:
        boxes = [one if len(one) else PLACEHOLDER for one in selection]
        sweep = best_iou_per_cut(maps, boxes, self.protocol.convention)
        judged = np.array([len(one) > 0 for one in selection]) & ~records["unreadable"]
        records["reached_selection"][:, row] = np.where(judged[:, None], iou_levels(sweep.largest), 0)

    def _outcomes(
        self, records: Records, row: int, found: npt.NDArray[Any], truth: Sequence[npt.NDArray[Any]]
    ) -> list[Outcome]:
        """Kind of error of each image."""
        has_class = bool((records["class_id"][:, row] >= 0).any())
        hits = kept_hits(records, row, "top1_loc" if has_class else "gt_known_loc")
        kinds = []
        for place, boxes in enumerate(truth):
            if not len(boxes):
                kinds.append(Outcome.NO_BOX)
            elif records["unreadable"][place]:
                kinds.append(Outcome.UNREADABLE)
            else:
                right = bool(records["in_top1"][place, row]) if has_class else None
                closed = self.protocol.convention.closed_pixels
                kinds.append(outcome(found[place], boxes, right, bool(hits[place]), closed))
        return kinds

    def _box_predictions(self, records: Records, batch: MapBatch) -> None:
        """Boxes of each step's own top class, for people and programs that use the network without labels."""
        if batch.predicted_maps is None:
            return
        for row, maps in enumerate(batch.predicted_maps):
            threshold = self.thresholds.headline(self.rows[row])
            boxes = np.concatenate([boxes_from_score_map(one, threshold) for one in maps])
            records["predicted_box"][:, row] = self._in_image(records, boxes, maps.shape[-2:])

    def _in_image(
        self, records: Records, boxes: npt.NDArray[np.integer], map_size: tuple[int, ...]
    ) -> npt.NDArray[np.int64]:
        """One box of each image, carried from its map to its original frame.

        -1 where the image is unreadable or its size is not listed.
        """
        height, width = map_size
        carried = np.full((len(records), 4), -1, dtype=np.int64)
        for place, size in enumerate(self.ground_truth.sizes[records["index"]]):
            if size[0] and not records["unreadable"][place]:
                box = self.protocol.unmap_boxes(boxes[place], size, (width, height))
                carried[place] = np.minimum(np.floor(box + 0.5), np.tile(size - 1, 2))
        return carried

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


def record_of(rows: Sequence[str], thresholds: Thresholds, selection: GroundTruth | None) -> np.dtype[np.void]:
    """The record of one image of a split that is judged so."""
    return record_type(len(rows), len(thresholds.rules), selection is not None)


def new_pixel_metrics(rows: Sequence[str], has_masks: bool) -> dict[str, PixelAveragePrecision]:
    """A fresh PxAP for every row, or none where the split has no masks. Processes are summed once, before computing."""
    if not has_masks:
        return {}
    from wsol.metrics import PixelAveragePrecision  # which imports torchmetrics

    return {name: PixelAveragePrecision(sync_on_compute=False) for name in rows}


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

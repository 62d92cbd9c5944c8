"""One run of an evaluation: what is judged, by which process, and the pass over a split."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.judging.judge import MaskOf
from eval.judging.process import Process
from eval.judging.split import JudgedSplit, Judging, judge_batches
from eval.judging.thresholds import Thresholds
from eval.maps import MapBatch, MapSource, MapWriter, OnError
from eval.maps.logits import GivenLogits, LogitsWriter, read_logits
from eval.maps.network import batches_of
from eval.maps.opened import Opened
from eval.options import INFERENCE_OPTIONS
from tdam.files import file_sha256
from wsol.data import GroundTruth, ImageError, LocalizationDataset
from wsol.runtime.memory import keep_freed_memory

PARTIAL = "partial"
# Options that must be equal for a killed run to be continued.
IDENTITY = (
    *(
        "dataset",
        "model",
        "model_args",
        "split",
        "protocol",
        "score_maps",
        "val_score_maps",
        "limit",
        "decode",
        "attention_shift",
        "score_map_dtype",
    ),
    *INFERENCE_OPTIONS,
)
Progress = Callable[[str, int, int], None]


class Run:
    """What all stages share: what is judged, by which process, and where unfinished work lies."""

    def __init__(self, opened: Opened, process: Process, folder: Path, progress: Progress | None) -> None:
        self.opened = opened
        self.options = opened.options
        self.process = process
        self.folder = folder
        self._progress = progress
        self._sources: dict[str, MapSource] = {}
        self._logits: LogitsWriter | None = None

    def write_logits(self) -> None:
        """Write the class scores of the judged split, where they are asked for."""
        if self._logits is not None:
            self._logits.write(self.process)

    @property
    def partial(self) -> Path:
        """Where unfinished work lies."""
        return self.folder / PARTIAL

    def remove_unfinished(self) -> None:
        """Remove what only an unfinished run needs, also of a process whose folder is not the first one's."""
        if self.options.output is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            shutil.rmtree(self.partial, ignore_errors=True)

    def source(self, dataset: LocalizationDataset) -> MapSource:
        """Where the maps of a split come from."""
        if dataset.ground_truth.split not in self._sources:
            is_asked_for = dataset.ground_truth.split == self.options.split
            folder = self.options.score_maps if is_asked_for else self.options.val_score_maps
            source = self.opened.source(dataset, folder)
            if is_asked_for and self.options.logits is not None:
                source = GivenLogits(source, read_logits(self.options.logits, dataset.ground_truth))
            self._sources[dataset.ground_truth.split] = source
        return self._sources[dataset.ground_truth.split]

    def judging(
        self,
        dataset: LocalizationDataset,
        source: MapSource,
        thresholds: Thresholds,
        selection: GroundTruth | None = None,
    ) -> Judging:
        """Judge a split; what only the figures of the judged split need is left out for the validation split."""
        split = dataset.ground_truth.split
        asked_for = split == self.options.split
        writers: list[Callable[[MapBatch], None]] = []
        if asked_for and self.options.save_score_maps is not None:
            writers.append(
                MapWriter(self.options.save_score_maps, dataset.ground_truth, self.options.score_map_dtype).write
            )
        if asked_for and self.options.save_logits is not None:
            self._logits = LogitsWriter(self.options.save_logits, dataset.ground_truth)
            writers.append(self._logits.add)
        return Judging(
            source,
            dataset.ground_truth,
            self.opened.protocol,
            thresholds,
            self.partial / split,
            mask_of=_masks(dataset, self.options.on_error, source.batch_size) if asked_for else None,
            with_attention_shift=asked_for and self.options.attention_shift,
            selection=selection,
            process=self.process,
            resume=self.options.resume,
            facts=self._facts(thresholds),
            watch=partial(_hand_on, writers),
        )

    def _facts(self, thresholds: Thresholds) -> dict[str, Any]:
        return {name: getattr(self.options, name) for name in IDENTITY} | {
            "weights": self.opened.weights_digest,
            "logits": None if self.options.logits is None else file_sha256(self.options.logits),
            "selection_boxes": str(self.options.selection_boxes),
            "threshold_rules": list(thresholds.rules),
            "fixed_threshold": thresholds.fixed,
            "val_thresholds": thresholds.val,
        }

    def progress_of(self, dataset: LocalizationDataset) -> Callable[[int], None] | None:
        """Reports the images done of a split; None where nobody asks."""
        if self._progress is None:
            return None
        split, report = dataset.ground_truth.split, self._progress
        total = len(self.process.share(len(dataset), self.opened.batch_size))
        return lambda done: report(split, done, total)


def judge(
    runs: Sequence[Run],
    dataset: LocalizationDataset,
    thresholds: Sequence[Thresholds],
    selection: GroundTruth | None = None,
) -> list[JudgedSplit]:
    """Judge a split for every run, in one pass over its images."""
    # Not before: what it took to open the network has been handed back.
    keep_freed_memory()
    sources = [run.source(dataset) for run in runs]
    judging = [
        run.judging(dataset, source, chosen, selection)
        for run, source, chosen in zip(runs, sources, thresholds, strict=True)
    ]
    # After a killed run some methods may be a few batches ahead of others.
    left = min(judging, key=lambda one: one.images).left()
    methods = [run.options.one_method for run in runs]
    judge_batches(judging, batches_of(sources[0], left, methods), runs[0].progress_of(dataset))
    return [one.result() for one in judging]


def _hand_on(writers: Sequence[Callable[[MapBatch], None]], batch: MapBatch) -> None:
    for write in writers:
        write(batch)


def _masks(dataset: LocalizationDataset, on_error: OnError, batch_size: int) -> MaskOf | None:
    """Where to get masks, or None if the split has none."""
    masks = dataset.ground_truth.masks
    if masks is None or not any(files.objects for files in masks):
        return None

    @lru_cache(batch_size)  # every row of a batch asks for the same
    def mask_of(index: int, size: tuple[int, int]) -> npt.NDArray[np.uint8] | None:
        try:
            return dataset.mask(index, size)
        except ImageError as error:
            if on_error == "stop":
                raise ImageError(f"{error}; --on-error count leaves such masks out") from error
            detail = f"{error}; left out of the pixel metrics"
            dataset.add_finding("warning", "mask unreadable", dataset.ground_truth.image_ids[index], detail)
            return None

    return mask_of

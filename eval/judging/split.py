"""Judging one split with any number of processes: maps in, records and counters out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.judging.judge import MaskOf, SplitPass, new_attention_shift, new_pixel_metrics, record_of, rows_of
from eval.judging.process import Process
from eval.judging.records import RecordFile, Records, read_records
from eval.judging.state import Done, images_done, lists_digest, load_state, save_state
from eval.judging.thresholds import Thresholds
from eval.maps import MapBatch, MapSource
from eval.maps.network import batches_of
from eval.maps.source import UnfinishedBatches
from eval.measures.attention_shift import AttentionShift
from eval.measures.counts import Counters
from eval.measures.tdam_steps import FilteredStepAccuracy
from eval.protocols import Protocol
from tdam.errors import UserError
from tdam.files import make_folder
from wsol.data import GroundTruth
from wsol.runtime.pipeline import Consumer

if TYPE_CHECKING:
    from wsol.metrics import PixelAveragePrecision

SECONDS_BETWEEN_SAVES = 10.0
Progress = Callable[[int], None]


@dataclass(frozen=True)
class JudgedSplit:
    """What a pass over a split leaves: one record per image, and counters of what is not per image.

    Nothing here is counted from the records; `eval.analysis` does that.

    Attributes:
        ground_truth: Lists of the split.
        protocol: Conventions it was judged by.
        thresholds: Thresholds known beforehand.
        rows: Names of what was judged, see `eval.judging.judge.row_names`.
        has_logits: Whether classes were predicted.
        record_files: Records of every process.
        batch_size: Images per batch, by which they are dealt out to processes.
        pixel_metrics: PxAP of every row; empty where no image has a mask.
        attention_shift: How maps move from step to step; None where not asked for.
        filtered_steps: The TDAM authors' any-step accuracy; None without `step_filter`.
        faults: Images that could not be read: name -> what is wrong.
        selection: Lists of the same split with selection boxes; None where not given.
    """

    ground_truth: GroundTruth
    protocol: Protocol
    thresholds: Thresholds
    rows: tuple[str, ...]
    has_logits: bool
    record_files: list[Path]
    batch_size: int
    pixel_metrics: dict[str, PixelAveragePrecision]
    attention_shift: AttentionShift | None
    filtered_steps: FilteredStepAccuracy | None
    faults: dict[str, str]
    selection: GroundTruth | None = None

    @property
    def steps(self) -> tuple[str, ...]:
        """Names of the rows that are steps."""
        return tuple(name for name in self.rows if name.isdigit())

    def records(self) -> Iterator[Records]:
        """All records, chunk by chunk."""
        return read_records(self.record_files, record_of(self.rows, self.thresholds, self.selection), self.batch_size)

    def by_selection(self) -> JudgedSplit:
        """The same split as judged against the selection boxes; only the curves of the largest contour hold there."""
        assert self.selection is not None
        return _BySelection(**{item.name: getattr(self, item.name) for item in fields(self)})


class _BySelection(JudgedSplit):
    """A split whose records say what the boxes reach of the selection boxes."""

    def __init__(self, ground_truth: GroundTruth, selection: GroundTruth, **others: Any) -> None:
        super().__init__(ground_truth=selection, selection=selection, **others)

    def records(self) -> Iterator[Records]:
        """All records, chunk by chunk."""
        for records in super().records():
            records["reached_largest"] = records["reached_selection"]
            yield records


def judge_split(
    source: MapSource,
    ground_truth: GroundTruth,
    protocol: Protocol,
    thresholds: Thresholds,
    folder: Path,
    *,
    mask_of: MaskOf | None = None,
    with_attention_shift: bool = False,
    selection: GroundTruth | None = None,
    process: Process | None = None,
    resume: bool = False,
    facts: Mapping[str, Any] | None = None,
    watch: Callable[[MapBatch], None] | None = None,
    progress: Progress | None = None,
) -> JudgedSplit:
    """Judge every image of a split.

    Args:
        source: Where maps come from.
        ground_truth: Lists of the split.
        protocol: Conventions to score by.
        thresholds: Thresholds known beforehand.
        folder: Folder for records and state, shared by all processes.
        mask_of: Gives an image's mask at a size; None where the split has none.
        with_attention_shift: Also measure how maps move from step to step.
        selection: Lists of the same split with selection boxes, to choose thresholds by.
        process: This process among all.
        resume: Continue a killed run from its last saved state.
        facts: What identifies the run; a state with other facts is refused.
        watch: Called with every batch of maps, for example to save them.
        progress: Called with the number of images done so far in this process.

    Raises:
        UserError: If an image cannot be judged or a state cannot be resumed.
    """
    judging = Judging(
        source,
        ground_truth,
        protocol,
        thresholds,
        folder,
        mask_of=mask_of,
        with_attention_shift=with_attention_shift,
        selection=selection,
        process=process,
        resume=resume,
        facts=facts,
        watch=watch,
    )
    judge_batches([judging], batches_of(source, judging.left()), progress)
    return judging.result()


def judge_batches(
    judging: Sequence[Judging],
    batches: UnfinishedBatches,
    progress: Progress | None = None,
) -> None:
    """Judge batches in a thread of its own while the next ones are made.

    Args:
        judging: Splits that are judged in one pass; after a killed run some may be a few batches ahead of others.
        batches: Give the next batch of maps for each of them.
        progress: Called with the number of images that all of them have judged.

    Raises:
        UserError: If an image cannot be judged; every batch before it is.
    """
    behind = min(judging, key=lambda one: one.images)

    def judge(batch: Callable[[], tuple[MapBatch, ...]]) -> None:
        start = behind.images
        for one, own in zip(judging, batch(), strict=True):
            if one.images == start:
                one.take(own)
        if progress is not None:
            progress(behind.images)

    with ExitStack() as stack:
        for one in judging:
            stack.enter_context(one)
        consumer = stack.enter_context(Consumer(judge))
        stack.enter_context(closing(batches))
        for batch in batches:
            consumer.put(batch)


class Judging:
    """A split that is being judged: takes batches of maps, saves its state as it goes, ends in a `JudgedSplit`.

    A context: leaving it saves what has been judged. See `judge_split` for the arguments.

    Attributes:
        images: Images of this process's share that have been judged.
    """

    def __init__(
        self,
        source: MapSource,
        ground_truth: GroundTruth,
        protocol: Protocol,
        thresholds: Thresholds,
        folder: Path,
        *,
        mask_of: MaskOf | None = None,
        with_attention_shift: bool = False,
        selection: GroundTruth | None = None,
        process: Process | None = None,
        resume: bool = False,
        facts: Mapping[str, Any] | None = None,
        watch: Callable[[MapBatch], None] | None = None,
    ) -> None:
        self._process = process or Process()
        make_folder(folder)
        self._folder = folder
        self._ground_truth, self._protocol, self._thresholds = ground_truth, protocol, thresholds
        self._share = self._process.share(len(ground_truth), source.batch_size)
        self._batch_size, self._has_logits = source.batch_size, source.has_logits
        self._rows = rows = rows_of(source)
        self._pixel_metrics = new_pixel_metrics(rows, mask_of is not None)
        self._shift = new_attention_shift(rows, thresholds, ground_truth) if with_attention_shift else None
        self._filtered = FilteredStepAccuracy() if protocol.step_filter and source.has_logits else None
        self._judge = SplitPass(
            ground_truth,
            protocol,
            thresholds,
            rows,
            mask_of,
            self._pixel_metrics,
            self._filtered,
            self._shift,
            selection,
        )
        self._selection = selection
        self._counters: dict[str, Counters] = {f"pxap {row}": metric for row, metric in self._pixel_metrics.items()}
        if self._shift is not None:
            self._counters["attention shift"] = self._shift
        if self._filtered is not None:
            self._counters["filtered steps"] = self._filtered
        self._known = {
            **(facts or {}),
            "processes": self._process.count,
            "batch_size": source.batch_size,
            "lists": lists_digest(ground_truth),
            "selection": None if selection is None else lists_digest(selection),
            "record_bytes": self._judge.record.itemsize,
        }
        self._watch = watch
        # A run killed before its first save left nothing to continue and simply starts.
        state = state_path(folder, self._process.rank)
        done = load_state(state, self._counters, self._known) if resume and state.is_file() else Done()
        path = record_path(folder, self._process.rank)
        self._records = RecordFile(path, self._judge.record, done.images, done.sha256)
        self._faults = dict(done.faults)
        self.images = self._images_before = done.images
        self._consistent = True  # records and counters hold the same images
        self._last_save = time.monotonic()

    def left(self) -> list[int]:
        """Positions of the images of this process's share that are still to be judged."""
        return self._share[self.images :].tolist()

    def take(self, batch: MapBatch) -> None:
        """Judge a batch.

        Raises:
            UserError: If an image cannot be judged.
        """
        if self._watch is not None:
            self._watch(batch)
        self._consistent = False
        judged = self._judge.judge(batch)
        self._records.append(judged)
        self.images += len(judged)
        names = self._ground_truth.image_ids
        self._faults.update({names[index]: fault for index, fault in batch.unreadable.items()})
        self._consistent = True
        if time.monotonic() - self._last_save > SECONDS_BETWEEN_SAVES:
            self._save()
            self._last_save = time.monotonic()

    def __enter__(self) -> Judging:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._save()
            elif self._consistent and self.images > self._images_before:
                with suppress(UserError):  # such as a full disk; the state before stays
                    self._save()
        finally:
            self._records.close()

    def _save(self) -> None:
        self._records.flush()
        done = Done(self.images, self._records.sha256, self._faults)
        save_state(state_path(self._folder, self._process.rank), done, self._counters, self._known)

    def result(self) -> JudgedSplit:
        """What the pass leaves, once all processes are done.

        Counters and faults are the same in every process; the first one has the records of all.
        """
        process = self._process
        record_files = [record_path(self._folder, rank) for rank in range(process.count)]
        process.collect(record_files)  # waits for all
        for counters in self._counters.values():
            counters.sync()
        all_faults: dict[str, str] = {}
        for of_process in process.gather(self._faults):
            all_faults |= of_process
        return JudgedSplit(
            ground_truth=self._ground_truth,
            protocol=self._protocol,
            thresholds=self._thresholds,
            rows=self._rows,
            has_logits=self._has_logits,
            record_files=record_files,
            batch_size=self._batch_size,
            pixel_metrics=self._pixel_metrics,
            attention_shift=self._shift,
            filtered_steps=self._filtered,
            faults=all_faults,
            selection=self._selection,
        )


def record_path(folder: Path, rank: int) -> Path:
    """The file of one process's records."""
    return folder / f"records-{rank}.bin"


def state_path(folder: Path, rank: int) -> Path:
    """The file of one process's state."""
    return folder / f"state-{rank}.checked"


def unfinished(folder: Path) -> int:
    """How many images an unfinished run has judged below a folder.

    Raises:
        UserError: If a state is damaged.
    """
    return sum(images_done(path) for path in folder.glob("*/state-*.checked"))

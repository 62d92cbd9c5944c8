"""A whole evaluation, stage after stage: thresholds, records, what is counted from them, files.

options = EvaluationOptions(dataset="minibirds", model="resnet_mini_tdam")
results = evaluate(options, Process(), torch.device("cpu"))
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from eval.analysis.curves import count_split
from eval.judging.judge import MaskOf
from eval.judging.process import Process
from eval.judging.split import JudgedSplit, Judging, unfinished
from eval.judging.thresholds import Thresholds
from eval.maps import MapBatch, MapSource, MapWriter, OnError
from eval.maps.logits import GivenLogits, LogitsWriter, read_logits
from eval.maps.network import NetworkMaps
from eval.maps.opened import Opened
from eval.options import INFERENCE_OPTIONS, EvaluationOptions
from eval.output.coco import write_coco
from eval.output.command import command_line
from eval.output.document import results_document
from eval.output.gallery import Gallery, JudgedImages, make_gallery, pick, pick_for_gallery
from eval.output.predictions import prediction_chunks
from eval.output.results import Evaluation, curve_table
from eval.report import REPORT, write_evaluation
from tdam.errors import UsageError, UserError
from tdam.files import file_sha256, folder_lock
from wsol import draw
from wsol.data import DatasetError, GroundTruth, ImageError, LocalizationDataset
from wsol.data.findings import grouped
from wsol.results import CURVES, PREDICTIONS, RESULTS, read_results
from wsol.sweep import cam_thresholds

PARTIAL = "partial"
PICTURES = 8  # rows of the figure of picked images
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
    ),
    *INFERENCE_OPTIONS,
)

Progress = Callable[[str, int, int], None]


def evaluate(
    options: EvaluationOptions, process: Process, device: torch.device, progress: Progress | None = None
) -> dict[str, Any]:
    """Run a whole evaluation; every process gets the same results, the first one writes them.

    Args:
        options: What to evaluate.
        process: This process among all.
        device: Torch device of this process.
        progress: Called with the split's name, the images done and all images of this process.

    Returns:
        The content of results.json.

    Raises:
        UserError: If anything the options name is missing, unreadable or does not fit.
    """
    single = replace(options, method=options.one_method)
    (results,) = evaluate_methods([single], process, device, progress)
    return results


def evaluate_methods(
    each: Sequence[EvaluationOptions], process: Process, device: torch.device, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Evaluate several map methods of one network in one pass over the images; see `evaluate`.

    Args:
        each: Options that differ in the method and the folders of their output alone.
        process: This process among all.
        device: Torch device of this process.
        progress: Called with the split's name, the images done and all images of this process.

    Returns:
        The content of every results.json.
    """
    for options in each:
        _keep_inputs(options)
    first = Opened(each[0], device)
    if first.network is None and first.protocol.resize_ratio != 1:
        warnings.warn(
            f"protocol {first.protocol.name} judges the centre crop of every image: score maps of whole images are "
            "misjudged by it; give maps of the crop, or take --protocol wsolevaluation",
            stacklevel=2,
        )
    with ExitStack() as stack:
        runs = []
        for options in each:
            folder = stack.enter_context(_working_folder(options, process))
            runs.append(_Run(first.with_options(options), process, folder, progress))
        rules, source = each[0].threshold_rules, _fixed_from(first)
        thresholds = [replace(one, rules=rules, fixed_from=source) for one in choose_thresholds(runs)]
        judged = judge(runs, first.dataset, thresholds)
        evaluations = []
        for run, split in zip(runs, judged, strict=True):
            run.write_logits()
            evaluation = summarize(run, split, runs[0].source(first.dataset))
            if process.is_first and run.options.output is not None:
                publish(run.folder, evaluation, split, run)
                shutil.rmtree(run.partial)
            evaluations.append(evaluation)
    return [evaluation.results for evaluation in evaluations]


def judge(
    runs: Sequence[_Run],
    dataset: LocalizationDataset,
    thresholds: Sequence[Thresholds],
    selection: GroundTruth | None = None,
) -> list[JudgedSplit]:
    """Judge a split for every run, in one pass over its images."""
    sources = [run.source(dataset) for run in runs]
    judging = [
        run.judging(dataset, source, chosen, selection)
        for run, source, chosen in zip(runs, sources, thresholds, strict=True)
    ]
    # After a killed run some methods may be a few batches ahead of others.
    behind = min(judging, key=lambda one: one.images)
    report = runs[0].progress_of(dataset)
    with ExitStack() as stack:
        for one in judging:
            stack.enter_context(one)
        for batch in _batches(runs, sources, behind.left()):
            start = behind.images
            for one, own in zip(judging, batch, strict=True):
                if one.images == start:
                    one.take(own)
            if report is not None:
                report(behind.images)
    return [one.result() for one in judging]


def _batches(runs: Sequence[_Run], sources: Sequence[MapSource], indices: list[int]) -> Iterator[tuple[MapBatch, ...]]:
    """Batches of maps of every run."""
    first = sources[0]
    if len(runs) > 1 and isinstance(first, NetworkMaps):
        return first.batches_of([run.options.one_method for run in runs], indices)
    return ((batch,) for batch in first.batches(indices))


def _keep_inputs(options: EvaluationOptions) -> None:
    """Refuse an output that is an input of the same evaluation.

    Raises:
        UsageError: Naming both options.
    """
    maps = options.save_score_maps
    if maps is not None:
        for name, folder in (("--score-maps", options.score_maps), ("--val-score-maps", options.val_score_maps)):
            if folder is not None and maps.resolve() == folder.resolve():
                raise UsageError(f"--save-score-maps {maps} would overwrite the maps of {name}: name another folder")
    if options.output is None:
        return
    earlier = options.val_results
    inputs = {
        "--val-results": earlier / RESULTS if earlier is not None and earlier.is_dir() else earlier,
        "--selection-boxes": options.selection_boxes,
        "--checkpoint": options.checkpoint,
        "--dataset": Path(options.dataset),
    }
    written = {(options.output / name).resolve() for name in (RESULTS, PREDICTIONS, CURVES, REPORT)}
    for name, path in inputs.items():
        if path is not None and path.resolve() in written:
            raise UsageError(f"--output {options.output} would overwrite {name} {path}: name another folder")


class _Run:
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
            writers.append(MapWriter(self.options.save_score_maps, dataset.ground_truth).write)
        if asked_for and self.options.save_logits is not None:
            self._logits = LogitsWriter(self.options.save_logits, dataset.ground_truth)
            writers.append(self._logits.add)
        return Judging(
            source,
            dataset.ground_truth,
            self.opened.protocol,
            thresholds,
            self.partial / split,
            mask_of=_masks(dataset, self.options.on_error) if asked_for else None,
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
        total = len(self.process.share(len(dataset), self.options.batch_size))
        return lambda done: report(split, done, total)


def _hand_on(writers: Sequence[Callable[[MapBatch], None]], batch: MapBatch) -> None:
    for write in writers:
        write(batch)


def choose_thresholds(runs: Sequence[_Run]) -> list[Thresholds]:
    """For every run the fixed threshold, and those chosen on the validation split where there is one with boxes.

    Raises:
        UserError: If earlier results cannot be read.
    """
    options, opened = runs[0].options, runs[0].opened
    fixed = options.threshold
    if fixed is None:
        fixed = opened.protocol.threshold_for(opened.dataset.ground_truth.dataset)

    def without(reason: str) -> list[Thresholds]:
        return [Thresholds(fixed, chosen_on=f"no threshold was chosen on val: {reason}")] * len(runs)

    if options.val_results is not None:
        return [_earlier_thresholds(fixed, run.options.val_results) for run in runs if run.options.val_results]
    if not options.val:
        return without("--no-val was given")
    if options.split != "test":
        return without(f"{options.split} is judged")
    if opened.network is None and options.val_score_maps is None:
        return without("its maps come with --val-score-maps DIR")
    try:
        dataset = opened.split("val")
    except DatasetError as error:
        if options.selection_boxes is not None:
            raise
        return without(str(error))
    truth, path = dataset.ground_truth, options.selection_boxes
    selection = None if path is None else truth.with_boxes(path)
    has_boxes = any(len(boxes) for boxes in truth.boxes)
    if not has_boxes and selection is None:
        return without("the split has no boxes")
    chosen = []
    for judged in judge(runs, dataset, [Thresholds(fixed)] * len(runs), selection):
        of_run = Thresholds(fixed, chosen_on="no threshold was chosen on val: the split has no boxes")
        if has_boxes:
            of_run = Thresholds(fixed, _best_thresholds(judged), f"{truth.dataset} val, {len(dataset)} images")
        if selection is not None:
            boxed = sum(len(boxes) > 0 for boxes in selection.boxes)
            selected_on = f"boxes of {path} for {boxed} of {len(dataset)} images of {truth.dataset} val"
            best = _best_thresholds(judged.by_selection())
            of_run = replace(of_run, selection=best, selected_on=selected_on)
        chosen.append(of_run)
    return chosen


def _fixed_from(opened: Opened) -> str:
    """Where the fixed threshold comes from, in words."""
    if opened.options.threshold is not None:
        return "given with --threshold"
    return opened.protocol.threshold_source(opened.dataset.ground_truth.dataset)


def _best_thresholds(judged: JudgedSplit) -> dict[str, float]:
    return {row: curves.best_threshold for row, curves in count_split(judged).curves.items()}


def _earlier_thresholds(fixed: float, path: Path) -> Thresholds:
    """Thresholds that an earlier evaluation chose, or found best on its own images."""
    earlier = read_results(path).content
    candidates = cam_thresholds()
    # results.json rounds; the threshold itself decides the last bit of a cut.
    chosen = {
        row: float(candidates[np.abs(candidates - threshold).argmin()])
        for row, threshold in (earlier["thresholds"]["val"] or earlier["thresholds"]["oracle"]).items()
    }
    return Thresholds(fixed, chosen, f"{earlier['dataset']} val, read from {path}")


def summarize(run: _Run, judged: JudgedSplit, source: MapSource) -> Evaluation:
    """Count the records and gather everything that is written.

    Args:
        run: The run.
        judged: Its records.
        source: Where the maps came from.
    """
    counts = count_split(judged)
    results = results_document(
        judged,
        counts,
        model=run.options.model or "score maps",
        command=command_line(run.options, run.opened.found_checkpoint),
        map_size=source.map_size,
        network=run.opened.network_facts(),
        limit=run.options.limit,
        replicates=run.options.bootstrap,
    )
    clock = source.clock if isinstance(source, NetworkMaps) else None
    findings = dict.fromkeys(
        found for of_process in run.process.gather(run.opened.dataset.findings) for found in of_process
    )
    results["data"]["findings"] = [group.as_record() for group in grouped(findings)]
    results["environment"]["share_of_time_waiting_for_images"] = None if clock is None else clock.share_waiting
    return Evaluation(results, curve_table(counts.curves), lambda: prediction_chunks(judged))


def publish(folder: Path, evaluation: Evaluation, judged: JudgedSplit, run: _Run) -> None:
    """Write every file of an evaluation; the figures first, the pictures after them."""
    options = run.options
    evaluation.write(folder)
    if options.coco:
        write_coco(folder, judged)
    gallery = Gallery([], {})
    if not evaluation.curves.empty and (options.gallery or options.pick):
        images = JudgedImages(
            run.opened.source(run.opened.dataset, options.score_maps, on_error="count"),
            run.opened.dataset,
            evaluation.predictions,
            judged.thresholds,
            evaluation.results["model"],
        )
        if options.gallery:
            gallery = make_gallery(images, pick_for_gallery(images.predictions, options.gallery))
            gallery.write(folder)
        if options.pick:
            names = pick(images.predictions, options.pick, PICTURES)
            if names:
                draw.save_pages(images.pages(names), folder / f"{options.pick}.png")
            else:
                warnings.warn(f"no image is {options.pick}: {options.pick}.png is not drawn", stacklevel=2)
    write_evaluation(folder, evaluation, gallery)


@contextmanager
def _working_folder(options: EvaluationOptions, process: Process) -> Iterator[Path]:
    """The output folder, held for this run alone, or one that is thrown away where nothing is to be kept."""
    with ExitStack() as stack:
        folder, fault = None, None
        if process.is_first:
            try:
                folder = _hold(options, stack)
            except UserError as error:
                fault = str(error)
        ((folder, fault), *_) = process.gather((folder, fault))
        if folder is None:
            raise UserError(fault)
        yield folder
        process.wait()


def _hold(options: EvaluationOptions, stack: ExitStack) -> Path:
    if options.output is None:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wsol-eval-", ignore_cleanup_errors=True)))
    for folder in filter(None, (options.output, options.save_score_maps)):
        stack.enter_context(folder_lock(folder))
    partial = options.output / PARTIAL
    if options.restart:
        shutil.rmtree(partial, ignore_errors=True)
    elif not options.resume and (images := unfinished(partial)):
        raise UserError(
            f"{options.output} holds an unfinished run of {images} judged images: --resume continues it, --restart "
            "discards it"
        )
    return options.output


def _masks(dataset: LocalizationDataset, on_error: OnError) -> MaskOf | None:
    """Where to get masks, or None if the split has none."""
    masks = dataset.ground_truth.masks
    if masks is None or not any(files.objects for files in masks):
        return None
    named: set[int] = set()

    def mask_of(index: int, size: tuple[int, int]) -> npt.NDArray[np.uint8] | None:
        try:
            return dataset.mask(index, size)
        except ImageError as error:
            if on_error == "stop":
                raise ImageError(f"{error}; --on-error count leaves such masks out") from error
            if index not in named:  # every row asks for it
                named.add(index)
                detail = f"{error}; left out of the pixel metrics"
                dataset.add_finding("warning", "mask unreadable", dataset.ground_truth.image_ids[index], detail)
            return None

    return mask_of

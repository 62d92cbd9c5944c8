"""A whole evaluation, stage after stage: thresholds, records, what is counted from them, files.

options = EvaluationOptions(dataset="minibirds", model="resnet_mini_tdam")
results = evaluate(options, Process(), torch.device("cpu"))
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from eval.analysis.curves import count_split
from eval.judging.process import Process
from eval.judging.split import JudgedSplit, unfinished
from eval.maps import MapSource
from eval.maps.network import NetworkMaps
from eval.maps.opened import Opened
from eval.options import EvaluationOptions
from eval.output.coco import write_coco
from eval.output.command import command_line
from eval.output.document import results_document
from eval.output.gallery import Gallery, JudgedImages, make_gallery, pick, pick_for_gallery
from eval.output.predictions import prediction_chunks
from eval.output.results import Evaluation, curve_table
from eval.report import REPORT, write_evaluation
from eval.run import PARTIAL, Progress, Run, judge
from eval.threshold_choice import choose_thresholds, fixed_from_words
from tdam.errors import UsageError, UserError
from tdam.files import folder_lock
from wsol import draw
from wsol.data.findings import Finding, grouped
from wsol.results import CURVES, PREDICTIONS, RESULTS

PICTURES = 8  # rows of the figure of picked images


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
            runs.append(Run(first.with_options(options), process, folder, progress))
        rules, fixed_from = each[0].threshold_rules, fixed_from_words(first)
        thresholds = [replace(one, rules=rules, fixed_from=fixed_from) for one in choose_thresholds(runs)]
        judged = judge(runs, first.dataset, thresholds)
        for run in runs:
            run.write_logits()
        source = runs[0].source(first.dataset)
        findings = [found for of_process in process.gather(first.dataset.findings) for found in of_process]
        results = process.first_only(
            lambda: [finish(run, split, source, findings) for run, split in zip(runs, judged, strict=True)]
        )
        for run in runs:
            run.remove_unfinished()
    return results


def finish(run: Run, judged: JudgedSplit, source: MapSource, findings: Sequence[Finding]) -> dict[str, Any]:
    """Count the records and write every file; for one process alone.

    Args:
        run: The run.
        judged: Its records.
        source: Where the maps came from.
        findings: What all processes found in the data.

    Returns:
        The content of results.json.
    """
    evaluation = summarize(run, judged, source, findings)
    if run.options.output is not None:
        publish(run.folder, evaluation, judged, run)
    return evaluation.results


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


def summarize(run: Run, judged: JudgedSplit, source: MapSource, findings: Sequence[Finding]) -> Evaluation:
    """Count the records and gather everything that is written.

    Args:
        run: The run.
        judged: Its records.
        source: Where the maps came from.
        findings: What all processes found in the data.
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
    results["data"]["findings"] = [group.as_record() for group in grouped(dict.fromkeys(findings))]
    results["environment"]["share_of_time_waiting_for_images"] = None if clock is None else clock.share_waiting
    return Evaluation(results, curve_table(counts.curves), lambda: prediction_chunks(judged))


def publish(folder: Path, evaluation: Evaluation, judged: JudgedSplit, run: Run) -> None:
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
        yield process.first_only(lambda: _hold(options, stack))
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

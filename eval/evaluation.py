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

from eval.judging.process import Process
from eval.judging.split import unfinished
from eval.maps.opened import Opened
from eval.options import EvaluationOptions
from eval.run import PARTIAL, Progress, Run, judge
from eval.threshold_choice import choose_thresholds, fixed_from_words
from tdam.errors import UsageError, UserError
from tdam.files import folder_lock
from wsol.results import CURVES, PREDICTIONS, REPORT, RESULTS
from wsol.runtime.memory import hand_back_freed_memory


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
        # Where the batches were is room for pandas, matplotlib and the report.
        hand_back_freed_memory()

        def finish_all() -> list[dict[str, Any]]:
            from eval.publishing import finish

            return [finish(run, split, source, findings) for run, split in zip(runs, judged, strict=True)]

        results = process.first_only(finish_all)
        for run in runs:
            run.remove_unfinished()
    return results


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

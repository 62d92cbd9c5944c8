"""A whole evaluation: thresholds from the validation split, the judged split, and its results.

options = EvaluationOptions(dataset="minibirds", model="resnet_mini_tdam")
results = evaluate(options, Process(), torch.device("cpu"))
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from eval.analysis.baselines import baselines
from eval.analysis.curves import ANY_STEP
from eval.analysis.summary import breakdown_figures, interval_figures
from eval.judging.judge import MaskOf, Thresholds
from eval.judging.process import Process
from eval.judging.split import JudgedSplit, judge_split
from eval.maps import FolderMaps, MapSource, MapWriter, NetworkMaps, OnError
from eval.maps.inference import Forward, compiled_steps, prepare
from eval.options import INFERENCE_OPTIONS, EvaluationOptions
from eval.output.coco import write_coco
from eval.output.gallery import pick, pick_for_gallery, picture_grid, read_predictions, write_gallery
from eval.output.results import (
    CURVES,
    PREDICTIONS,
    RESULTS,
    SCHEMA,
    curve_table,
    environment,
    read_results,
    row_figures,
    split_rows,
    write_json,
    write_predictions,
)
from eval.protocols import Protocol, get_protocol
from eval.report import write_report
from tdam.errors import UserError
from wsol import draw
from wsol.data import DatasetError, LocalizationDataset, load_dataset
from wsol.data.transforms import evaluation_transform
from wsol.weights import TrainedNetwork, open_trained

PARTIAL = "partial"
PICTURES = 8  # rows of the figure of picked images
BOX_FIGURES = ("breakdown", "mean_iou", "candidates", "per_class", "per_size", "intervals")


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
    evaluation = _Evaluation(options, process, device, progress)
    with _working_folder(options.output, process) as folder:
        return evaluation.run(folder)


@contextmanager
def _working_folder(output: Path | None, process: Process) -> Iterator[Path]:
    """The output folder, or one that is thrown away where nothing is to be kept."""
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        yield output
        return
    (folder, *_) = process.gather(tempfile.mkdtemp(prefix="wsol-eval-") if process.is_first else None)
    try:
        yield Path(folder)
        process.wait()
    finally:
        if process.is_first:
            shutil.rmtree(folder, ignore_errors=True)


class _Evaluation:
    """One evaluation of one process; the methods are its stages."""

    def __init__(
        self, options: EvaluationOptions, process: Process, device: torch.device, progress: Progress | None
    ) -> None:
        self.options = options
        self.process = process
        self.device = device
        self.progress = progress
        self.protocol: Protocol = get_protocol(options.protocol)
        # The lists are opened first: a missing dataset shall not wait for a network to load.
        self.dataset = self._open(options.split)
        self.network = self._open_network()

    def run(self, folder: Path) -> dict[str, Any]:
        """Judge validation and test split, then write the results."""
        thresholds, chosen_on = self._thresholds(folder / PARTIAL / "val")
        dataset = self._transformed(self.dataset)
        writer = self._writer(dataset)
        source = self._source(dataset, self.options.score_maps)
        judged = judge_split(
            source,
            dataset.ground_truth,
            self.protocol,
            thresholds,
            folder / PARTIAL / self.options.split,
            mask_of=_masks(dataset),
            with_attention_shift=self.options.attention_shift,
            process=self.process,
            resume=self.options.resume,
            facts=self._facts(thresholds),
            watch=writer.write if writer else None,
            progress=self._progress_of(self.options.split, len(dataset)),
        )
        results = self._results(judged, thresholds, chosen_on) | {"baselines": self._baselines(judged, source.map_size)}
        clock = source.clock if isinstance(source, NetworkMaps) else None
        results["environment"]["share_of_time_waiting_for_images"] = None if clock is None else clock.share_waiting
        if self.process.is_first and self.options.output is not None:
            write_predictions(folder / PREDICTIONS, judged)
            curve_table(judged.curves).to_csv(folder / CURVES, index=False, float_format="%.6g")
            write_json(folder / RESULTS, results)
            self._publish(folder, dataset, judged)
            shutil.rmtree(folder / PARTIAL)
        self.process.wait()
        return results

    def _publish(self, folder: Path, dataset: LocalizationDataset, judged: JudgedSplit) -> None:
        """Write what is made from the results: COCO files, gallery and report."""
        if self.options.coco:
            write_coco(folder, judged)
        if judged.curves and self.options.gallery:
            predictions = read_predictions(folder / PREDICTIONS)
            chosen = pick_for_gallery(predictions, self.options.gallery)
            source = self._source(dataset, self.options.score_maps, on_error="count")
            write_gallery(folder, source, dataset, predictions, chosen)
        if judged.curves and self.options.pick:
            self._draw_picked(folder, dataset, self.options.pick)
        write_report(folder)

    def _draw_picked(self, folder: Path, dataset: LocalizationDataset, kind: str) -> None:
        """Draw some images of a kind, step by step."""
        predictions = read_predictions(folder / PREDICTIONS)
        names = pick(predictions, kind, PICTURES)
        if not names:
            warnings.warn(f"no image is {kind}: {kind}.png is not drawn", stacklevel=2)
            return
        source = self._source(dataset, self.options.score_maps, on_error="count")
        figure = picture_grid(source, dataset, predictions, names, difference=source.steps > 1)
        draw.save(figure, folder / f"{kind}.png")

    def _open(self, split: str) -> LocalizationDataset:
        dataset = load_dataset(self.options.dataset, split, root=self.options.data_root, decode=self.options.decode)
        if len(dataset) == 0:
            raise UserError(f"{self.options.dataset} {split} has no images")
        limit = self.options.limit
        if limit is None or limit >= len(dataset):
            return dataset
        # Lists are often sorted by class; an even spread keeps all classes in.
        return dataset.subset(np.linspace(0, len(dataset) - 1, limit).round().astype(int).tolist())

    def _open_network(self) -> TrainedNetwork | None:
        if self.options.score_maps is not None or self.options.model is None:
            return None
        return open_trained(
            self.options.model,
            dataset=self.dataset.ground_truth.dataset,
            checkpoint=self.options.checkpoint,
            num_classes=self.dataset.ground_truth.num_classes,
        )

    def _transformed(self, dataset: LocalizationDataset) -> LocalizationDataset:
        if self.network is None:
            return dataset
        preprocessing = self.network.preprocessing
        dataset.transform = evaluation_transform(
            self.network.input_size,
            mean=preprocessing["mean"],
            std=preprocessing["std"],
            **self.protocol.geometry(self.network.input_size),
        )
        return dataset

    def _source(self, dataset: LocalizationDataset, folder: Path | None, on_error: OnError | None = None) -> MapSource:
        options = self.options
        on_error = on_error or options.on_error
        if self.network is None:
            assert folder is not None
            return FolderMaps(folder, dataset.ground_truth, options.batch_size, on_error)
        return NetworkMaps(
            self._prepared_network,
            dataset,
            batch_size=options.batch_size,
            workers=options.workers,
            device=self.device,
            precision=options.precision,
            method=options.method,
            scope=options.scope,
            forward=self._forward if options.compile else None,
            on_error=on_error,
        )

    @cached_property
    def _prepared_network(self) -> TrainedNetwork:
        """The network as the options want it run."""
        assert self.network is not None
        return prepare(self.network, self.options.fold_norms, self.options.channels_last)

    @cached_property
    def _forward(self) -> Forward:
        """One compiled network for all splits and figures."""
        return compiled_steps(self._prepared_network.model, self.options.scope)

    def _writer(self, dataset: LocalizationDataset) -> MapWriter | None:
        folder = self.options.save_score_maps
        return None if folder is None else MapWriter(folder, dataset.ground_truth)

    def _thresholds(self, folder: Path) -> tuple[Thresholds, str | None]:
        """The fixed threshold, and those chosen on val with the words that say where."""
        options = self.options
        fixed = options.threshold
        if fixed is None:
            fixed = self.protocol.threshold_for(self.dataset.ground_truth.dataset)
        if options.val_results is not None:
            earlier = read_results(options.val_results)
            chosen = earlier["thresholds"]["val"] or earlier["thresholds"]["oracle"]
            return Thresholds(fixed, chosen), f"{earlier['dataset']} val, read from {options.val_results}"
        if not options.val or options.split != "test" or (self.network is None and options.val_score_maps is None):
            return Thresholds(fixed), None
        try:
            dataset = self._transformed(self._open("val"))
        except DatasetError:
            return Thresholds(fixed), None
        if not any(len(boxes) for boxes in dataset.ground_truth.boxes):
            return Thresholds(fixed), None
        judged = judge_split(
            self._source(dataset, options.val_score_maps),
            dataset.ground_truth,
            self.protocol,
            Thresholds(fixed),
            folder,
            process=self.process,
            resume=options.resume,
            facts=self._facts(Thresholds(fixed)),
            progress=self._progress_of("val", len(dataset)),
        )
        chosen = {row: curves.best_threshold for row, curves in judged.curves.items()}
        return Thresholds(fixed, chosen), f"{dataset.ground_truth.dataset} val, {len(dataset)} images"

    @cached_property
    def _weights_digest(self) -> str | None:
        """Digest of the network's weights, read once; None where only maps are judged."""
        return None if self.network is None else weights_digest(self.network.model)

    def _facts(self, thresholds: Thresholds) -> dict[str, Any]:
        """What must be equal for a killed run to be continued."""
        names = (
            "dataset",
            "model",
            "split",
            "protocol",
            "score_maps",
            "limit",
            "decode",
            *INFERENCE_OPTIONS,
        )
        facts = {name: getattr(self.options, name) for name in names}
        return facts | {
            "weights": self._weights_digest,
            "fixed_threshold": thresholds.fixed,
            "val_thresholds": thresholds.val,
        }

    def _progress_of(self, split: str, num_images: int) -> Callable[[int], None] | None:
        if self.progress is None:
            return None
        total, report = len(self.process.share(num_images, self.options.batch_size)), self.progress
        return lambda done: report(split, done, total)

    def _results(self, judged: JudgedSplit, thresholds: Thresholds, chosen_on: str | None) -> dict[str, Any]:
        has_logits = self.network is not None
        steps, fusions = split_rows(judged)
        figures = {row: row_figures(judged, row, thresholds, has_logits) for row in judged.rows}
        if ANY_STEP in judged.curves:
            figures[ANY_STEP] = row_figures(judged, ANY_STEP, thresholds, has_logits)
        truth = judged.ground_truth
        return {
            "schema": SCHEMA,
            "model": self.options.model or "score maps",
            "dataset": truth.dataset,
            "protocol": self.protocol.name,
            "environment": environment(),
            "images": len(truth),
            "metrics": figures[steps[-1]],
            "steps": {step: figures[step] for step in steps},
            "fusions": {fusion: figures[fusion] for fusion in fusions},
            "any_step_oracle": figures.get(ANY_STEP),
            "any_step_after_filter_oracle": judged.filtered_steps,
            "thresholds": {
                "fixed": thresholds.fixed,
                "val": thresholds.val,
                "oracle": {row: curves.best_threshold for row, curves in judged.curves.items()},
                "chosen_on": chosen_on,
                "headline": "fixed" if thresholds.val is None else "val",
            },
            **self._box_figures(judged, thresholds, has_logits),
            "attention_shift": judged.attention_shift,
            "network": self._network_facts(),
            "data": {
                "split": truth.split,
                "classes": truth.num_classes,
                "limit": self.options.limit,
                "several_objects": sum(len(boxes) > 1 for boxes in truth.boxes),
            },
            "conventions": dataclasses.asdict(self.protocol),
            "faults": {"unreadable": judged.unreadable, "degenerate_maps": self._degenerate(judged)},
        }

    def _box_figures(self, judged: JudgedSplit, thresholds: Thresholds, has_logits: bool) -> dict[str, Any]:
        """Intervals, kinds of error and results per group; None each where no image has a box."""
        if not judged.curves:
            return dict.fromkeys(BOX_FIGURES)
        figures = breakdown_figures(judged, self.protocol, has_logits)
        replicates = self.options.bootstrap
        intervals = interval_figures(judged, self.protocol, thresholds, replicates) if replicates else None
        return figures | {"intervals": intervals}

    def _baselines(self, judged: JudgedSplit, map_size: tuple[int, int]) -> dict[str, Any] | None:
        """What boxes score that never saw an image; None where no image has a box."""
        if not judged.curves:
            return None
        height, width = map_size
        figures = baselines(judged.ground_truth, self.protocol, (width, height))
        return {name: {"gt_known_loc": figure.percent, "box": list(figure.box)} for name, figure in figures.items()}

    def _network_facts(self) -> dict[str, Any] | None:
        if self.network is None:
            return None
        model = self.network.model
        return {
            "weights": self.network.source,
            "weights_sha256": self._weights_digest,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "input_size": list(self.network.input_size),
            **{name: getattr(self.options, name) for name in INFERENCE_OPTIONS},
        }

    @staticmethod
    def _degenerate(judged: JudgedSplit) -> list[str]:
        """Images with a constant or NaN map at some step, which were scored as wsolevaluation scores them."""
        ids = judged.ground_truth.image_ids
        return [ids[i] for chunk in judged.records() for i in chunk["index"][chunk["degenerate"].any(axis=1)]]


def weights_digest(model: nn.Module) -> str:
    """SHA-256 over names and values of all weights, to tell whether two runs used the same."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _masks(dataset: LocalizationDataset) -> MaskOf | None:
    """Where to get masks, or None if the split has none."""
    masks = dataset.ground_truth.masks
    if masks is None or not any(files.objects for files in masks):
        return None
    return dataset.mask

"""The last stage of an evaluation, for one process: the records are counted, and every file is written."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.analysis.curves import count_split
from eval.judging.split import JudgedSplit
from eval.maps import MapSource
from eval.maps.network import NetworkMaps
from eval.output.coco import write_coco
from eval.output.command import command_line
from eval.output.document import results_document
from eval.output.gallery import Gallery, JudgedImages, make_gallery, pick, pick_for_gallery
from eval.output.predictions import prediction_chunks
from eval.output.results import Evaluation, curve_table
from eval.report import write_evaluation
from eval.run import Run
from wsol import draw
from wsol.data.findings import Finding, grouped

PICTURES = 8  # rows of the figure of picked images


def finish(run: Run, judged: JudgedSplit, source: MapSource, findings: Sequence[Finding]) -> dict[str, Any]:
    """Count the records and write every file.

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

"""What faster inference changes in the metrics of the bundled networks; the tables of docs/inference.md.

python scripts/experiments/compare_inference.py
python scripts/experiments/compare_inference.py --limit 100 --models resnet_mini_tdam
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import tyro
from comparison import FIGURES, figures_of

from eval.evaluation import evaluate
from eval.judging.process import Process
from eval.options import EvaluationOptions
from wsol.results import PREDICTIONS

SETTINGS: dict[str, dict[str, Any]] = {
    "fp32": {},
    "--no-channels-last": {"channels_last": False},
    "--fold-norms": {"fold_norms": True},
    "--compile": {"compile": True},
    "--fold-norms --compile": {"fold_norms": True, "compile": True},
    "--precision bf16": {"precision": "bf16"},
    "--precision fp16": {"precision": "fp16"},
}


def main(
    models: tuple[str, ...] = ("resnet_mini", "resnet_mini_tdam"),
    dataset: str = "minibirds",
    limit: int | None = None,
    threads: int = 1,
) -> None:
    """Evaluate every network with every setting and print the differences from fp32.

    Args:
        models: Networks with trained weights.
        dataset: Dataset to evaluate on.
        limit: Images to judge; all where not given.
        threads: Threads of PyTorch.
    """
    torch.set_num_threads(threads)
    for model in models:
        runs = {}
        for name, setting in SETTINGS.items():
            options = {"dataset": dataset, "model": model, "limit": limit, **setting}
            runs[name] = figures_and_boxes(options)
        print(
            f"\n{model}, {dataset} test, {len(runs['fp32'][1])} images, last step\n", table(runs), sep="\n", flush=True
        )


def figures_and_boxes(options: dict[str, Any]) -> tuple[dict[str, float], pd.DataFrame]:
    """Figures of the last step, and for every image the box of its label's map at that step."""
    with tempfile.TemporaryDirectory() as folder:
        evaluation = EvaluationOptions(output=Path(folder), gallery=0, bootstrap=0, attention_shift=False, **options)
        results = evaluate(evaluation, Process(), torch.device("cpu"))
        rows = pd.read_csv(Path(folder) / PREDICTIONS)
    return figures_of(results["metrics"]), rows[rows.step == rows.step.max()].set_index("image")


def table(runs: dict[str, tuple[dict[str, float], pd.DataFrame]]) -> str:
    """Figures of the first run and differences from them, in points, as Markdown."""
    (first, first_rows), *_ = runs.values()
    lines = [
        "| setting | " + " | ".join(FIGURES) + " | other box | other class |",
        "| --- |" + " ---: |" * (len(FIGURES) + 2),
    ]
    for position, (name, (figures, rows)) in enumerate(runs.items()):
        cells = [f"{figures[key] - (first[key] if position else 0):{'+' if position else ''}.2f}" for key in FIGURES]
        boxes = (rows[["x0", "y0", "x1", "y1"]] != first_rows[["x0", "y0", "x1", "y1"]]).any(axis=1)
        classes = rows["class_name"] != first_rows["class_name"]
        lines.append(
            f"| {name} | " + " | ".join(cells) + f" | {100 * boxes.mean():.2f} % | {100 * classes.mean():.2f} % |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    tyro.cli(main)

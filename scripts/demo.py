"""Evaluates the bundled TDAM network and its plain twin on minibirds and draws what each step looks at.

bash scripts/demo.sh [--limit N] [--output DIR]
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import tyro

import wsol
import wsol.draw
from eval.evaluation import evaluate
from eval.judging.process import Process
from eval.options import EvaluationOptions
from eval.report.terminal import SplitProgress, print_results
from tdam.errors import one_line_errors
from wsol.data import load_dataset
from wsol.results import PREDICTIONS
from wsol.runtime.terminal import console

NETWORK, TWIN = "resnet_mini_tdam", "resnet_mini"


@dataclass(frozen=True)
class DemoOptions:
    """Options of the demo.

    Attributes:
        output: Folder for the results.
        limit: Evaluate only so many test images.
    """

    output: Path = Path("runs/demo")
    limit: int | None = None


def pick_images(predictions: pd.DataFrame, each: int = 2) -> dict[str, str]:
    """Images where the last step's box is much better, much worse and (at two objects) whatever it is.

    Returns:
        Image name -> why it was picked.
    """
    iou = predictions.pivot(index="image", columns="step", values="iou")
    change = (iou.iloc[:, -1] - iou.iloc[:, 0]).sort_values()
    several = predictions.loc[predictions["objects"] > 1, "image"].drop_duplicates()
    picked = dict.fromkeys(change.index[-each:][::-1], "gained most")
    picked |= {name: "lost most" for name in change.index[:each] if name not in picked}
    rest = [name for name in several if name not in picked]
    return picked | dict.fromkeys(rest[:each], "two birds")


def draw_grid(options: DemoOptions, results: dict[str, Any]) -> Path:
    """Draw image, map and box of each step, and ground truth, for a few picked images."""
    dataset = load_dataset("minibirds", "test")
    truth = dataset.ground_truth
    picked = pick_images(pd.read_csv(options.output / PREDICTIONS))
    places = [truth.image_ids.index(name) for name in picked]
    threshold = list(results["thresholds"]["val"].values())[len(results["steps"]) - 1]
    localizer = wsol.Localizer(NETWORK, threshold=threshold)
    found = localizer([dataset.image(place) for place in places])
    names = localizer.network.class_names or truth.class_names
    titles = [f"{names[truth.labels[place]]}\n{why}" for place, why in zip(places, picked.values(), strict=True)]
    figure = wsol.draw.grid_figure(found, [truth.boxes[place] for place in places], titles)
    path = options.output / "steps.png"
    wsol.draw.save(figure, path)
    return path


def main() -> None:
    options = tyro.cli(DemoOptions, description=__doc__)
    base = EvaluationOptions(dataset="minibirds", model=NETWORK, output=options.output, limit=options.limit)
    twin = replace(base, model=TWIN, output=options.output / TWIN)
    results = []
    for one in (base, twin):
        print(f"Evaluating {one.model} …", file=sys.stderr)
        with SplitProgress(visible=True) as progress:
            results.append(evaluate(one, Process(), torch.device("cpu"), progress))
    print_results(results, None)
    picture = draw_grid(options, results[0])
    console().print(
        f"Look at {picture}: image, map and box of each step, ground truth.\n"
        f"Open {options.output / 'report.html'} in a browser.\n"
        f"Figures: {options.output}/results.json, predictions.csv, curves.csv; the plain twin's: {twin.output}/"
    )


if __name__ == "__main__":
    with one_line_errors():
        main()

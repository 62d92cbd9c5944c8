"""Makes the pictures of the documentation, from the bundled networks: docs/images/*.png.

python scripts/docs_images.py [FOLDER_OF_RESULTS]     # default: evaluates minibirds into runs/docs first
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import torch
from playwright.sync_api import sync_playwright

from eval.evaluation import evaluate
from eval.judging.process import Process
from eval.options import EvaluationOptions
from eval.output.gallery import read_predictions
from eval.report import write_report
from eval.report.data import read_report
from wsol import draw

IMAGES = Path(__file__).parents[1] / "docs" / "images"
VIEWS = {
    "report-light-wide": (1280, 1500, "light", None),
    "report-dark-wide": (1280, 1100, "dark", "#gallery"),
    "report-light-narrow": (400, 900, "light", "#gallery"),
    "report-dark-narrow": (400, 900, "dark", None),
}


def screenshots(report: Path) -> None:
    """Take the report light and dark, wide and narrow."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for name, (width, height, scheme, section) in VIEWS.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.goto(report.resolve().as_uri())
            if section:
                page.evaluate("(section) => document.querySelector(section).scrollIntoView()", section)
                page.wait_for_timeout(500)
            page.screenshot(path=IMAGES / f"{name}.png")
        browser.close()


def plots(folder: Path) -> None:
    """Draw the plots of a results folder."""
    report = read_report(folder)
    steps = report.steps
    thresholds = report.results["thresholds"]["val"]
    of_step = {step: report.curves[report.curves["step"] == step] for step in steps}
    curves = draw.threshold_curves(
        of_step[steps[0]]["threshold"],
        {f"step {step}": of_step[step]["gt_known_loc"] for step in steps},
        marks={f"step {step}": thresholds[step] for step in steps},
    )
    draw.save(curves, IMAGES / "threshold-curves.png")
    predictions = read_predictions(folder / "predictions.csv")
    ious = {f"step {step}": predictions.loc[predictions["step"] == int(step), "iou"] for step in steps}
    draw.save(draw.iou_histogram(ious), IMAGES / "iou-histogram.png")
    kinds = {
        f"step {step}": {
            kind.replace("_", " "): 100 * count / report.results["images"]
            for kind, count in report.results["breakdown"][step].items()
        }
        for step in steps
    }
    draw.save(draw.error_bars(kinds), IMAGES / "error-bars.png")


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("runs/docs")
    if not (folder / "results.json").is_file():
        options = EvaluationOptions(dataset="minibirds", model="resnet_mini_tdam", output=folder, pick="gained")
        evaluate(options, Process(), torch.device("cpu"))
    IMAGES.mkdir(parents=True, exist_ok=True)
    screenshots(write_report(folder))
    plots(folder)
    shutil.copyfile(folder / "gained.png", IMAGES / "gained.png")


if __name__ == "__main__":
    main()

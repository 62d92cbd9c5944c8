"""Makes the pictures of the documentation, from the bundled networks: docs/images/.

python scripts/docs_images.py                     # evaluates minibirds into runs/docs first
python scripts/docs_images.py terminal            # the terminals alone
python scripts/docs_images.py PHOTOGRAPH …        # photographs.png alone, of these files
"""

from __future__ import annotations

import io
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image
from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

import wsol
from eval.commands.evaluate import run as evaluate
from eval.output.predictions import read_predictions
from eval.report import write_report
from eval.report.data import read_report
from wsol import draw
from wsol.demo.networks import EXAMPLES, Networks, example_image
from wsol.demo.page import build_page, served, temporary_files

IMAGES = Path(__file__).parents[1] / "docs" / "images"
VIEWS = {
    "report-light-wide": (1280, 1500, "light", None),
    "report-dark-wide": (1280, 1100, "dark", "#gallery"),
    "report-light-narrow": (400, 900, "light", "#gallery"),
    "report-dark-narrow": (400, 900, "dark", None),
}


COMMANDS = {
    "terminal-eval": "wsol-eval --model resnet_mini_tdam --dataset minibirds --output runs/docs",
    "terminal-help": "wsol-show --help",
    "terminal-data": "wsol-data list",
}
COLUMNS = 80
PAPER = {"width": 800, "height": 1130}  # A4 at 96 dots per inch, within its margins


def terminals() -> None:
    """Take what commands print at 80 columns, as SVG."""
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "PYTHONWARNINGS": "ignore"}
    for name, command in COMMANDS.items():
        done = subprocess.run(
            shlex.split(command), env=environment, capture_output=True, text=True, encoding="utf-8", check=True
        )
        console = Console(record=True, width=COLUMNS, file=io.StringIO())
        console.print(Text(f"$ {command}\n", style="bold"), Text(done.stdout.strip("\n")), sep="\n")
        svg = console.export_svg(title="80 columns", theme=SVG_EXPORT_THEME)
        # Browsers take a font of their own: the pages load nothing from elsewhere.
        svg = re.sub(r"@font-face \{.*?\}\n", "", svg, flags=re.DOTALL).replace("Fira Code, monospace", "monospace")
        (IMAGES / f"{name}.svg").write_text(svg, encoding="utf-8")


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
            shrink(IMAGES / f"{name}.png")
        page = browser.new_page(viewport=PAPER)
        page.emulate_media(media="print")
        page.goto(report.resolve().as_uri())
        page.screenshot(path=IMAGES / "report-print.png")
        shrink(IMAGES / "report-print.png")
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
    _save(curves, "threshold-curves")
    predictions = read_predictions(folder / "predictions.csv")
    ious = {f"step {step}": predictions.loc[predictions["step"] == int(step), "iou"] for step in steps}
    _save(draw.iou_histogram(ious), "iou-histogram")
    kinds = {
        f"step {step}": {
            kind.replace("_", " "): 100 * count / report.results["images"]
            for kind, count in report.results["breakdown"][step].items()
        }
        for step in steps
    }
    _save(draw.error_bars(kinds), "error-bars")


def photographs(files: list[Path]) -> None:
    """Draw photographs given on the command line, with a network trained on ImageNet."""
    checkpoint = Path("runs/docs/efficientnet_lite0.safetensors")
    if not checkpoint.is_file():
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        runpy.run_path(str(Path(__file__).with_name("convert_efficientnet_lite0.py")))["convert"](checkpoint)
    found = wsol.Localizer("tf_efficientnet_lite0", checkpoint=checkpoint)(files)
    _save(draw.grid_figure(found, titles=[""] * len(found)), "photographs", dpi=110)


def steps() -> None:
    """Draw the bird that the README and the demo open with."""
    bird = example_image(EXAMPLES[0])
    _save(draw.step_figure(wsol.Localizer("resnet_mini_tdam")(bird)[0]), "steps")


def demo_page() -> None:
    """Take the demo page as it opens."""
    with temporary_files(), served(build_page(Networks())) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 960})
        page.goto(address)
        page.wait_for_selector("#pictures figure", timeout=60_000)
        page.wait_for_timeout(1500)
        page.screenshot(path=IMAGES / "demo.png")
        shrink(IMAGES / "demo.png")
        browser.close()


def _save(figure: Figure, name: str, dpi: int = 150) -> None:
    shrink(draw.save(figure, IMAGES / f"{name}.png", dpi=dpi))


def shrink(path: Path) -> None:
    """Keep a picture of the documents small: 256 colours are enough for all of them."""
    Image.open(path).convert("RGB").quantize(256, method=Image.Quantize.MEDIANCUT).save(path, optimize=True)


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    if sys.argv[1:] == ["terminal"]:
        terminals()
        return
    if files := [Path(name) for name in sys.argv[1:]]:
        photographs(files)
        return
    steps()
    demo_page()
    folder = Path("runs/docs")
    if not (folder / "results.json").is_file():
        words = "--model resnet_mini_tdam --dataset minibirds --pick gained --output"
        evaluate([*words.split(), str(folder)])
    terminals()
    screenshots(write_report(folder))
    plots(folder)
    for name in ("gained-1.png", "gained.png"):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, IMAGES / "gained.png")
            shrink(IMAGES / "gained.png")
            break


if __name__ == "__main__":
    main()

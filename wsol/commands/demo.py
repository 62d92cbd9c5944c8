"""`wsol-demo`: a local web page where an image is dropped and its steps are looked at.

The page is served to this machine only. It needs Gradio: pip install 'wsol[demo]'
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
import tyro
from PIL import Image

from tdam.errors import UserError, check_name
from wsol.boxes import boxes_from_score_map, scale_boxes
from wsol.cam_methods import CAM_METHODS
from wsol.class_names import readable_name
from wsol.data.minibirds import COUNTS, render_image
from wsol.draw.raster import step_picture
from wsol.localization import Localization
from wsol.localizer import Localizer
from wsol.photographs import open_image
from wsol.weights import BUNDLED, TrainedNetwork, open_trained

LOOPBACK: Final = "127.0.0.1"
LARGEST_FILE: Final = "20mb"
DISPLAY_SIDE: Final = 640
COLUMNS: Final = ("step", "class", "probability", "x0", "y0", "x1", "y1")
START_THRESHOLD: Final = 0.2


@dataclass
class DemoOptions:
    """Open a web page on this machine where images are dropped and their steps are looked at.

    Args:
        model: Also offer this network, by its registered name.
        checkpoint: Its weights.
        port: Port on this machine; 0 takes a free one.
        open: Open the page in the browser.
    """

    model: str | None = None
    checkpoint: Path | None = None
    port: int = 7860
    open: bool = False


class Networks:
    """Networks the page offers, opened when they are first asked for.

    Args:
        model: A network to offer beside the bundled ones.
        checkpoint: Its weights.

    Raises:
        UserError: If that network cannot be opened, or there is none at all.
    """

    def __init__(self, model: str | None = None, checkpoint: Path | None = None) -> None:
        self._files = {f"{path.stem} ({path.parent.name})": path for path in sorted(BUNDLED.glob("*/*.safetensors"))}
        self._own: dict[str, TrainedNetwork] = {}
        if model is not None:
            self._own[model] = open_trained(model, checkpoint=checkpoint)
        if not self.names:
            raise UserError("no bundled weights found: name a network with --model and its --checkpoint")

    @property
    def names(self) -> list[str]:
        """Names to choose from, the user's own network first."""
        return [*self._own, *self._files]

    def open(self, name: str) -> TrainedNetwork:
        """The network of a name.

        Raises:
            UnknownNameError: If it is not offered.
        """
        check_name("network", name, self.names)
        if name not in self._own:
            self._own[name] = open_trained(self._files[name].stem, checkpoint=self._files[name])
        return self._own[name]


def localize(networks: Networks, name: str, method: str, image: Image.Image) -> Localization:
    """Localize one image.

    Args:
        networks: Networks on offer.
        name: One of their names.
        method: Map method.
        image: RGB image.

    Returns:
        What the network sees at every step.

    Raises:
        UserError: If network or method are not to be had.
    """
    check_name("map method", method, CAM_METHODS)
    (found,) = Localizer(networks.open(name), method=method)(image)
    return found


def step_boxes(found: Localization, threshold: float) -> list[np.ndarray]:
    """Box of every step at a threshold, in pixels of the image.

    Args:
        found: A localization.
        threshold: Share of each map's maximum, in [0, 1).

    Returns:
        One `(4,)` box x0 y0 x1 y1 per step.
    """
    boxes = []
    for step in found.steps:
        height, width = step.score_map.shape
        (box,) = boxes_from_score_map(step.score_map, threshold)
        boxes.append(scale_boxes(box, (width, height), found.image_size))
    return boxes


def step_table(found: Localization, threshold: float) -> list[list[Any]]:
    """Rows of the table under the picture, see `COLUMNS`.

    Args:
        found: A localization.
        threshold: Share of each map's maximum, in [0, 1).

    Returns:
        One row per step.
    """
    boxes = step_boxes(found, threshold)
    return [
        [step.step, readable_name(step.label), round(step.score, 3), *box.tolist()]
        for step, box in zip(found.steps, boxes, strict=True)
    ]


def shown_picture(found: Localization, step: int, threshold: float) -> Image.Image:
    """The picture of a step: map and box over the image.

    Args:
        found: A localization.
        step: Number of the step, from 1.
        threshold: Share of the map's maximum, in [0, 1).

    Returns:
        RGB picture, its longer side `DISPLAY_SIDE`.
    """
    scale = DISPLAY_SIDE / max(found.image.size)
    width, height = (max(1, round(side * scale)) for side in found.image.size)
    picture = found.image.resize((width, height), Image.Resampling.BICUBIC)
    box = step_boxes(found, threshold)[step - 1]
    return step_picture(picture, found.image_size, found.steps[step - 1].score_map, box)


def drawn_bird() -> Image.Image:
    """A bird of minibirds' test split, another one each time: the images the bundled networks know."""
    index = int(np.random.default_rng().integers(COUNTS["test"]))
    return Image.open(io.BytesIO(render_image("test", index).jpeg)).convert("RGB")


def build_page(networks: Networks) -> Any:
    """The page as Gradio blocks.

    Args:
        networks: Networks on offer.

    Returns:
        `gradio.Blocks`, not started yet.

    Raises:
        UserError: If Gradio is not installed.
    """
    gr = _gradio()

    def failed(message: str) -> list[Any]:
        return [None, message, None, [], gr.update()]

    def look(image: Image.Image | None, name: str, method: str, threshold: float) -> list[Any]:
        if image is None:
            return failed("Drop an image, or take a drawn bird.")
        try:
            found = localize(networks, name, method, image)
        except UserError as error:
            return failed(f"error: {error}")
        steps = len(found.steps)
        width, height = found.image_size
        message = f"{width} × {height} pixels, {networks.open(name).source}"
        slider = gr.update(maximum=max(steps, 2), value=steps, interactive=steps > 1)
        return [found, message, shown_picture(found, steps, threshold), step_table(found, threshold), slider]

    def read(path: str | None, *choices: Any) -> list[Any]:
        if path is None:
            return [None, *look(None, *choices)]
        try:
            image = open_image(path)
        except UserError as error:
            # The path is the server's own; the visitor knows the file by its name.
            return [None, *failed(f"error: {str(error).replace(path, Path(path).name)}")]
        return [image, *look(image, *choices)]

    def bird(*choices: Any) -> list[Any]:
        image = drawn_bird()
        return [image, *look(image, *choices)]

    def turn(found: Localization | None, step: float, threshold: float) -> list[Any]:
        if found is None:
            return [None, []]
        step = min(int(step), len(found.steps))
        return [shown_picture(found, step, threshold), step_table(found, threshold)]

    with gr.Blocks(title="wsol demo", analytics_enabled=False) as page:
        gr.Markdown("## Where does the network look, step by step?")
        image, found = gr.State(None), gr.State(None)
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                file = gr.File(label="Image", type="filepath", height=120, elem_id="file")
                sample = gr.Button("A drawn bird", elem_id="bird")
                name = gr.Dropdown(networks.names, value=networks.names[0], label="Network", elem_id="network")
                method = gr.Dropdown(list(CAM_METHODS), value="cam", label="Map method", elem_id="method")
                threshold = gr.Slider(0, 0.99, value=START_THRESHOLD, step=0.01, label="Threshold", elem_id="threshold")
                step = gr.Slider(1, 2, value=1, step=1, label="Step", elem_id="step")
                message = gr.Textbox(label="Message", interactive=False, elem_id="message")
            with gr.Column(scale=2):
                picture = gr.Image(
                    label="Map and box of the step",
                    interactive=False,
                    elem_id="picture",
                    format="png",
                    buttons=["download", "fullscreen"],
                )
                table = gr.Dataframe(headers=list(COLUMNS), interactive=False, label="Steps", elem_id="steps")
        choices, shown = [name, method, threshold], [found, message, picture, table, step]
        file.change(read, [file, *choices], [image, *shown], api_visibility="private")
        sample.click(bird, choices, [image, *shown], api_visibility="private")
        for control in (name, method):
            control.change(look, [image, *choices], shown, api_visibility="private")
        for control in (step, threshold):
            control.change(turn, [found, step, threshold], [picture, table], api_visibility="private")
    return page


def start(page: Any, port: int = 0, open_browser: bool = False) -> str:
    """Serve the page to this machine, in the background.

    Args:
        page: What `build_page` made.
        port: Port; 0 takes a free one.
        open_browser: Open the page in the browser.

    Returns:
        Address of the page.

    Raises:
        UserError: If the port is taken.
    """
    gr = _gradio()
    # Fonts of this machine: the page asks nobody else for anything.
    theme = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    try:
        _, address, _ = page.launch(
            server_name=LOOPBACK,
            server_port=port or None,
            max_file_size=LARGEST_FILE,
            inbrowser=open_browser,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            footer_links=[],
            theme=theme,
        )
    except OSError as error:
        raise UserError(f"port {port} is taken: choose another with --port, or --port 0 for a free one") from error
    return str(address)


@cache
def _gradio() -> Any:
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    try:
        return import_module("gradio")
    except ImportError as error:
        raise UserError("wsol-demo needs Gradio: pip install 'wsol[demo]'") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `wsol-demo` until it is stopped.

    Args:
        arguments: Command line without the program's name; None reads `sys.argv`.

    Returns:
        Exit code.
    """
    options = tyro.cli(DemoOptions, args=arguments, prog="wsol-demo", config=(tyro.conf.FlagCreatePairsOff,))
    try:
        page = build_page(Networks(options.model, options.checkpoint))
        print(f"{start(page, options.port, options.open)} (this machine only; Ctrl+C stops)", flush=True)
        page.block_thread()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0

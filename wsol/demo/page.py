"""The page as Gradio blocks, and serving it to this machine."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from PIL import Image

from tdam.errors import UserError
from wsol.class_names import short_label
from wsol.demo.networks import EXAMPLES, LOW_CONFIDENCE, Networks, at_threshold, example_image
from wsol.demo.viewer import error_html, fade_html, message_html, steps_html
from wsol.localization import Localization, StepLocalization
from wsol.photographs import open_image

LOOPBACK: Final = "127.0.0.1"
LARGEST_FILE: Final = "20mb"
START_THRESHOLD: Final = 0.2
LAYERS: Final = ("map", "outline", "box")
OWN_CLASS: Final = "the step's own"
COLUMNS: Final = ("step", "class", "score", "x0 y0 x1 y1")

_TOGGLE: Final = (
    f"(shown) => {{ for (const layer of {list(LAYERS)}) "
    "document.body.classList.toggle('hide-' + layer, !shown.includes(layer)) }"
)
_FADE: Final = "(step) => document.body.style.setProperty('--fade', step)"


def step_table(found: Localization) -> list[list[Any]]:
    """Rows of the table under the pictures, see `COLUMNS`; of several map methods the step bears the method's name."""
    named: list[tuple[int | str, StepLocalization]] = [(step.step, step) for step in found.steps]
    if found.by_method:
        named = [(f"{name} {step.step}", step) for name, steps in found.by_method.items() for step in steps]
    return [
        [name, short_label(step.label), round(step.score, 3), " ".join(str(end) for end in step.box.tolist())]
        for name, step in named
    ]


def class_choices(found: Localization) -> list[tuple[str, int]]:
    """The five most probable classes of the last step, and above them -1: each step's own."""
    top = [(f"{short_label(one.label)}  {one.score:.2f}", one.class_id) for one in found.steps[-1].top]
    return [(OWN_CLASS, -1), *top]


def message(networks: Networks, name: str, found: Localization) -> str:
    """What the page says of the image and of the network."""
    width, height = found.image_size
    best = found.steps[-1].top[0]
    warning = ""
    if best.score < LOW_CONFIDENCE:
        warning = (
            f"Low confidence: {short_label(best.label)} {best.score:.2f}. "
            "The image may show something that this network was never taught."
        )
    return message_html(
        [
            f"{found.network} ({networks.source(name)}), image of {width} × {height} pixels.",
            f"This network knows {networks.knows(name)}. It answers with one of them, whatever the image shows.",
        ],
        warning,
    )


def build_page(networks: Networks) -> Any:
    """The page as Gradio blocks, with an image localized already.

    Args:
        networks: Networks on offer.

    Returns:
        `gradio.Blocks`, not started yet.

    Raises:
        UserError: If Gradio is not installed.
    """
    gr = _gradio()
    examples = [example_image(index) for index in EXAMPLES]

    def views(found: Localization) -> list[Any]:
        steps = len(found.steps)
        slider = gr.update(minimum=1, maximum=max(steps, 2), value=steps, visible=steps > 1)
        return [str(steps_html(found)), str(fade_html(found)), step_table(found), slider]

    def failed(error: str) -> list[Any]:
        return [None, str(error_html(error)), gr.update(choices=[(OWN_CLASS, -1)], value=-1), "", "", [], gr.update()]

    def look(image: Image.Image, name: str, method: list[str], threshold: float) -> list[Any]:
        try:
            found = networks.localize(name, image, method, threshold)
        except UserError as error:
            return failed(str(error))
        classes = gr.update(choices=class_choices(found), value=-1)
        return [found, str(message(networks, name, found)), classes, *views(found)]

    def look_with(image: Image.Image, name: str, chosen: list[str], threshold: float) -> list[Any]:
        """Look with another network, for which some of the chosen methods may not work."""
        try:
            methods = networks.methods(name)
        except UserError as error:
            return [gr.update(), *failed(str(error))]
        chosen = [method for method in chosen if method in methods] or methods[:1]
        return [gr.update(choices=methods, value=chosen), *look(image, name, chosen, threshold)]

    def read(path: str | None, image: Image.Image, *choices: Any) -> list[Any]:
        """Open an upload; the field is emptied, so that it takes the next one."""
        if path is None:
            return [None, image, *[gr.update()] * 7]
        try:
            image = open_image(path)
        except UserError as error:
            # The path is the server's own; the visitor knows the file by its name.
            return [None, image, *failed(str(error).replace(path, Path(path).name))]
        return [None, image, *look(image, *choices)]

    def example(event: Any, *choices: Any) -> list[Any]:
        image = examples[event.index]
        return [image, *look(image, *choices)]

    # Gradio gives the place of a click to an argument of this type; the module is imported too late to write it above.
    example.__annotations__["event"] = gr.SelectData

    def of_class(class_id: int, image: Image.Image, name: str, method: list[str], threshold: float) -> list[Any]:
        chosen = None if class_id == -1 else class_id
        try:
            found = networks.localize(name, image, method, threshold, class_id=chosen)
        except UserError:
            return [gr.update()] * 5  # no method is chosen, as the message says since it was taken away
        return [found, *views(found)]

    def cut(found: Localization | None, threshold: float) -> list[Any]:
        if found is None:
            return [None, *[gr.update()] * 4]
        found = at_threshold(found, threshold)
        return [found, *views(found)[:3], gr.update()]

    name = networks.names[0]
    first = networks.localize(name, examples[0], threshold=START_THRESHOLD)
    steps_view, fade_view, rows, _ = views(first)
    many = len(first.steps) > 1
    with gr.Blocks(title="wsol demo", analytics_enabled=False, delete_cache=(600, 600)) as page:
        gr.Markdown("## Where does the network look, step by step?")
        image, found = gr.State(examples[0]), gr.State(first)
        with gr.Row():
            with gr.Column(scale=1, min_width=260):
                file = gr.File(label="Image: drop, paste or choose", type="filepath", height=150, elem_id="file")
                gallery = gr.Gallery(
                    examples,
                    label="Examples",
                    columns=3,
                    rows=2,
                    height=230,
                    elem_id="examples",
                    allow_preview=False,
                    interactive=False,
                    object_fit="cover",
                    format="png",
                    buttons=[],
                )
                network = gr.Dropdown(networks.names, value=name, label="Network", elem_id="network")
                method = gr.Dropdown(
                    networks.methods(name), value=["cam"], multiselect=True, label="Map methods", elem_id="method"
                )
                threshold = gr.Slider(0, 0.99, value=START_THRESHOLD, step=0.01, label="Threshold", elem_id="threshold")
                layers = gr.CheckboxGroup(list(LAYERS), value=list(LAYERS), label="Show", elem_id="layers")
            with gr.Column(scale=3):
                says = gr.HTML(str(message(networks, name, first)), elem_id="message")
                pictures = gr.HTML(steps_view, elem_id="pictures")
                with gr.Row():
                    with gr.Column(scale=1, min_width=260):
                        step = gr.Slider(
                            1, max(len(first.steps), 2), value=len(first.steps), step=0.05, visible=many,
                            label="Fade between the steps", elem_id="step",
                        )  # fmt: skip
                        fade = gr.HTML(fade_view, elem_id="fade")
                    with gr.Column(scale=1, min_width=260):
                        classes = gr.Radio(class_choices(first), value=-1, label="Class of the maps", elem_id="classes")
                        table = gr.Dataframe(
                            rows,
                            headers=list(COLUMNS),
                            interactive=False,
                            label="Boxes in pixels",
                            elem_id="boxes",
                            column_widths=["12%", "44%", "16%", "28%"],
                        )
        choices = [network, method, threshold]
        views_shown = [pictures, fade, table, step]
        shown = [found, says, classes, *views_shown]
        file.upload(read, [file, image, *choices], [file, image, *shown], api_visibility="private")
        gallery.select(example, choices, [image, *shown], api_visibility="private")
        network.change(look_with, [image, *choices], [method, *shown], api_visibility="private")
        method.input(look, [image, *choices], shown, api_visibility="private")
        classes.input(of_class, [classes, image, *choices], [found, *views_shown], api_visibility="private")
        threshold.change(cut, [found, threshold], [found, *views_shown], api_visibility="private")
        # These two need no server: the layers are in the page already.
        step.change(None, step, None, js=_FADE)
        layers.change(None, layers, None, js=_TOGGLE)
        page.load(None, step, None, js=_FADE)
    return page


@contextmanager
def served(page: Any, port: int = 0, open_browser: bool = False) -> Iterator[str]:
    """Serve the page to this machine, in the background, as long as the context lasts.

    Uploads lie in a temporary folder that is removed afterwards.

    Args:
        page: What `build_page` made.
        port: Port; 0 takes a free one.
        open_browser: Open the page in the browser.

    Yields:
        Address of the page.

    Raises:
        UserError: If the port is taken.
    """
    gr = _gradio()
    # Fonts of this machine: the page asks nobody else for anything.
    theme = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    here = Path(__file__).parent
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
            css=(here / "page.css").read_text(encoding="utf-8"),
            js=(here / "page.js").read_text(encoding="utf-8"),
        )
    except OSError as error:
        raise UserError(f"port {port} is taken: choose another with --port, or --port 0 for a free one") from error
    try:
        yield str(address)
    finally:
        page.close(verbose=False)


@contextmanager
def temporary_files() -> Iterator[Path]:
    """A folder for everything that Gradio writes; it is removed at the end. To be entered before `build_page`."""
    before = os.environ.get("GRADIO_TEMP_DIR")
    with tempfile.TemporaryDirectory(prefix="wsol-demo-", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        try:
            yield Path(folder)
        finally:
            del os.environ["GRADIO_TEMP_DIR"]
            if before is not None:
                os.environ["GRADIO_TEMP_DIR"] = before


@cache
def _gradio() -> Any:
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    try:
        return import_module("gradio")
    except ImportError as error:
        raise UserError("wsol-demo needs Gradio: pip install 'wsol[demo]'") from error

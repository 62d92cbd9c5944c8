"""The command `wsol-show`; its work is in `wsol.commands.show_images`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from tdam.errors import one_line_errors
from wsol.command_line.command import Command
from wsol.runtime.terminal import print_version


@dataclass
class ShowOptions:
    """Which class a network sees in images, and where.

    Attributes:
        images: Image files, folders or globs, and videos.
        model: Registered name of a network, such as resnet_mini_tdam; a checkpoint file that names its own;
            hf-hub:NAME; or package.module:function.
        model_args: Arguments of package.module:function, as NAME=VALUE.
        checkpoint: Weights of the network. Default: those that come with wsol, or published ones.
        input_size: Height and width of the network's input, or one number for both. Default: the network's own.
        device: Device such as cpu or cuda:0.
        method: Map method: cam, grad-cam, layer-cam, and others; an unknown name lists them all. Several are shown side
            by side.
        layers: Modules whose output the maps are made from, for gradient methods. Maps of several layers are fused.
        class_name: Class to look for, by name or number. Default: the top class of each step.
        top_k: With --json: also give boxes for this many of the most probable classes.
        threshold: The object is where the map exceeds this share of its maximum, in [0, 1).
        rule: largest: one box, around the largest region. all: with --json, a box and a score for every region.
        output: A file (.png .svg .pdf) gets all images, over several pages if needed: NAME-1.png, NAME-2.png, … or
            pages of one PDF. A file (.gif .webp .mp4) gets an animation of one image. A folder gets one file per image.
            Default: the folder wsol-show; nothing with --json.
        format: Type of the files in a folder. gif, webp and mp4 are animations from step to step.
        figure: steps draws box and map of every step; difference draws what the last step gained and lost.
        export: Also write the boxes for other tools, into the folder boxes within the output folder.
        every: Of a video, take each so many-th frame.
        json: Print classes, scores and boxes as JSON.
    """

    images: tyro.conf.Positional[tuple[str, ...]]
    model: str
    model_args: tuple[str, ...] = ()
    checkpoint: Path | None = None
    output: Path | None = None
    format: Literal["png", "svg", "pdf", "gif", "webp", "mp4"] = "png"
    method: tuple[str, ...] = ("cam",)
    layers: tuple[str, ...] = ()
    class_name: Annotated[str | None, tyro.conf.arg(name="class")] = None
    top_k: int | None = None
    rule: Literal["largest", "all"] = "largest"
    input_size: tuple[int, ...] | None = None
    threshold: float = 0.2
    figure: Literal["steps", "difference"] = "steps"
    export: tuple[Literal["coco", "csv", "voc", "yolo"], ...] = ()
    every: int = 1
    json: bool = False
    device: str = "cpu"


SHOW = Command(
    "wsol-show",
    "Show which class a network sees in images, and where, at every computation step.",
    ShowOptions,
    {
        "": ("images",),
        "network": ("model", "model_args", "checkpoint", "input_size", "device"),
        "map": ("method", "layers", "class_name", "top_k"),
        "box": ("threshold", "rule"),
        "output": ("output", "format", "figure", "export", "every", "json"),
    },
    examples=(
        "wsol-show photo.jpg --model resnet_mini_tdam",
        "wsol-show photos/ --model resnet50 --method grad-cam --output figure.pdf",
        "wsol-show photo.jpg --model resnet_mini_tdam --output attention.gif",
        "wsol-show photos/*.jpg --model resnet50 --json > boxes.json",
        "wsol-show clip.mp4 --model resnet_mini_tdam --export coco --output out",
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `wsol-show`.

    Args:
        arguments: Command line without the program's name; None reads `sys.argv`.

    Returns:
        Exit code: 0 if every image was shown, 1 on failure of any, 2 on wrong usage.
    """
    if print_version(arguments):
        return 0
    try:
        with one_line_errors():
            options = SHOW.parse(arguments)
            from wsol.commands.show_images import show

            return show(options)
    except SystemExit as ended:
        return int(ended.code or 0)

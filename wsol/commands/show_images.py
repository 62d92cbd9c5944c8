"""What a network sees in image files and videos, as figures, animations, box files and JSON."""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import track

from tdam.errors import UsageError
from wsol import animation, draw
from wsol.data.errors import ImageError
from wsol.export import BoxFiles
from wsol.localization import Localization, StepLocalization
from wsol.localizer import Localizer
from wsol.marks import is_marked
from wsol.opening.sources import parse_arguments
from wsol.photographs import find_images, open_image
from wsol.photographs.videos import frames_per_second, is_video

if TYPE_CHECKING:
    from wsol.commands.show import ShowOptions

DEFAULT_FOLDER = Path("wsol-show")
SUFFIXES = (*draw.SUFFIXES, *animation.SUFFIXES)


def show(options: ShowOptions) -> int:
    """Localize, draw and print what `options` ask for.

    Args:
        options: Checked here.

    Returns:
        0, or 1 if some image could not be read; those are named on stderr and the others still shown.

    Raises:
        UserError: If nothing can be shown.
    """
    if not options.images:
        raise UsageError("no image given: name files, folders or globs")
    if not 0 <= options.threshold < 1:
        raise UsageError(f"--threshold {options.threshold:g} is not in [0, 1)")
    output = options.output or (None if options.json else DEFAULT_FOLDER)
    if output and output.suffix and output.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--output {output}: cannot write {output.suffix}; use {', '.join(SUFFIXES)} or a folder")
    paths = find_images(options.images)
    _check_together(options, output, paths)
    localizer = Localizer(
        options.model,
        checkpoint=options.checkpoint,
        threshold=options.threshold,
        method=options.method,
        device=options.device,
        layers=options.layers,
        rule=options.rule,
        input_size=_input_size(options),
        model_args=parse_arguments(options.model_args),
    )
    print(f"{options.model}: {localizer.network.describe()}", file=sys.stderr)

    unreadable: list[ImageError] = []
    taken = {path.resolve() for path in paths}
    noted = _Noted(_box_files(options, output, localizer.methods))
    videos = [path for path in paths if is_video(path)]
    for path in videos:
        found = noted.all_of(_video(localizer, path, unreadable, options))
        first = next(found, None)
        if first is None or output is None:
            deque(found, maxlen=0)
            continue
        target = output if output.suffix else _free_path(output, path.stem, "mp4", taken)
        _report(animation.save_video(chain([first], found), target, frames_per_second(path) / options.every))
    images = [path for path in paths if path not in videos]
    found = noted.all_of(_localize(localizer, _with_progress(images), unreadable, options))
    if output is None:
        deque(found, maxlen=0)
    elif not output.suffix:
        for result in found:
            stem = result.path.stem if result.path else "image"
            _report(_write(result, options.figure, _free_path(output, stem, options.format, taken)))
    elif shown := list(found):
        for written in _write_all(shown, options.figure, output):
            _report(written)
    for written in noted.close():
        _report(written)
    if options.json:
        said = {"model": options.model, "weights": localizer.network.source, "images": noted.records}
        print(json.dumps(said, indent=2))
    for error in unreadable:
        print(f"error: {error}", file=sys.stderr)
    return 1 if unreadable else 0


def _check_together(options: ShowOptions, output: Path | None, paths: Sequence[Path]) -> None:
    """Refuse options that do not go together, before anything is computed."""
    several, moving = len(options.method) > 1, any(map(is_video, paths))
    suffix = output.suffix.lower() if output else ""
    animated = suffix in animation.SUFFIXES or (not suffix and f".{options.format}" in animation.SUFFIXES)
    if output and several and (animated or moving or options.figure == "difference"):
        raise UsageError("several map methods go side by side into figures of steps: name one --method for all else")
    if options.top_k is not None and not options.json:
        raise UsageError("--top-k goes with --json: figures and files of boxes show one class")
    if options.every < 1:
        raise UsageError(f"--every {options.every}: take each frame, or each so many-th: 1 or more")
    if moving and suffix and (suffix != ".mp4" or len(paths) > 1):
        raise UsageError(f"--output {output}: a video becomes a file .mp4 of its own; name one, or a folder")
    if suffix in animation.SUFFIXES and len(paths) > 1:
        raise UsageError(
            f"--output {output}: an animation shows one image, not {len(paths)}; name a folder and --format"
        )
    if output and suffix:
        _keep_what_is_there(output, paths)


class _Noted:
    """What is kept of results that pass by: their records, and boxes in files."""

    def __init__(self, boxes: dict[str, BoxFiles]) -> None:
        self.records: list[dict[str, Any]] = []
        self._boxes = boxes

    def all_of(self, found: Iterable[Localization]) -> Iterator[Localization]:
        """Hand results on, one at a time."""
        for result in found:
            self.records.append(as_record(result))
            of_methods = result.methods()
            for name, files in self._boxes.items():
                files.add(of_methods.get(name, result))
            yield result

    def close(self) -> list[Path]:
        """Write the boxes."""
        return [path for files in self._boxes.values() for path in files.close()]


def _box_files(options: ShowOptions, output: Path | None, methods: Sequence[str]) -> dict[str, BoxFiles]:
    """Where the boxes of each map method go: a new folder, so that those of an earlier run are kept."""
    if not options.export:
        return {}
    parent = DEFAULT_FOLDER if output is None else output.parent if output.suffix else output
    folder, number = parent / "boxes", 1
    while folder.exists():
        number += 1
        folder = parent / f"boxes-{number}"
    return {name: BoxFiles(folder / name if len(methods) > 1 else folder, options.export) for name in methods}


def _video(
    localizer: Localizer, path: Path, unreadable: list[ImageError], options: ShowOptions
) -> Iterator[Localization]:
    """Localize a video's frames; one that cannot be read is collected."""
    try:
        yield from localizer.video(path, options.class_name, options.top_k, options.every)
    except ImageError as error:
        unreadable.append(error)


def _input_size(options: ShowOptions) -> int | tuple[int, ...] | None:
    size = options.input_size
    if size is not None and len(size) not in (1, 2):
        raise UsageError("--input-size takes one number, or height and width")
    return size[0] if size is not None and len(size) == 1 else size


def as_record(result: Localization) -> dict[str, Any]:
    """A localization as plain data, without its maps.

    Args:
        result: What a `Localizer` said of one image.

    Returns:
        `path`, `width`, `height` and per step `step`, `class_id`, `label`, `score` and `box` (x0 y0 x1 y1 in
        pixels of the image) and `regions`, all boxes with scores; `classes`, where the top k were asked for;
        `methods`, where several map methods were; `frame` and `seconds` of a video's frame.
    """
    width, height = result.image_size
    record: dict[str, Any] = {
        "path": str(result.path),
        "width": width,
        "height": height,
        "steps": [_step_record(step) for step in result.steps],
    }
    if result.frame is not None:
        record |= {"frame": result.frame, "seconds": result.seconds}
    if result.by_method:
        record["methods"] = {name: [_step_record(step) for step in steps] for name, steps in result.by_method.items()}
    if result.by_class:
        record["classes"] = [[_step_record(step) for step in steps] for steps in result.by_class]
    return record


def _step_record(step: StepLocalization) -> dict[str, Any]:
    return {
        "step": step.step,
        "class_id": step.class_id,
        "label": step.label,
        "score": round(step.score, 6),
        "box": [int(value) for value in step.box],
        "regions": [
            {"box": [int(value) for value in region.box], "score": round(region.score, 6)} for region in step.regions
        ],
    }


def _localize(
    localizer: Localizer, paths: Iterable[Path], unreadable: list[ImageError], options: ShowOptions
) -> Iterator[Localization]:
    """Localize files batch by batch; those that cannot be read are collected, nothing else is lost."""
    remaining = iter(paths)
    while batch := list(islice(remaining, localizer.batch_size)):
        pictures = {}
        for path in batch:
            try:
                pictures[path] = open_image(path)
            except ImageError as error:
                unreadable.append(error)
        found = localizer(list(pictures.values()), options.class_name, options.top_k)
        for path, result in zip(pictures, found, strict=True):
            yield replace(result, path=path)


def _with_progress(paths: list[Path]) -> Iterable[Path]:
    console = Console(stderr=True)
    quiet = len(paths) < 2 or not console.is_terminal
    return track(paths, "localizing", console=console, disable=quiet, transient=True)


def _write(result: Localization, kind: str, path: Path) -> Path:
    """Write the figure or animation of one image."""
    if path.suffix.lower() in animation.SUFFIXES:
        return animation.save(result, path)
    if result.by_method:
        return draw.save(draw.method_figure(result.methods()), path)
    figure = draw.difference_figure(result) if kind == "difference" else draw.step_figure(result)
    return draw.save(figure, path)


def _write_all(shown: list[Localization], kind: str, path: Path) -> list[Path]:
    """Write a figure of all images, in as many pages as they need."""
    if len(shown) == 1:
        return [_write(shown[0], kind, path)]
    rows, titles = shown, None
    if shown[0].by_method:
        named = [(name, found) for result in shown for name, found in result.methods().items()]
        rows = [found for _, found in named]
        titles = [f"{found.path.name if found.path else 'image'} · {name}" for name, found in named]
    return draw.save_pages(draw.grid_pages(rows, titles=titles, difference=kind == "difference"), path)


def _keep_what_is_there(output: Path, photographs: Sequence[Path]) -> None:
    """Raise if the file to write, or one of its pages, is a photograph or anything else that wsol did not make."""
    pages = (output.with_stem(f"{output.stem}-{number}") for number in range(1, len(photographs) + 1))
    inputs = {path.resolve() for path in photographs}
    for path in (output, *pages):
        if path.is_file() and (path.resolve() in inputs or not is_marked(path)):
            raise UsageError(f"--output {path}: there is a file that wsol-show did not make; choose another name")


def _free_path(folder: Path, stem: str, suffix: str, taken: set[Path]) -> Path:
    """Where the figure of an image goes: images of one name get numbers, and what wsol did not make is kept."""
    path, number = folder / f"{stem}.{suffix}", 1
    while path.resolve() in taken or (path.exists() and not is_marked(path)):
        number += 1
        path = folder / f"{stem}-{number}.{suffix}"
    taken.add(path.resolve())
    return path


def _report(path: Path) -> None:
    print(path, file=sys.stderr)

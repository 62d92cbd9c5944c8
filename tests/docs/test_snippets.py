"""Every command and every Python snippet of the README and the documents runs.

A page's blocks run in order in one folder that holds what the pages speak of: photographs, a small CUB, maps of another
program, a dataset of one's own. Runs are shortened (few images, one epoch), never replaced. A comment
`<!-- not run in the tests: REASON -->` before a block excepts it; commands of other programs are checked as far as
their files go.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from tiny_datasets import CUB, cub_archive, write_files, write_tar

from wsol.demo.networks import example_image

ROOT = Path(__file__).parents[2]
PAGES = sorted(path for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
COMMANDS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
BLOCK = re.compile(r"(<!-- not run[^\n]*-->\n)?```(\w*)\n(.*?)```", re.DOTALL)
# These register a family or a method for good; their own tests run them and clean up.
WITH_TESTS_OF_THEIR_OWN = ("adding-a-family.md", "adding-a-map-method.md")
OTHERS = ("pip", "bash", "torchrun", "accelerate", "python", "make", "srun", "sbatch", "git", "nox", "export", "mkdocs")


def blocks(page: Path, *languages: str) -> list[str]:
    return [
        code
        for excepted, language, code in BLOCK.findall(page.read_text(encoding="utf-8"))
        if language in languages and not excepted
    ]


def write_yaml_files(page: Path, folder: Path) -> None:
    """Write the YAML blocks whose first line names a file, shortened as the commands are."""
    for code in blocks(page, "yaml"):
        if named := re.match(r"# (\S+\.yaml)\n", code):
            short = re.sub(r"epochs: \d+", "epochs: 1, batch_size: 4, workers: 0", code.replace("minibirds", "mugs"))
            short = short.replace("recipe: mugs", "recipe: minibirds").replace("seeds: 2", "seeds: 1")
            (folder / named[1]).write_text(short)


def command_lines(code: str) -> Iterator[tuple[list[str], str | None]]:
    """Words of each command, and the file that its output goes to, if it goes to one."""
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if ">" in words:
            yield words[: words.index(">")], words[words.index(">") + 1]
        elif words:
            yield words, None


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages speak of."""
    folder = tmp_path_factory.mktemp("pages")
    for number, name in enumerate(("photos/a.jpg", "photos/b.jpg", "bird.jpg", "photo.jpg")):
        (folder / name).parent.mkdir(exist_ok=True)
        example_image(number).save(folder / name)
    clip = cv2.VideoWriter(str(folder / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 5, (96, 96))
    for number in range(6):
        clip.write(np.array(example_image(number))[:, :, ::-1])
    clip.release()
    write_tar(folder / "CUB_200_2011.tgz", cub_archive(), "gz")
    write_files(folder / "data", cub_archive())
    generator = np.random.default_rng(0)
    for path, *_ in CUB:
        maps = folder / "maps" / f"{path}.npy"
        maps.parent.mkdir(parents=True, exist_ok=True)
        np.save(maps, generator.random((224, 224), dtype=np.float32))
    for split, count in (("train", 40), ("photos", 2)):
        for label in ("cup", "mug"):
            for number in range(count):
                path = folder / "mugs" / split / label / f"{number}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(generator.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(path)
    for number, split in enumerate(("val", "test")):
        rows = [f"{label}/{number}.jpg,{label},5,5,40,30" for label in ("cup", "mug")]
        (folder / "mugs" / f"{split}.csv").write_text("\n".join(["path,label,x0,y0,x1,y1", *rows]) + "\n")
    (weights,) = (ROOT / "wsol").rglob("resnet_mini_tdam.safetensors")
    trained = folder / "runs" / "minibirds" / "resnet_mini_tdam" / "best.safetensors"
    trained.parent.mkdir(parents=True)
    shutil.copyfile(weights, trained)
    (folder / "mugs" / "dataset.yaml").write_text(
        "name: mugs\nsplits:\n  train: {images: train}\n"
        "  val: {images: photos, boxes: val.csv}\n  test: {images: photos, boxes: test.csv}\n"
    )
    return folder


@pytest.fixture
def here(contents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    shutil.copytree(contents, folder)
    monkeypatch.chdir(folder)
    return folder


def shortened(words: list[str]) -> list[str]:
    """The same command on few images."""
    name, *arguments = words
    if name == "wsol-eval" and arguments[0] != "compare":
        return [*arguments, "--limit", "8"]
    if name == "wsol-train":
        arguments = ["mugs" if word == "minibirds" else word for word in arguments]
        return [*arguments, "--epochs", "1", "--workers", "0", "--batch-size", "4"]
    return arguments


def needs_what_is_not_here(words: list[str]) -> bool:
    """Networks and benchmarks that no test can bring: the command line is still read to its end."""
    text = " ".join(words)
    absent = (
        r"check cub|my_networks|hf-hub|resnet50|vit_|deit|imagenet|openimages|oxford-pets|tiny-imagenet|--download|"
        r"\.pth|wsolevaluation|CUBV2"
    )
    return bool(re.search(absent, text))


def run(words: list[str], page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = words[0]
    if name == "wsol-demo":
        return  # tests/wsol/demo opens it in a browser
    if name in OTHERS:
        for word in words[1:]:
            if word.endswith((".py", ".sh")):
                assert (ROOT / word).is_file(), f"{page.name}: there is no {word}"
        return
    assert name in COMMANDS, f"{page.name}: there is no command {name}"
    module, function = COMMANDS[name].split(":")
    monkeypatch.setattr(sys, "argv", [name, *shortened(words)])
    try:
        code = getattr(importlib.import_module(module), function)()
    except SystemExit as stop:
        code = stop.code
    expected = {0, 1} if needs_what_is_not_here(words) else {0}
    assert (code or 0) in expected, f"{page.name}: {' '.join(words)} ended with {code}"


def test_commands_stand_in_blocks_that_are_run() -> None:
    for page in PAGES:
        for _, language, code in BLOCK.findall(page.read_text(encoding="utf-8")):
            if language not in ("bash", "python"):
                words = {line.split()[0] for line in code.splitlines() if line.split()}
                assert not words & {*COMMANDS, "python"}, f"{page.name}: a command in a block of {language or 'text'}"


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands(page: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_yaml_files(page, here)
    for code in blocks(page, "bash"):
        for words, target in command_lines(code):
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                run(words, page, monkeypatch)
            if target is not None:
                Path(target).write_text(printed.getvalue(), encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.name not in WITH_TESTS_OF_THEIR_OWN],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_python(page: Path, here: Path) -> None:
    """Snippets of a page share their names, as a reader's session would."""
    names: dict[str, Any] = {"__name__": "page"}
    for number, snippet in enumerate(blocks(page, "python"), start=1):
        short = re.sub(r"epochs=\d+", "epochs=1", snippet)
        exec(compile(short, f"{page.name}, snippet {number}", "exec"), names)


def test_links_between_pages_lead_somewhere() -> None:
    for page in [ROOT / "CONTRIBUTING.md", *PAGES]:
        for target in re.findall(r"\]\((?!https?:|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_no_file_of_the_documents_is_large() -> None:
    for path in (ROOT / "docs").rglob("*"):
        if path.is_file():
            assert path.stat().st_size <= 500_000, f"{path.relative_to(ROOT)} has {path.stat().st_size} bytes"

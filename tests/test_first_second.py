"""Commands answer help and mistakes, and faces are imported, without waiting for what computes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    "torch",
    "torchvision",
    "timm",
    "torchmetrics",
    "pandas",
    "scipy",
    "matplotlib",
    "numba",
    "accelerate",
    "gradio",
}
REPORT = """
import sys
try:
    {code}
except SystemExit as ended:
    print("exit", ended.code, file=sys.stderr)
import json
print(json.dumps(sorted({{name.split(".")[0] for name in sys.modules}})))
"""


def modules_after(code: str) -> tuple[set[str], str]:
    """Top-level modules that are imported once `code` has run, and all that it printed."""
    done = subprocess.run([sys.executable, "-c", REPORT.format(code=code)], capture_output=True, text=True, check=True)
    *printed, names = done.stdout.splitlines()
    return set(json.loads(names)), "\n".join(printed) + done.stderr


@pytest.mark.parametrize(
    ("command", "words", "answer"),
    [
        ("eval.commands.evaluate", ["--help"], "--dataset"),
        ("eval.commands.evaluate", ["--version"], "wsol "),
        ("eval.commands.evaluate", ["--dataset", "cub", "--modle", "resnet50"], "--model"),
        ("eval.commands.evaluate", ["--dataset", "cub"], "give --model NAME"),
        ("eval.commands.evaluate", ["compare", "--help"], "--report"),
        ("wsol.commands.data", ["--help"], "prepare"),
        ("wsol.commands.data", ["list"], "tiny-imagenet"),
        ("wsol.commands.demo", ["--help"], "--port"),
        ("wsol.commands.show", ["--help"], "--method"),
        ("wsol.commands.show", ["a.jpg"], "--model"),
        ("eval.commands.bench", ["--help"], "--processes"),
        ("wsol.commands.train", ["--help"], "--recipe"),
        ("wsol.commands.train", ["--print-completion", "bash"], "complete"),
        ("wsol.commands.train", ["--model", "resnet50", "--dataset", "cub", "--lr", "0"], "lr must be above 0"),
    ],
)
def test_help_mistakes_and_listings_wait_for_nothing(command: str, words: list[str], answer: str) -> None:
    code = f"sys.argv = ['command', *{words}]; import {command} as command; command.main()"
    imported, printed = modules_after(code)
    assert answer in printed
    assert imported & HEAVY == set()


def test_faces_import_their_names_when_they_are_used() -> None:
    imported, _ = modules_after("import tdam, wsol, wsol.data")
    assert imported & HEAVY == set()


def test_an_evaluation_leaves_tables_and_figures_to_its_end() -> None:
    """Their memory would be added to that of the batches, and their import to the wait for the first image."""
    code = "import eval.evaluation, eval.report.terminal, eval.measures.attention_shift, eval.measures.tdam_steps"
    imported, _ = modules_after(f"{code}; assert 'scipy.stats' not in sys.modules")
    assert imported & {"torchmetrics", "pandas", "matplotlib", "numba", "jinja2"} == set()


@pytest.mark.parametrize("first", ["import tdam, timm", "import timm, tdam", "import tdam.checkpoints.loading, timm"])
def test_networks_are_registered_whichever_is_imported_first(first: str) -> None:
    _, printed = modules_after(f"{first}; print(timm.is_model('resnet50_tdam'))")
    assert "True" in printed


def test_a_lazy_face_has_every_name_it_lists() -> None:
    names = "tdam, wsol, wsol.data, wsol.boxes, wsol.metrics, wsol.training, eval.report"
    code = f"import {names}"
    faces = f"for face in ({names}): [getattr(face, name) for name in face.__all__]"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{faces}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

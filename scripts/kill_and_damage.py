"""Kill evaluation and training at random moments, flip bits in what they left, and compare with undisturbed runs.

python scripts/kill_and_damage.py                 # docs/robustness.md says what came out
python scripts/kill_and_damage.py --kills 2 --flips-each 10
"""

from __future__ import annotations

import json
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import tyro
from safetensors.torch import load_file

from eval.evaluation import PARTIAL, evaluate
from eval.judging.process import Process
from eval.options import EvaluationOptions
from tdam.errors import UserError
from tdam.files import tensors_sha256
from wsol.training.state import STATE_FILE, load_state

MODEL, DATASET, IMAGES = "resnet_mini_tdam", "minibirds", 160
# The state is saved after every batch, so that there is one whenever the process dies.
EVALUATE = "import eval.judging.split as s; s.SECONDS_BETWEEN_SAVES = -1.0; from eval.commands.evaluate import run; "
TRAIN = "from wsol.training.session import run; "
EVALUATION = ["--model", MODEL, "--dataset", DATASET, "--limit", str(IMAGES), "--batch-size", "4"]
EVALUATION += ["--bootstrap", "0", "--gallery", "0", "--device", "cpu"]
TRAINING = ["--model", "resnet_mini", "--dataset", DATASET, "--recipe", "none", "--epochs", "2", "--batch-size", "400"]
TRAINING += ["--save-every", "1", "--validate-every", "0", "--workers", "0", "--device", "cpu", "--no-tensorboard"]


def command(code: str, arguments: list[str]) -> list[str]:
    return [sys.executable, "-c", f"{code}run({arguments!r})"]


def figures(folder: Path) -> dict[str, Any]:
    """Everything in results.json that the images decide."""
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    for key in ("environment", "command"):
        results.pop(key)
    return results


def weights(folder: Path) -> str:
    """Digest of the weights that a training ended with."""
    return tensors_sha256(load_file(folder / "last.safetensors"))


def killed_until_done(code: str, arguments: list[str], seconds: float, kills: int, seed: int) -> int:
    """Run a command, kill it `kills` times at random moments, then let it end; returns how often it was killed."""
    moments = random.Random(seed)
    died = 0
    for attempt in range(kills + 1):
        resume = ["--resume"] if attempt else []
        with subprocess.Popen(
            command(code, arguments + resume), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as run:
            try:
                output, _ = run.communicate(timeout=None if attempt == kills else moments.uniform(0.3, 1.0) * seconds)
            except subprocess.TimeoutExpired:
                run.kill()
                run.communicate()
                died += 1
                continue
        if run.returncode:
            raise SystemExit(f"attempt {attempt} ended with {run.returncode}: {output.decode()[-500:]}")
        break
    return died


def timed(code: str, arguments: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command(code, arguments), check=True, capture_output=True)
    return time.perf_counter() - began


def flip(folder: Path, into: Path, seed: int) -> str:
    """Copy a folder and flip one bit of one of its files; returns the file's name."""
    chance = random.Random(seed)
    shutil.rmtree(into, ignore_errors=True)
    shutil.copytree(folder, into)
    files = sorted(path for path in into.rglob("*") if path.is_file() and not path.name.startswith("."))
    path = chance.choice([file for file in files if file.suffix in (".bin", ".checked", ".pt")])
    content = bytearray(path.read_bytes())
    bit = chance.randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    return path.name


def flips(folder: Path, work: Path, count: int, answer: Callable[[Path], Any], expected: Any) -> tuple[int, int, int]:
    """How many of `count` damaged copies were refused, gave the same, gave something else."""
    refused = same = other = 0
    for seed in range(count):
        name = flip(folder, work, seed)
        try:
            given = answer(work)
        except UserError as error:
            refused += 1
            if name not in str(error):
                raise SystemExit(f"the file {name} is not named: {error}") from error
            continue
        same, other = same + (given == expected), other + (given != expected)
    return refused, same, other


def resumed_evaluation(folder: Path) -> dict[str, Any]:
    options = EvaluationOptions(
        dataset=DATASET, model=MODEL, limit=IMAGES, batch_size=4, bootstrap=0, gallery=0, output=folder, resume=True
    )
    evaluate(options, Process(), torch.device("cpu"))
    return figures(folder)


def main(kills: int = 10, flips_each: int = 50) -> None:
    """Print what became of killed runs and damaged files.

    Args:
        kills: How often evaluation and training are killed each.
        flips_each: Bits flipped in the state of evaluation, and in that of training.
    """
    print(f"{platform.processor() or platform.machine()}, {platform.platform()}")
    work = Path(tempfile.mkdtemp(prefix="wsol-kill-"))
    evaluation = [*EVALUATION, "--output"]
    seconds = timed(EVALUATE, [*evaluation, str(work / "whole")])
    expected = figures(work / "whole")
    for number in range(kills):
        folder = work / f"killed-{number}"
        died = killed_until_done(EVALUATE, [*evaluation, str(folder)], seconds, 1 + number % 3, number)
        print(f"evaluation {number}: killed {died} times, identical: {figures(folder) == expected}", flush=True)

    seconds = timed(TRAIN, [*TRAINING, "--output", str(work / "trained")])
    for number in range(kills):
        folder = work / f"training-{number}"
        died = killed_until_done(TRAIN, [*TRAINING, "--output", str(folder)], seconds, 1 + number % 3, number)
        same = weights(folder) == weights(work / "trained")
        print(f"training {number}: killed {died} times, identical: {same}", flush=True)

    stopped = work / "stopped"
    with subprocess.Popen(command(EVALUATE, [*evaluation, str(stopped)])) as run:
        while not (stopped / PARTIAL / "test" / "state-0.checked").exists() and run.poll() is None:
            time.sleep(0.05)
        time.sleep(0.5)
        run.kill()
    counts = flips(stopped, work / "damaged", flips_each, resumed_evaluation, expected)
    print("evaluation, bits flipped: refused {}, identical {}, other {}".format(*counts), flush=True)
    counts = flips(
        work / "trained", work / "damaged", flips_each, lambda folder: bool(load_state(folder / STATE_FILE)), True
    )
    print("training, bits flipped: refused {}, identical {}, other {}".format(*counts))
    shutil.rmtree(work)


if __name__ == "__main__":
    tyro.cli(main)

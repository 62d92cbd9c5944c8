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

MODEL, DATASET, IMAGES = "resnet_mini_tdam", "minibirds", 120
# The state is saved after every batch, so that there is one whenever the process dies.
EVALUATE = "import eval.judging.split as s; s.SECONDS_BETWEEN_SAVES = -1.0; from eval.commands.evaluate import run; "
TRAIN = "from wsol.commands.train import run; "
EVALUATION = ["--model", MODEL, "--dataset", DATASET, "--limit", str(IMAGES), "--batch-size", "4"]
EVALUATION += ["--bootstrap", "0", "--gallery", "0", "--device", "cpu"]
TRAINING = ["--model", "resnet_mini", "--dataset", DATASET, "--recipe", "none", "--epochs", "4", "--batch-size", "200"]
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


def killed_then_resumed(code: str, arguments: list[str], folder: Path, state: str, seed: int) -> bool:
    """Run a command, kill it at a random moment after its first state, resume it; returns whether it was killed."""
    moments = random.Random(seed)
    with subprocess.Popen(command(code, arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        while not (folder / state).exists() and run.poll() is None:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 2))
        killed = run.poll() is None
        run.kill()
    done = subprocess.run(command(code, [*arguments, "--resume"]), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the resumed run ended with {done.returncode}: {done.stderr[-500:]}")
    return killed


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
    subprocess.run(command(EVALUATE, [*evaluation, str(work / "whole")]), check=True, capture_output=True)
    expected = figures(work / "whole")
    subprocess.run(command(TRAIN, [*TRAINING, "--output", str(work / "trained")]), check=True, capture_output=True)
    for number in range(kills):
        folder = work / f"evaluation-{number}"
        arguments = [*evaluation, str(folder)]
        killed = killed_then_resumed(EVALUATE, arguments, folder, f"{PARTIAL}/val/state-0.checked", number)
        print(f"evaluation {number}: killed {killed}, identical {figures(folder) == expected}", flush=True)
        folder = work / f"training-{number}"
        killed = killed_then_resumed(TRAIN, [*TRAINING, "--output", str(folder)], folder, STATE_FILE, number)
        same = weights(folder) == weights(work / "trained")
        print(f"training {number}: killed {killed}, identical {same}", flush=True)

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

"""A whole evaluation against the same at an older commit, bare forward passes, and one map at a time.

    python scripts/benchmarks/evaluation.py --model tf_efficientnet_lite0 --checkpoint efficientnet_lite0.safetensors \
        --data-root DIR --before bf00774
    python scripts/benchmarks/evaluation.py --model resnet50_tdam --data-root DIR --before bf00774 --reference

Sides, each in a process of its own, in turns:

- `wsol-eval` of this tree with its defaults, from the opening of the dataset to the last file;
- the same of an older commit, checked out beside it (`--before`);
- forward passes alone: a plain loop over batches of 32 images that were decoded before the clock starts;
- the reference's way (`--reference`): for every step one forward pass through the whole network, then for every map on
  its own one `cv2.findContours` per threshold, once for MaxBoxAcc and once for MaxBoxAccV2. It gives the figures of
  the steps; `wsol-eval` also gives those of their fusions, predicted boxes, hits and measures of the steps.

Figures must agree wherever two sides give the same ones. Seconds are those of the work, without the imports. On a
machine with other jobs, trust the CPU time (user and system) more than the wall time. Without a checkpoint the network
has random weights, which cost the same.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machine import machine

ROOT = Path(__file__).parents[2]
# Runs in either tree: `evaluate_methods` is what the command calls with its options.
# What writes the report is imported when the images are judged, and is left out like the other imports.
EVALUATE = """
import json, resource, sys, time
import eval.evaluation, eval.commands.evaluate as command
work, hand_back = eval.evaluation.evaluate_methods, getattr(eval.evaluation, "hand_back_freed_memory", None)
def clocks():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"wall s": time.perf_counter(), "user s": used.ru_utime, "system s": used.ru_stime}
imports = dict.fromkeys(clocks(), 0.0)
def import_the_rest():
    hand_back()
    before = clocks()
    import eval.publishing
    imports.update({name: value - before[name] for name, value in clocks().items()})
if hand_back:
    eval.evaluation.hand_back_freed_memory = import_the_rest
def measured(*arguments):
    before = clocks()
    results = work(*arguments)
    taken = {name: value - before[name] - imports[name] for name, value in clocks().items()}
    taken["peak MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("taken", json.dumps(taken), file=sys.stderr)
    return results
eval.evaluation.evaluate_methods = measured
if hasattr(command, "evaluate_methods"):
    command.evaluate_methods = measured
sys.exit(command.main())
"""
PLAIN_BATCH = 32


def images_of(arguments: argparse.Namespace) -> tuple[Any, Any]:
    """Network and dataset as `wsol-eval` opens them."""
    import torch

    from eval.maps.opened import Opened
    from eval.options import EvaluationOptions

    options = EvaluationOptions(
        dataset=arguments.dataset,
        model=arguments.model,
        checkpoint=arguments.checkpoint,
        data_root=arguments.data_root,
        limit=arguments.limit,
    )
    opened = Opened(options, torch.device("cpu"))
    assert opened.network is not None
    return opened.network, opened.dataset


def forward_passes(arguments: argparse.Namespace) -> dict[str, Any]:
    """A plain loop of forward passes over decoded images."""
    import torch

    network, dataset = images_of(arguments)
    batches = [
        torch.stack([dataset[index][0] for index in range(start, min(start + PLAIN_BATCH, len(dataset)))])
        for start in range(0, len(dataset), PLAIN_BATCH)
    ]
    model = network.model.eval()

    def loop() -> dict[str, Any]:
        with torch.no_grad():
            for images in batches:
                model(images)
        return {}

    return measured(loop)


def reference(arguments: argparse.Namespace) -> dict[str, Any]:
    """One forward pass per step, one map at a time; returns percentages of every step."""
    import numpy as np
    import torch
    from sweep import plain_sweep
    from torch.utils.data import DataLoader

    import tdam
    import wsol
    from eval.protocols import get_protocol
    from tdam.steps import classifier_weight
    from wsol.sweep import cam_thresholds

    network, dataset = images_of(arguments)
    protocol, thresholds = get_protocol("wsolevaluation"), cam_thresholds()
    truth, (height, width) = dataset.ground_truth, network.input_size
    steps = tdam.num_steps(network.model)

    def judge() -> dict[str, Any]:
        hits = np.zeros((steps, 2, 3, len(thresholds)), dtype=np.int64)
        for images, labels, indices in DataLoader(dataset, PLAIN_BATCH):
            for step in range(steps):
                at_step = tdam.at_step(network.model, step + 1)
                with torch.no_grad():
                    features = at_step.forward_features(images)
                    at_step.forward_head(features)
                weights = classifier_weight(at_step)[labels].detach()
                for index, weight, feature in zip(indices.tolist(), weights, features, strict=True):
                    cam = torch.einsum("d,dhw->hw", weight, feature)
                    score_map = wsol.score_maps(cam, (height, width))
                    boxes = protocol.map_boxes(truth.boxes[index], truth.sizes[index], (width, height))
                    for metric, all_contours in enumerate((False, True)):
                        hits[step, metric] += plain_sweep(score_map, boxes, thresholds, all_contours)
        best = hits.max(axis=-1) * 100 / len(dataset)
        return {
            str(step + 1): {"max_box_acc": best[step, 0, 1], "max_box_acc_v2": best[step, 1].mean()}
            for step in range(steps)
        }

    return measured(judge)


def measured(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What work took, and the figures it returned."""
    import resource
    import time

    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    figures = work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "wall s": time.perf_counter() - start,
        "user s": after.ru_utime - before.ru_utime,
        "system s": after.ru_stime - before.ru_stime,
        "peak MB": after.ru_maxrss / 1024,
        "figures": figures,
    }


def run_evaluation(tree: Path, arguments: argparse.Namespace, output: Path) -> dict[str, Any]:
    """`wsol-eval` of a tree in a process of its own."""
    options = ["--model", arguments.model, "--dataset", arguments.dataset, "--limit", str(arguments.limit)]
    options += ["--data-root", str(arguments.data_root)] if arguments.data_root else []
    options += ["--checkpoint", str(arguments.checkpoint), "--bootstrap", "0", "--gallery", "0"]
    if arguments.method != "cam":
        options += ["--method", arguments.method]
    command = [sys.executable, "-c", EVALUATE, *options, "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tree, env=os.environ | {"PYTHONPATH": str(tree)})
    if done.returncode != 0:
        sys.exit(done.stderr)
    line = next(line for line in done.stderr.splitlines() if line.startswith("taken "))
    steps = json.loads((output / "results.json").read_text())["steps"]
    return json.loads(line.removeprefix("taken ")) | {"figures": steps}


def run_side(side: str) -> dict[str, Any]:
    """Another side of this script in a process of its own."""
    command = [sys.executable, __file__, *sys.argv[1:], "--side", side]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    if done.returncode != 0:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def write_checkpoint(arguments: argparse.Namespace, path: Path) -> None:
    """Random weights, with norms that have seen random images, so that features do not vanish."""
    import torch

    import tdam

    torch.manual_seed(0)
    model = tdam.create_model(arguments.model, num_classes=1000).train()
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(8, 3, 224, 224))
    tdam.save_checkpoint(model, path, {"model": arguments.model, "num_classes": 1000, "trained": True})


def agree(figures: dict[str, Any], others: dict[str, Any]) -> bool:
    """Whether two sides give the same figures, of those that both give."""
    common = [(step, name) for step in figures for name in figures[step] if name in others.get(step, {})]
    return bool(common) and all(same(figures[step][name], others[step][name]) for step, name in common)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) < 1e-9
    return bool(one == other)


def compare(arguments: argparse.Namespace, folder: Path) -> None:
    """All sides in turns, then the ratios of their least CPU and wall times."""
    sides: dict[str, Callable[[], dict[str, Any]]] = {}
    outputs = iter(range(1000))
    ours = "wsol-eval"
    sides[ours] = lambda: run_evaluation(ROOT, arguments, folder / f"out-{next(outputs)}")
    if arguments.before:
        tree = folder / "before"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--detach", "--quiet", str(tree), arguments.before], check=True)
        sides[arguments.before] = lambda: run_evaluation(tree, arguments, folder / f"out-{next(outputs)}")
    sides["forward passes alone"] = lambda: run_side("forward")
    if arguments.reference:
        sides["the reference's way"] = lambda: run_side("reference")
    taken: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    try:
        for _ in range(arguments.rounds):
            for side, run in sides.items():
                one = run()
                taken[side].append(one)
                numbers = ", ".join(f"{name} {value:,.1f}" for name, value in one.items() if name != "figures")
                print(f"{side:22s} {numbers}, load {os.getloadavg()[0]:.1f}", flush=True)
    finally:
        if arguments.before:
            subprocess.run([*git, "remove", "--force", str(folder / "before")], check=True)
    report(taken, ours, arguments.limit)


def report(taken: dict[str, list[dict[str, Any]]], ours: str, images: int) -> None:
    """Print milliseconds per image and ratios; leave with an error if figures differ."""

    def cpu(side: str) -> float:
        return min(one["user s"] + one["system s"] for one in taken[side]) / images * 1e3

    def wall(side: str) -> float:
        return min(one["wall s"] for one in taken[side]) / images * 1e3

    print(f"{'least of the rounds':22s} CPU ms/image  wall ms/image  peak MB  CPU against wsol-eval")
    for side, runs in taken.items():
        peak = min(one["peak MB"] for one in runs)
        print(f"{side:22s} {cpu(side):12.1f} {wall(side):14.1f} {peak:8,.0f} {cpu(side) / cpu(ours):10.2f}")
    figures = taken[ours][0]["figures"]
    for side, runs in taken.items():
        if any(one["figures"] and not agree(one["figures"], figures) for one in runs):
            sys.exit(f"error: the figures of {side} differ")
    print("figures agree")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--checkpoint", type=Path, help="weights; default: random ones")
    parser.add_argument("--dataset", default="imagenet")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--method", default="cam")
    parser.add_argument("--limit", type=int, default=130, help="images")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--before", help="an older commit")
    parser.add_argument("--reference", action="store_true", help="also one map at a time")
    parser.add_argument("--side", choices=("forward", "reference"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for name in ("checkpoint", "data_root"):
        if getattr(arguments, name) is not None:
            setattr(arguments, name, getattr(arguments, name).resolve())
    with tempfile.TemporaryDirectory() as folder:
        if arguments.checkpoint is None:
            arguments.checkpoint = Path(folder) / "weights.safetensors"
            write_checkpoint(arguments, arguments.checkpoint)
        if arguments.side is not None:
            side = forward_passes if arguments.side == "forward" else reference
            print(json.dumps(side(arguments)))
            return
        print(machine())
        compare(arguments, Path(folder))


if __name__ == "__main__":
    main()

"""A rehearsal of ImageNet's whole evaluation: JPEGs of its size, its lists, one process and several.

    python scripts/benchmarks/rehearse_evaluation.py --model tf_efficientnet_lite0 [--images 50000] [--packed]
        [--processes 1 2 4] [--metadata DIR]

The tree has ImageNet's lists and, for every image, a hard link to one of a few JPEGs of 500 x 375 pixels and about
80 KB, ImageNet's being about 110; `--packed` writes them into ILSVRC2012_img_val.tar instead. The weights are random,
which costs the same. `wsol-eval` runs under torchrun where there are several processes, one thread of the network each.
Prints wall and CPU time, images per second, peak memory of the largest process, and each stage's share of the CPU time;
the figures of all numbers of processes must be the same.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from evaluation import ROOT, write_checkpoint
from machine import machine

from wsol.data import GroundTruth
from wsol.data.minibirds import render_image

JPEGS, QUALITY, NOISE = 20, 92, 9.0
# Measures the stages of one process of `wsol-eval`, in the threads that do them.
STAGES = """
import atexit, functools, json, os, resource, sys, time
import eval.commands.evaluate as command
import eval.judging.judge as judge, eval.judging.split as split, eval.maps.network as network, wsol.data.dataset as data
spent = {}
def clock(owner, name, stage):
    work = getattr(owner, name)
    @functools.wraps(work)
    def clocked(*arguments, **options):
        start = time.thread_time()
        try:
            return work(*arguments, **options)
        finally:
            spent[stage] = spent.get(stage, 0.0) + time.thread_time() - start
    setattr(owner, name, clocked)
clock(data.LocalizationDataset, "__getitem__", "read and decode")
clock(network.NetworkMaps, "_raw_batches", "network")
clock(network.NetworkMaps, "_finish", "score maps")
clock(judge.SplitPass, "judge", "sweep and hits")
clock(split.RecordFile, "append", "records and state")
clock(split.Judging, "_save", "records and state")
def report():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    taken = {"cpu": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss / 1024, "stages": spent}
    with open(os.environ["REHEARSAL"] + os.environ.get("RANK", "0"), "w") as file:
        json.dump(taken, file)
atexit.register(report)
sys.exit(command.main())
"""


def write_tree(folder: Path, metadata: Path, images: int, packed: bool) -> None:
    """Lists and images below a folder, as `wsol-data prepare imagenet` leaves them."""
    truth = GroundTruth.from_lists(metadata / "ILSVRC" / "test", "imagenet", "test")
    if images < len(truth):
        truth = truth.subset(np.linspace(0, len(truth) - 1, images).round().astype(int).tolist())
    truth.write_lists(folder / "metadata" / "ILSVRC" / "test")
    pictures = folder / "pictures"
    pictures.mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(JPEGS):
        scene = cv2.imdecode(np.frombuffer(render_image("test", number, size=500).jpeg, np.uint8), cv2.IMREAD_COLOR)
        noisy = (scene[:375] + random.normal(0, NOISE, (375, 500, 3))).clip(0, 255).astype(np.uint8)
        cv2.imwrite(str(pictures / f"{number}.jpg"), noisy, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    size = sum(file.stat().st_size for file in pictures.iterdir()) / JPEGS
    print(f"{len(truth):,} images of {size / 1e3:.0f} KB" + (", packed" if packed else ""), flush=True)
    if packed:
        with tarfile.open(folder / "ILSVRC2012_img_val.tar", "w") as tar:
            for number, name in enumerate(truth.image_ids):
                tar.add(pictures / f"{number % JPEGS}.jpg", Path(name).name)
        return
    for number, name in enumerate(truth.image_ids):
        path = folder / "dataset" / "ILSVRC" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(pictures / f"{number % JPEGS}.jpg", path)


def rehearse(folder: Path, arguments: argparse.Namespace, checkpoint: Path, processes: int) -> dict[str, Any]:
    """Run `wsol-eval` on so many processes; prints what it took and returns its figures."""
    output, reports = folder / f"out-{processes}", folder / f"report-{processes}-"
    script = folder / "stages.py"
    script.write_text(STAGES)
    options = ["--model", arguments.model, "--checkpoint", str(checkpoint), "--dataset", "imagenet"]
    options += ["--data-root", str(folder), "--output", str(output), "--gallery", "0", "--bootstrap", "0"]
    start_by = [sys.executable]
    if processes > 1:
        start_by += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = {"PYTHONPATH": str(ROOT), "REHEARSAL": str(reports), "OMP_NUM_THREADS": "1"}
    start = time.perf_counter()
    done = subprocess.run(
        [*start_by, str(script), *options], capture_output=True, text=True, env=os.environ | environment
    )
    wall = time.perf_counter() - start
    if done.returncode != 0:
        sys.exit(done.stderr)
    taken = [json.loads(Path(f"{reports}{rank}").read_text()) for rank in range(processes)]
    cpu = sum(one["cpu"] for one in taken)
    stages = {name: sum(one["stages"].get(name, 0.0) for one in taken) for name in taken[0]["stages"]}
    stages["imports, opening, results"] = cpu - sum(stages.values())
    results = json.loads((output / "results.json").read_text())
    images = results["images"]
    print(
        f"{processes} process(es): {wall:.1f} s wall, {images / wall:.1f} images/s, {cpu:.1f} CPU s "
        f"({1e3 * cpu / images:.1f} ms per image), peak {max(one['peak'] for one in taken):,.0f} MB, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    print("   " + ", ".join(f"{name} {seconds / cpu:.1%}" for name, seconds in stages.items()), flush=True)
    return results["steps"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = os.environ.get("WSOL_SHARED", str(ROOT / ".." / "shared"))
    parser.add_argument("--model", default="tf_efficientnet_lite0")
    parser.add_argument("--metadata", type=Path, default=Path(shared) / "metadata", help="folder of ImageNet's lists")
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--packed", action="store_true", help="read from one tar")
    arguments = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_tree(folder, arguments.metadata, arguments.images, arguments.packed)
        checkpoint = folder / "weights.safetensors"
        write_checkpoint(arguments, checkpoint)
        figures = [rehearse(folder, arguments, checkpoint, processes) for processes in arguments.processes]
        shutil.rmtree(folder / "pictures")
    if any(other != figures[0] for other in figures):
        sys.exit("error: the figures differ")
    print("figures identical")


if __name__ == "__main__":
    main()

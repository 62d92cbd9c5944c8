"""CPU time, page faults and memory of a whole evaluation, with and without keeping freed memory.

    python scripts/benchmarks/evaluation.py --model resnet_mini_tdam --dataset minibirds --limit 400
    python scripts/benchmarks/evaluation.py --model tf_efficientnet_lite0 --checkpoint efficientnet_lite0.safetensors \
        --dataset imagenet --data-root DIR

All arguments go to `wsol-eval`. Both sides run in turn, each in a process of its own; the counts of the metrics are
compared. On a machine with other jobs, trust the CPU time more than the wall time.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 2
SIDES = {
    "as the C library does": "import wsol.runtime.memory; wsol.runtime.memory.keep_freed_memory = lambda: False;",
    "freed memory kept": "",
}
RUN = "import eval.commands.evaluate as command, sys; sys.exit(command.main())"
# resource.getrusage tells of all children together, so each run reports for itself.
REPORT = (
    "import atexit, json, resource, sys;"
    "usage = lambda: resource.getrusage(resource.RUSAGE_SELF);"
    "atexit.register(lambda: print('usage', json.dumps(list(usage())), file=sys.stderr));"
)


def run(prelude: str, arguments: list[str], output: Path) -> tuple[dict[str, float], dict[str, object]]:
    """One evaluation: what it took, and its results.json."""
    command = [sys.executable, "-c", REPORT + prelude + RUN, *arguments, "--output", str(output)]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    wall = time.perf_counter() - start
    if done.returncode != 0:
        sys.exit(done.stderr)
    line = next(line for line in reversed(done.stderr.splitlines()) if line.startswith("usage "))
    usage = resource.struct_rusage(json.loads(line.removeprefix("usage ")))
    taken = {
        "wall s": wall,
        "user s": usage.ru_utime,
        "system s": usage.ru_stime,
        "page faults": float(usage.ru_minflt),
        "peak MB": usage.ru_maxrss / 1024,
    }
    return taken, json.loads((output / "results.json").read_text())


def main() -> None:
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.exit(__doc__)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    print(f"{[*names, platform.machine()][0]}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    metrics: list[object] = []
    cpu: dict[str, list[float]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(ROUNDS):
            for position, (side, prelude) in enumerate(SIDES.items()):
                taken, results = run(prelude, arguments, Path(folder) / f"{number}-{position}")
                metrics.append((results["metrics"], results["steps"]))
                cpu[side].append(taken["user s"] + taken["system s"])
                print(f"{side:22s}", ", ".join(f"{name} {value:,.1f}" for name, value in taken.items()), flush=True)
    least = [min(values) for values in cpu.values()]
    print(f"CPU time, least of {ROUNDS}: {least[0]:.1f} s / {least[1]:.1f} s = {least[0] / least[1]:.2f}")
    if any(other != metrics[0] for other in metrics):
        sys.exit("error: the figures differ")
    print("figures identical")


if __name__ == "__main__":
    main()

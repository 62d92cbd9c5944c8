"""What help, a mistake and a listing cost, beside `import torch` alone.

python scripts/benchmarks/first_second.py
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile

import tyro
from machine import machine
from rich.table import Table

from wsol.runtime.terminal import console

CALL = "import sys; sys.argv = ['command', *{words}]; from {module} import main; main()"
RUNS = {
    "import torch": "import torch",
    "import tdam, wsol": "import tdam, wsol",
    "wsol-eval --help": CALL.format(module="eval.commands.evaluate", words=["--help"]),
    "wsol-eval --version": CALL.format(module="eval.commands.evaluate", words=["--version"]),
    "wsol-eval --modle resnet50": CALL.format(module="eval.commands.evaluate", words=["--modle", "resnet50"]),
    "wsol-train --help": CALL.format(module="wsol.commands.train", words=["--help"]),
    "wsol-show --help": CALL.format(module="wsol.commands.show", words=["--help"]),
    "wsol-data list": CALL.format(module="wsol.commands.data", words=["list"]),
    "wsol-demo --help": CALL.format(module="wsol.commands.demo", words=["--help"]),
}


def cpu_seconds(code: str, folder: str) -> float:
    """User and system seconds of a Python process that runs `code` in `folder`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(repeats: int = 5) -> None:
    """Print the median CPU seconds of every call, all of them in turn, and their share of `import torch`.

    Args:
        repeats: Times that everything is called.
    """
    with tempfile.TemporaryDirectory() as folder:
        rounds = [{name: cpu_seconds(code, folder) for name, code in RUNS.items()} for _ in range(repeats)]
    medians = {name: statistics.median(one[name] for one in rounds) for name in RUNS}
    table = Table("call", "CPU s", "share of import torch")
    for name, seconds in medians.items():
        table.add_row(name, f"{seconds:.2f}", f"{seconds / medians['import torch']:.0%}")
    out = console()
    out.print(machine())
    out.print(table)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)

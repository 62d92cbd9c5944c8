"""The largest differences of methods and maps from what their authors' code computed, as docs/methods.md shows them.

    python scripts/table_goldens.py

Runs the tests that compare with the reference outputs in tests/data/goldens and gathers what they measured: one row per
test, differences relative to the reference's largest value (of transformers: at least 1).
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = (
    "tests/wsol/methods/test_goldens.py",
    "tests/wsol/maps/test_bag_cams.py",
    "tests/wsol/methods/test_transformer_goldens.py",
    "tests/wsol/transformers/test_goldens.py",
)
COLUMNS = ("logits, loss", "gradients", "maps and what they are made of")
TOLD = re.compile(r"largest difference (\S+) \((.*)\)")


class Gathered:
    """A plugin of pytest that keeps what passed tests told."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, float]] = defaultdict(dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the largest difference of each kind that a test told."""
        if report.when != "call" or not report.passed:
            return
        name = report.nodeid.split("::")[-1].removeprefix("test_")
        for error, what in TOLD.findall(report.capstdout):
            self.found[name][what] = max(float(error), self.found[name].get(what, 0.0))


def column(what: str) -> str:
    """The column of the table that a kind of figure belongs to."""
    if what.startswith(("logits", "loss")):
        return COLUMNS[0]
    return COLUMNS[1] if re.match(r"grad(ient|_)", what) else COLUMNS[2]


def main() -> int:
    gathered = Gathered()
    code = pytest.main([*(str(ROOT / test) for test in TESTS), "-q", "-p", "no:cacheprovider"], plugins=[gathered])
    print("\n".join(["", "| test | " + " | ".join(COLUMNS) + " |", "| --- " * (len(COLUMNS) + 1) + "|"]))
    for name, differences in gathered.found.items():
        largest: dict[str, float] = {}
        for what, error in differences.items():
            largest[column(what)] = max(error, largest.get(column(what), 0.0))
        cells = [f"{largest[one]:.0e}" if one in largest else "" for one in COLUMNS]
        print(f"| `{name}` | " + " | ".join(cells) + " |")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())

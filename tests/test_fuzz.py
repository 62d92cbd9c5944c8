"""The fuzzing script finds nothing in a few inputs of every kind; how to run it in full is in docs/robustness.md."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / "scripts/fuzz.py"


def test_every_kind_is_read_right_or_refused_in_one_line() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--count", "25", "--seed", "1", "--markdown"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert len(rows) > 8
    assert all(row.endswith(" 0 |") for row in rows[1:])


def test_an_unknown_kind_is_named() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "cvs"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "no kind cvs; there are csv, coco" in done.stderr

"""Damaged and hostile inputs with fixed seeds: everything is read right or refused in one line, or this ends with 1.

    python scripts/fuzz.py                     # every kind, 200 inputs each
    python scripts/fuzz.py csv coco --count 2000 --seed 7
    python scripts/fuzz.py --markdown          # the table of docs/robustness.md

The kinds are in scripts/fuzz_kinds.py.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

from fuzz_kinds import KINDS

from tdam.errors import UserError


def run(name: str, count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Outcomes of a kind: how often it was read or refused, and what failed."""
    outcomes: Counter[str] = Counter()
    failures = []
    for number in range(count):
        folder = Path(tempfile.mkdtemp(prefix="wsol-fuzz-"))
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                KINDS[name][1](random.Random(f"{name} {seed} {number}"), folder)
            outcomes["read"] += 1
        except UserError as error:
            outcomes["refused"] += 1
            if "\n" in str(error).strip():
                failures.append(f"{name} {number}: a message of several lines: {error!s}"[:300])
        except Exception as error:  # what this script looks for
            failures.append(f"{name} {number}: {type(error).__name__}: {error}"[:300])
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return outcomes, failures


def main() -> int:
    """Run the kinds that are named; 1 if any input was neither read right nor refused in one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}; default: all")
    parser.add_argument("--count", type=int, default=200, help="inputs of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    options = parser.parse_args()
    unknown = sorted(set(options.kinds) - set(KINDS))
    if unknown:
        parser.error(f"no kind {unknown[0]}; there are {', '.join(KINDS)}")
    form = "| {} | {} | {} | {} | {} |" if options.markdown else "{:<50} {:>8} {:>8} {:>8} {:>8}"
    print(form.format("kind", "inputs", "read", "refused", "failed"))
    if options.markdown:
        print("|---|---|---|---|---|")
    every_failure = []
    began = time.monotonic()
    for name in options.kinds or KINDS:
        outcomes, failures = run(name, options.count, options.seed)
        print(
            form.format(KINDS[name][0], options.count, outcomes["read"], outcomes["refused"], len(failures)), flush=True
        )
        every_failure += failures
    print(f"seed {options.seed}, {time.monotonic() - began:.0f} s", file=sys.stderr)
    for failure in every_failure:
        print(failure, file=sys.stderr)
    return 1 if every_failure else 0


if __name__ == "__main__":
    sys.exit(main())

"""Where the reference data lies that some tests compare with: goldens in the clone, larger things beside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("WSOL_SHARED", Path(__file__).parents[2] / ".." / "shared"))
GOLDENS = Path(__file__).parents[1] / "data" / "goldens"


def golden_path(*parts: str) -> Path:
    """Path of a reference output in `tests/data/goldens`, see the README there."""
    return GOLDENS.joinpath(*parts)


def shared_path(*parts: str) -> Path:
    """Path below the shared reference data; skips the test where it is absent."""
    path = ROOT.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs {'/'.join(parts)} of the reference data; set WSOL_SHARED to its folder")
    return path


def tell_difference(error: float, what: str) -> None:
    """Print how far a result is from the reference: shown by pytest -rP, gathered by scripts/table_goldens.py."""
    print(f"largest difference {error:.1e} ({what})")

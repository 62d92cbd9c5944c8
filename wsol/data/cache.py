"""Where files lie that this program made for itself."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """``$WSOL_CACHE``, or ``~/.cache/wsol``."""
    return Path(os.environ.get("WSOL_CACHE") or Path.home() / ".cache" / "wsol")

"""Lets tests import `tests/helpers`, and keeps caches out of the user's home."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

# Not tests/ itself: pytest would then take tests/wsol/data for the package wsol.data.
sys.path.insert(0, str(Path(__file__).parent / "helpers"))
os.environ.setdefault("MPLBACKEND", "Agg")
# Tests run side by side, one process a core; threads that wait for each other would take the cores from them.
torch.set_num_threads(1)

"""Where `wsol-train` writes and where everything else looks for what it wrote."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

RUNS = "runs"
BEST, LAST = "best.safetensors", "last.safetensors"
NOT_IN_NAMES = re.compile(r"[/\\:\0]")


def run_folder(dataset: str, model: str, runs: str | os.PathLike[str] = RUNS) -> Path:
    """Folder of the training of a network on a dataset.

    Args:
        dataset: The dataset's own name (`GroundTruth.dataset`), whatever path led to it.
        model: Name of the network.
        runs: Folder of all runs.

    >>> run_folder("mugs", "resnet_mini").as_posix()
    'runs/mugs/resnet_mini'
    """
    return Path(runs) / _folder_name(dataset) / _folder_name(model)


def train_command(model: str, dataset: str | os.PathLike[str], data_root: str | os.PathLike[str] | None = None) -> str:
    """The command line that trains a network on a dataset, to be pasted.

    >>> train_command("resnet_mini", "my data/mugs")
    "wsol-train --model resnet_mini --dataset 'my data/mugs'"
    """
    root = [] if data_root is None else ["--data-root", os.fspath(data_root)]
    return shlex.join(["wsol-train", "--model", model, "--dataset", os.fspath(dataset), *root])


def _folder_name(name: str) -> str:
    """A name as one folder's, which never leads elsewhere."""
    safe = NOT_IN_NAMES.sub("_", name)
    return safe if safe.strip(". ") else f"_{safe}"

"""The state of an unfinished run: how many images are done, and the counters that are not per image.

It is one small safetensors file, replaced atomically, so that a killed run continues where its last state was saved
and a damaged file is told from a whole one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torchmetrics import Metric

from tdam.errors import UserError


def save_state(path: Path, done: int, metrics: Mapping[str, Metric], facts: Mapping[str, Any]) -> None:
    """Save how many images are done and the counters of the metrics.

    Args:
        path: File to replace.
        done: Number of images of this process whose records are on the disk.
        metrics: Metrics with tensor states, by name.
        facts: What identifies the run.
    """
    tensors = {
        f"{name}/{state}": value.contiguous()
        for name, metric in metrics.items()
        for state, value in metric.metric_state.items()
        if isinstance(value, torch.Tensor)
    }
    temporary = path.with_suffix(".tmp")
    metadata = {"done": str(done), "facts": json.dumps(facts, sort_keys=True, default=str)}
    save_file({"done": torch.tensor(done), **tensors}, temporary, metadata=metadata)
    os.replace(temporary, path)


def load_state(path: Path, metrics: Mapping[str, Metric], facts: Mapping[str, Any]) -> int:
    """Fill the metrics with saved counters.

    Returns:
        Number of images that are done.

    Raises:
        UserError: If the file is damaged or belongs to another run; the message names what differs.
    """
    restart = "run again without --resume"
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            saved = json.loads(metadata["facts"])
            done = int(metadata["done"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise UserError(f"{path} is damaged and cannot be resumed ({error}); {restart}") from error
    wanted = json.loads(json.dumps(facts, sort_keys=True, default=str))
    differing = sorted(key for key in saved.keys() | wanted.keys() if saved.get(key) != wanted.get(key))
    if differing:
        changes = ", ".join(f"{key} was {saved.get(key)!r}, is {wanted.get(key)!r}" for key in differing)
        raise UserError(f"{path} belongs to another run ({changes}); give the same options or {restart}")
    for name, metric in metrics.items():
        for state in metric.metric_state:
            setattr(metric, state, tensors[f"{name}/{state}"])
    return done

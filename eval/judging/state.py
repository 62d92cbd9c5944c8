"""The state of an unfinished run: how many images are done, and the counters that are not per image.

It is one small file with a checksum, replaced atomically, so that a killed run continues where its last state was saved
and a damaged state is told from a whole one. It knows the digest of the records, which are checked by it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from eval.judging.records import RESTART
from eval.measures.counts import Counters
from tdam.errors import UserError
from tdam.files import DamagedFileError, read_checked, write_checked
from wsol.data import GroundTruth


@dataclass(frozen=True)
class Done:
    """What of a split one process has judged.

    Attributes:
        images: How many images.
        sha256: Digest of their records; None before there are any.
        faults: Images that could not be read: name -> what is wrong.
    """

    images: int = 0
    sha256: str | None = None
    faults: dict[str, str] = field(default_factory=dict)


def save_state(path: Path, done: Done, metrics: Mapping[str, Counters], facts: Mapping[str, Any]) -> None:
    """Save how far a process is, and the counters of the metrics.

    Args:
        path: File to replace.
        done: What is judged; the records are on the disk.
        metrics: Metrics with tensor states, by name.
        facts: What identifies the run.

    Raises:
        WriteError: If it cannot be written; an older state is as it was.
    """
    tensors = {key: value.contiguous() for key, value in _states(metrics).items()}
    metadata = {"done": json.dumps(asdict(done)), "facts": _as_json(facts)}
    write_checked(path, safetensors.torch.save({"": torch.zeros(1), **tensors}, metadata))


def load_state(path: Path, metrics: Mapping[str, Counters], facts: Mapping[str, Any]) -> Done:
    """Fill the metrics with saved counters.

    Returns:
        What is judged.

    Raises:
        UserError: If the file is damaged or belongs to another run; the message names what differs.
    """
    done, saved, tensors = _read(path)
    wanted = json.loads(_as_json(facts))
    differing = sorted(key for key in saved.keys() | wanted.keys() if saved.get(key) != wanted.get(key))
    if differing:
        changes = ", ".join(f"{key} was {saved.get(key)!r}, is {wanted.get(key)!r}" for key in differing)
        raise UserError(f"{path} belongs to another run ({changes}); give the same options, or {RESTART}")
    own = _states(metrics)
    strange = [key for key, value in own.items() if key not in tensors or tensors[key].shape != value.shape]
    if strange or tensors.keys() - own.keys() - {""}:
        raise UserError(f"{path} belongs to another run (it has other counters); {RESTART}")
    for name, metric in metrics.items():
        for state in metric.metric_state:
            if (key := f"{name}/{state}") in own:
                setattr(metric, state, tensors[key].to(own[key].device))
    return done


def images_done(path: Path) -> int:
    """How many images a state says are judged.

    Raises:
        UserError: If it is damaged.
    """
    return _read(path)[0].images


def lists_digest(ground_truth: GroundTruth) -> str:
    """SHA-256 of everything that a split's lists say of its images."""
    digest = hashlib.sha256()
    texts = (ground_truth.dataset, ground_truth.split, ground_truth.image_ids, ground_truth.class_names)
    digest.update(repr((texts, ground_truth.masks)).encode())
    for array in (ground_truth.labels, ground_truth.sizes, *ground_truth.boxes):
        digest.update(f"{array.shape} {array.dtype}".encode() + array.tobytes())
    return digest.hexdigest()


def _states(metrics: Mapping[str, Counters]) -> dict[str, torch.Tensor]:
    return {
        f"{name}/{state}": value
        for name, metric in metrics.items()
        for state, value in metric.metric_state.items()
        if isinstance(value, torch.Tensor)
    }


def _as_json(facts: Mapping[str, Any]) -> str:
    return json.dumps(facts, default=str)


def _read(path: Path) -> tuple[Done, dict[str, Any], dict[str, torch.Tensor]]:
    try:
        content = read_checked(path)
        # The metadata of a safetensors file stand in its header, behind the header's length.
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        metadata = header["__metadata__"]
        return Done(**json.loads(metadata["done"])), json.loads(metadata["facts"]), safetensors.torch.load(content)
    except DamagedFileError as error:
        raise UserError(f"{error}; {RESTART}") from error
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path} was written by another version ({error}); {RESTART}") from error

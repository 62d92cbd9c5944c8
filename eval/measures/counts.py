"""Integer counts of what is not kept per image: they add up over batches, shards of a split and processes.

Those of `wsol.metrics` are torchmetrics' metrics, which people train with; these are an evaluation's own. torchmetrics
takes longer to import than a small evaluation to judge, so it is left to those who need it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor


class Counters(Protocol):
    """What an evaluation needs of counts: its own, or a metric of `wsol.metrics`."""

    @property
    def metric_state(self) -> Mapping[str, Any]:
        """The counts by name; each is an attribute too."""

    def sync(self) -> None:
        """Put the sums over all processes in place of the counts."""


class Counts:
    """Named int64 tensors, 0 at first.

    Args:
        **shapes: Shape of every count.

    >>> one, other = Counts(images=(), hits=(2,)), Counts(images=(), hits=(2,))
    >>> one.hits[1] += 3
    >>> other.hits += 1
    >>> one.merge_state(other)
    >>> one.hits.tolist()
    [1, 4]
    """

    def __init__(self, **shapes: tuple[int, ...]) -> None:
        self._names = tuple(shapes)
        for name, shape in shapes.items():
            setattr(self, name, torch.zeros(shape, dtype=torch.int64))

    @property
    def metric_state(self) -> dict[str, Tensor]:
        """The counts by name."""
        return {name: getattr(self, name) for name in self._names}

    def merge_state(self, other: Counts) -> None:
        """Add the counts of another shard."""
        for name, value in other.metric_state.items():
            setattr(self, name, getattr(self, name) + value)

    def sync(self) -> None:
        """Put the sums over all processes in place of the counts."""
        if dist.is_initialized():
            for value in self.metric_state.values():
                dist.all_reduce(value)

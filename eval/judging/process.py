"""One process of several: which images are its own, and how counters are joined.

`torchrun … --no-python wsol-eval …` starts the processes; a single process needs nothing of this.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist

from tdam.devices import open_device


@dataclass(frozen=True)
class Process:
    """This process among all.

    Attributes:
        rank: Number of the process, from 0.
        count: Number of processes.
    """

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process prints and writes the results."""
        return self.rank == 0

    def share(self, num_images: int, batch_size: int = 1) -> npt.NDArray[np.int64]:
        """Positions of this process's images: every `count`-th batch of the split.

        Whole batches are dealt out, because the last bit of a network's output depends on the batch an image is in:
        so any number of processes computes the very same numbers.

        >>> [Process(rank, 2).share(7, batch_size=2).tolist() for rank in range(2)]
        [[0, 1, 4, 5], [2, 3, 6]]
        """
        positions = np.arange(num_images)
        return positions[positions // batch_size % self.count == self.rank]

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            dist.barrier()

    def gather(self, value: Any) -> list[Any]:
        """The value of every process, in order of rank, in every process."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value)
        return values


def start_process(device: str) -> tuple[Process, torch.device]:
    """Join the other processes that torchrun started, if any, and take this process's device.

    Args:
        device: "cpu", "cuda", "cuda:1", "mps" … ; with several processes "cuda" is one GPU each.

    Raises:
        UserError: If the device does not exist here.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    torch_device = open_device(device)
    if torch_device.type == "cuda" and count > 1:
        torch_device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(torch_device)
    if count == 1:
        return Process(), torch_device
    if not dist.is_initialized():
        # gloo beside nccl: counters that live on the CPU are summed there.
        backend = "cpu:gloo,cuda:nccl" if torch_device.type == "cuda" else "gloo"
        dist.init_process_group(backend)
    return Process(dist.get_rank(), dist.get_world_size()), torch_device


def end_process() -> None:
    """Leave the group of processes."""
    if dist.is_initialized():
        dist.destroy_process_group()

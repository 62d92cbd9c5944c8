"""One process of several: which images are its own, and how counters are joined.

`torchrun … --no-python wsol-eval …` starts the processes; a single process needs nothing of this.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist

from tdam.devices import open_device
from tdam.errors import UserError
from tdam.files import replacing

# How long a process waits for the others, which may have slower machines, or write while it waits.
PATIENCE = timedelta(days=1)
BLOCK = 1 << 26  # bytes that are sent at a time
Answer = TypeVar("Answer")


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

    def first_only(self, work: Callable[[], Answer]) -> Answer:
        """What the first process works out, in every process; the others wait for it.

        Raises:
            UserError: If the first process's work raises one.
        """
        if self.count == 1:
            return work()
        answer, fault = None, None
        if self.is_first:
            try:
                answer = work()
            except UserError as error:
                fault = error
        answer, message = self.gather((answer, fault and str(fault)))[0]
        if message is not None:
            raise fault or UserError(message)
        return answer

    def collect(self, paths: Sequence[Path]) -> None:
        """Bring a file of every process to the first one, where their folder is not the same.

        Machines without a shared disk, and processes with working directories of their own, have folders of their own
        under one name. There the files travel through the process group.

        Args:
            paths: The file of every process, in order of rank, all in one folder.

        Raises:
            WriteError: If a file cannot be written by the first process.
        """
        if self.count == 1:
            return
        mark = paths[0].parent / f".seen-{self.gather(secrets.token_hex(8))[0]}"
        if self.is_first:
            mark.touch()
        self.wait()
        seen = self.gather(mark.exists())
        if self.is_first:
            mark.unlink()
        for rank, shares_folder in enumerate(seen):
            if shares_folder:
                continue
            if self.rank == rank:
                _send(paths[rank])
            elif self.is_first:
                _receive(paths[rank], rank)


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
        dist.init_process_group(backend, timeout=PATIENCE)
    return Process(dist.get_rank(), dist.get_world_size()), torch_device


def _send(path: Path) -> None:
    """Send a file to the first process, block by block, and an empty block at its end."""
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            dist.send(torch.tensor(len(block)), dst=0)
            dist.send(torch.frombuffer(bytearray(block), dtype=torch.uint8), dst=0)
    dist.send(torch.tensor(0), dst=0)


def _receive(path: Path, rank: int) -> None:
    """Write the file that a process sends."""
    length = torch.tensor(0)
    with replacing(path) as temporary, temporary.open("wb") as file:
        while dist.recv(length, src=rank) is not None and length:
            block = torch.empty(int(length), dtype=torch.uint8)
            dist.recv(block, src=rank)
            file.write(block.numpy().data)


def end_process() -> None:
    """Leave the group of processes."""
    if dist.is_initialized():
        dist.destroy_process_group()

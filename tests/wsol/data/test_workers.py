"""What happens to a process that reads images is told in one line."""

import os
import signal

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from wsol.data import ImageError
from wsol.data.workers import WorkerError, from_workers


class Images(Dataset):
    def __init__(self, what: str) -> None:
        self.what = what

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> torch.Tensor:
        if index == 2 and self.what == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if index == 2 and self.what == "damaged":
            raise ImageError("a/b.jpg: damaged image (cut off)")
        if index == 2 and self.what == "defect":
            raise RuntimeError("a defect of ours")
        return torch.tensor(index)


def read(what: str, workers: int = 1) -> list[int]:
    return [int(batch) for batch in from_workers(DataLoader(Images(what), batch_size=None, num_workers=workers))]


def test_batches_pass() -> None:
    assert read("") == [0, 1, 2, 3]


def test_a_killed_process() -> None:
    with pytest.raises(WorkerError, match=r"^a process that reads images was stopped .*use fewer --workers"):
        read("killed")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_image(workers: int) -> None:
    with pytest.raises(ImageError) as error:
        read("damaged", workers)
    assert str(error.value) == "a/b.jpg: damaged image (cut off)"


def test_a_defect_keeps_its_traceback() -> None:
    with pytest.raises(RuntimeError, match="a defect of ours"):
        read("defect")

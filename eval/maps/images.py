"""Batches of images for a network, read ahead by threads or by other processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from wsol.data import ImageError, LocalizationDataset
from wsol.data.workers import from_workers
from wsol.runtime.pipeline import prefetch

Sample = tuple[Tensor | None, int, int, str]


class ImageBatch(NamedTuple):
    """Some images of a split.

    Attributes:
        images: Those that could be read ``(B, 3, H, W)``; None if there are none.
        labels: Their labels ``(B,)`` int64.
        read: Their positions in the split.
        unreadable: For those that could not be read: position -> what is wrong.
    """

    images: Tensor | None
    labels: Tensor
    read: list[int]
    unreadable: dict[int, str]


class _Guarded(Dataset[Sample]):
    """A dataset that hands on what is wrong with an image, so that the message outlives a worker process."""

    def __init__(self, dataset: LocalizationDataset, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> Sample:
        index = self.indices[position]
        try:
            image, label, _ = self.dataset[index]
        except ImageError as error:
            return None, -1, index, str(error)
        return image, label, index, ""


def _collate(samples: list[Sample]) -> ImageBatch:
    readable = [(image, label) for image, label, _, _ in samples if image is not None]
    indices = [index for image, _, index, _ in samples if image is not None]
    unreadable = {index: message for image, _, index, message in samples if image is None}
    if not readable:
        return ImageBatch(None, torch.empty(0, dtype=torch.long), indices, unreadable)
    images, labels = default_collate(readable)
    return ImageBatch(images, labels, indices, unreadable)


def image_batches(
    dataset: LocalizationDataset, indices: Sequence[int], batch_size: int, workers: int = 0, pinned: bool = False
) -> Iterator[ImageBatch]:
    """The images at `indices` in batches, in this order.

    Args:
        dataset: Gives ``(image tensor (3, H, W), label, index)``.
        indices: Positions in the split.
        batch_size: Images per batch.
        workers: Processes that read images; 0 reads in threads of this one.
        pinned: Lay batches in page-locked memory, from which a GPU copies while both go on.
    """
    guarded = _Guarded(dataset, indices)
    if workers:
        loader = DataLoader(guarded, batch_size, num_workers=workers, collate_fn=_collate, pin_memory=pinned)
        yield from from_workers(loader)
        return

    def read(start: int) -> ImageBatch:
        batch = _collate([guarded[place] for place in range(start, min(start + batch_size, len(guarded)))])
        if pinned and batch.images is not None:
            return batch._replace(images=batch.images.pin_memory(), labels=batch.labels.pin_memory())
        return batch

    yield from prefetch(read, range(0, len(guarded), batch_size))

"""Batches of training images, every one a function of (seed, epoch, step), shared out among processes."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from tdam.errors import UserError
from wsol.data.workers import from_workers
from wsol.training.augment import BatchAugmentation
from wsol.training.config import TrainingConfig
from wsol.training.randomness import Stream, generator_at, seed_at

GIGABYTE = 2**30


def image_transform(config: TrainingConfig, preprocessing: dict[str, Any]) -> v2.Compose:
    """Transform of one decoded image to uint8 ``(3, H, W)``, all of one size; the rest is done in batches.

    Crop "resize" brings the image to a square of ``resize_size`` without keeping the aspect, as wsolevaluation does;
    "random_resized" takes area and aspect at random (Inception crop, torchvision's RandomResizedCrop).
    """
    interpolation = v2.InterpolationMode(preprocessing["interpolation"])
    side = config.resize_size or preprocessing["input_size"][-1]
    resize: v2.Transform = v2.Resize([side, side], interpolation=interpolation, antialias=True)
    if config.crop == "random_resized":
        resize = v2.RandomResizedCrop(side, scale=config.crop_scale, interpolation=interpolation, antialias=True)
    return v2.Compose([v2.PILToTensor(), resize])


class SeededImages(Dataset[Tensor]):
    """Images whose random crop depends on (seed, epoch, index), whichever worker process makes it."""

    def __init__(self, dataset: Dataset[Any], seed: int) -> None:
        self.dataset = dataset
        self.seed = seed

    def __getitem__(self, key: tuple[int, int]) -> Tensor:
        epoch, index = key
        seed_at(self.seed, Stream.IMAGE, epoch, index)
        return self.dataset[index][0]


class TrainingBatches:
    """Augmented batches of one process.

    Every epoch is a random permutation cut into batches; what does not fill a batch is left out. Process `rank` gets
    its contiguous share of every batch, so N processes together see exactly the batches of one.

    Args:
        dataset: Items ``(uint8 image (3, H, W), label, index)``, all images of one size.
        labels: Class of every image ``(N,)``.
        config: Settings of the run.
        preprocessing: timm's data configuration of the network.
        device: Where images are augmented.
        rank: Number of this process.
        world_size: Number of processes.

    Raises:
        UserError: If the batch does not divide by processes and parts, or exceeds the dataset.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        labels: Tensor,
        config: TrainingConfig,
        preprocessing: dict[str, Any],
        device: torch.device,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if config.batch_size % (world_size * config.accumulate):
            raise UserError(
                f"batch_size {config.batch_size} does not divide by {world_size} processes x {config.accumulate} parts"
            )
        if config.batch_size > len(labels):
            raise UserError(f"batch_size {config.batch_size} exceeds the {len(labels)} training images")
        self.labels = labels
        self.config = config
        self.device = device
        self.rank = rank
        self.share = config.batch_size // world_size
        self.start = rank * self.share
        self._workers = min(config.workers, os.cpu_count() or 1)
        self._images = SeededImages(dataset, config.seed)
        first = self._images[0, 0]
        input_size = tuple(preprocessing["input_size"][1:])
        self.augment = BatchAugmentation(
            (first.shape[1], first.shape[2]),
            (input_size[0], input_size[1]),
            preprocessing["mean"],
            preprocessing["std"],
            pad=config.pad,
            flip=config.flip,
            color_jitter=config.color_jitter,
            random_erasing=config.random_erasing,
        )
        repeatable = config.crop == "resize"
        fits = first.numel() * len(labels) <= config.cache_gb * GIGABYTE
        self._cache = self._decode_all() if repeatable and fits else None

    def __len__(self) -> int:
        """Batches, that is optimiser steps, of one epoch."""
        return len(self.labels) // self.config.batch_size

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of an epoch from `first_step` on: normalized images ``(b, 3, H, W)`` and class ids ``(b,)``."""
        config = self.config
        order = torch.randperm(len(self.labels), generator=generator_at(config.seed, Stream.ORDER, epoch))
        steps = range(first_step, len(self))
        chosen = [order[step * config.batch_size + self.start :][: self.share] for step in steps]
        with closing(self._uint8_batches(epoch, chosen)) as batches:
            for step, indices, images in zip(steps, chosen, batches, strict=True):
                generator = generator_at(config.seed, Stream.AUGMENTATION, epoch, step)
                choices = self.augment.draw(config.batch_size, generator).share(self.start, self.start + self.share)
                images = images.to(self.device, non_blocking=True)
                # Random erasing draws from the global generators.
                seed_at(config.seed, Stream.ERASING, epoch, step, self.rank)
                yield self.augment(images, choices), self.labels[indices].to(self.device, non_blocking=True)

    def _uint8_batches(self, epoch: int, chosen: list[Tensor]) -> Generator[Tensor, None, None]:
        if self._cache is not None:
            yield from (self._cache[indices] for indices in chosen)
            return
        keys = [[(epoch, index) for index in indices.tolist()] for indices in chosen]
        loader = DataLoader(
            self._images,
            batch_sampler=keys,
            num_workers=self._workers,
            pin_memory=self.device.type == "cuda",
        )
        yield from from_workers(loader)

    def _decode_all(self) -> Tensor:
        """Every image once, ``(N, 3, H, W)`` uint8 in the layout that batches are wanted in."""
        keys = [(0, index) for index in range(len(self.labels))]
        loader = DataLoader(self._images, batch_size=256, sampler=keys, num_workers=self._workers)
        return torch.cat(list(from_workers(loader))).contiguous(memory_format=torch.channels_last)

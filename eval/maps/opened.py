"""The dataset and the network that the options of an evaluation name, opened once."""

from __future__ import annotations

import copy
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eval.maps.folder import FolderMaps
from eval.maps.inference import Forward, compiled_steps, prepare
from eval.maps.network import NetworkMaps
from eval.maps.source import MapSource, OnError
from eval.options import INFERENCE_OPTIONS, EvaluationOptions
from eval.protocols import Protocol, get_protocol
from tdam.errors import UserError
from tdam.files import tensors_sha256
from wsol.data import LocalizationDataset, load_dataset
from wsol.data.transforms import evaluation_transform
from wsol.opening import TrainedNetwork, open_network
from wsol.opening.classes import match_truth
from wsol.opening.sources import parse_arguments
from wsol.runtime.runs import BEST, run_folder, train_command

CPU_BATCH, BATCH = 8, 32


class Opened:
    """What the options name, and where its score maps come from.

    Args:
        options: Options of the evaluation.
        device: Torch device of this process.

    Attributes:
        options: The same.
        protocol: Conventions to score by.
        dataset: The split to be judged.
        network: The network; None where score maps are given.

    Raises:
        UserError: If anything is missing, unreadable or does not fit.
    """

    def __init__(self, options: EvaluationOptions, device: torch.device) -> None:
        self.options = options
        self.protocol: Protocol = get_protocol(options.protocol)
        self._device = device
        # The lists are opened first: a missing dataset shall not wait for a network to load.
        dataset = self._lists(options.split)
        self.network = self._open_network(dataset)
        self.dataset = self._transformed(dataset)
        # Here, not with the first source: all map methods share it, and what it takes is freed before the batches.
        self._prepared = self.network and prepare(self.network, options.fold_norms, options.channels_last)

    def with_options(self, options: EvaluationOptions) -> Opened:
        """The same dataset and network for options of another map method or output."""
        other = copy.copy(self)
        other.options = options
        return other

    def split(self, name: str) -> LocalizationDataset:
        """Another split of the dataset, for the same network.

        Raises:
            DatasetError: If the split does not exist or is damaged.
        """
        return self._transformed(self._lists(name))

    def source(self, dataset: LocalizationDataset, folder: Path | None, on_error: OnError | None = None) -> MapSource:
        """Where the score maps of a split come from.

        Args:
            dataset: The split.
            folder: Its score maps, where no network is judged.
            on_error: What becomes of unreadable images; by default as the options say.
        """
        options = self.options
        on_error = on_error or options.on_error
        if self._prepared is None:
            assert folder is not None
            return FolderMaps(folder, dataset.ground_truth, self.batch_size, on_error)
        return NetworkMaps(
            self._prepared,
            dataset,
            batch_size=self.batch_size,
            workers=options.workers,
            device=self._device,
            precision=options.precision,
            method=options.one_method,
            scope=options.scope,
            forward=self._forward if options.compile else None,
            on_error=on_error,
            map_interpolation=self.protocol.map_interpolation,
        )

    @property
    def batch_size(self) -> int:
        """Images per batch: as given, or as many as keep the device busy without much memory."""
        if self.options.batch_size is not None:
            return self.options.batch_size
        return CPU_BATCH if self.network is not None and self._device.type == "cpu" else BATCH

    def network_facts(self) -> dict[str, Any] | None:
        """What results say of the network; None where score maps are given."""
        if self.network is None:
            return None
        return {
            "weights": self.network.source,
            "map_size": self._map_size,
            "weights_sha256": self.weights_digest,
            "parameters": sum(parameter.numel() for parameter in self.network.model.parameters()),
            "input_size": list(self.network.input_size),
            **{name: getattr(self.options, name) for name in INFERENCE_OPTIONS},
        }

    @cached_property
    def _map_size(self) -> list[int] | None:
        """Rows and columns of the raw maps; None where the network makes them itself."""
        grid = None if self.network is None else self.network.map_size()
        return None if grid is None else list(grid)

    @cached_property
    def found_checkpoint(self) -> Path | None:
        """The file of `wsol-train` that was found where the user named none; None for all other weights."""
        options = self.options
        if self.network is None or options.checkpoint is not None or options.model is None:
            return None
        path = run_folder(self.dataset.ground_truth.dataset, options.model) / BEST
        return path if path.is_file() else None

    @cached_property
    def weights_digest(self) -> str | None:
        """Digest of the network's weights, read once; None where only maps are judged."""
        return None if self.network is None else tensors_sha256(self.network.model.state_dict())

    def _lists(self, split: str) -> LocalizationDataset:
        options = self.options
        dataset = load_dataset(options.dataset, split, root=options.data_root, decode=options.decode)
        if len(dataset) == 0:
            raise UserError(f"{options.dataset} {split} has no images")
        if options.limit is None or options.limit >= len(dataset):
            return dataset
        # Lists are often sorted by class; an even spread keeps all classes in.
        return dataset.subset(np.linspace(0, len(dataset) - 1, options.limit).round().astype(int).tolist())

    def _open_network(self, dataset: LocalizationDataset) -> TrainedNetwork | None:
        options, truth = self.options, dataset.ground_truth
        if options.score_maps is not None or options.model is None:
            return None
        return open_network(
            options.model,
            options.checkpoint,
            dataset=truth.dataset,
            train_with=train_command(options.model, options.dataset, options.data_root),
            model_args=parse_arguments(options.model_args),
        )

    def _transformed(self, dataset: LocalizationDataset) -> LocalizationDataset:
        """The dataset with the network's class numbers and preprocessing."""
        if self.network is None:
            return dataset
        match = match_truth(dataset.ground_truth, self.network)
        dataset.ground_truth = match.apply(dataset.ground_truth)
        if match.note:
            dataset.add_finding("note", "classes", self.network.name, match.note)
        preprocessing = self.network.preprocessing
        dataset.transform = evaluation_transform(
            self.network.input_size,
            mean=preprocessing["mean"],
            std=preprocessing["std"],
            **self.protocol.geometry(self.network.input_size),
        )
        return dataset

    @cached_property
    def _forward(self) -> Forward:
        """One compiled network for all splits and figures."""
        assert self._prepared is not None
        return compiled_steps(self._prepared.model, self.options.scope)

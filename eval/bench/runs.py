"""The runs of a comparison: one training each, with all the evaluations of its network."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.bench.description import Description, Variant
from tdam.errors import UsageError
from wsol.command_line.settings import typed_settings
from wsol.training.config import TrainingConfig
from wsol.training.recipes import load_recipe

GIVEN = "as given"  # in place of a training method, where the weights come from a file
# Settings that are mappings: what a network or a method adds joins what is common to all.
JOINED = ("model_args", "method_args")


@dataclass(frozen=True)
class Run:
    """One training and the evaluations of what it trained.

    Attributes:
        network: Name of the network in the comparison.
        method: Name of the training method in the comparison, or `GIVEN`.
        seed: Seed of training; None where nothing is trained.
        settings: Settings of `wsol-train`.
        maps: Map methods.
        folder: Where everything of the run lies.
        checkpoint: Weights that are given; None where they are trained.
    """

    network: str
    method: str
    seed: int | None
    settings: Mapping[str, Any]
    maps: tuple[str, ...]
    folder: Path
    checkpoint: Path | None = None

    @property
    def name(self) -> str:
        """Name on the command line and in lists."""
        return f"{self.network}/{self.method}" + ("" if self.seed is None else f"/seed{self.seed}")

    def training_config(self) -> TrainingConfig:
        """Settings of its training, of their own types."""
        return TrainingConfig(**typed_settings(self.settings, TrainingConfig, f"the settings of {self.name}"))

    def evaluation_folder(self, protocol: str, map_method: str) -> Path:
        """Where the results of one protocol and map method lie."""
        return self.folder / "evaluation" / protocol / map_method


def expand(description: Description) -> list[Run]:
    """All runs, the first seed of every configuration first.

    Raises:
        UserError: If the recipe is unknown, or a network and a method exclude each other everywhere.
    """
    common = {**({} if description.recipe is None else load_recipe(description.recipe)), **description.training}
    given = [_given_run(description, network) for network in description.networks if network.checkpoint is not None]
    pairs = [
        (network, method)
        for network, method in itertools.product(description.networks, description.methods)
        if network.checkpoint is None and network.goes_with(method.name) and method.goes_with(network.name)
    ]
    if not given and not pairs:
        raise UsageError(f"{description.name} has no run: no network goes with any of its methods")
    trained = [_trained_run(description, common, *pair, seed) for seed in description.seeds for pair in pairs]
    return given + trained


def _given_run(description: Description, network: Variant) -> Run:
    settings = joined({"model": network.name}, network.settings)
    folder = description.output / network.name / GIVEN.replace(" ", "_")
    return Run(network.name, GIVEN, None, settings, network.maps or description.maps, folder, network.checkpoint)


def _trained_run(
    description: Description, common: Mapping[str, Any], network: Variant, method: Variant, seed: int
) -> Run:
    folder = description.output / network.name / method.name / f"seed{seed}"
    # A recipe that names a network or a method does so for runs of one; here each run says its own.
    settings = joined(common, {"model": network.name, "method": method.name}, network.settings, method.settings)
    settings |= {"dataset": description.dataset, "seed": seed, "output": str(folder), "tensorboard": False}
    if description.data_root is not None:
        settings["data_root"] = str(description.data_root)
    maps = method.maps or network.maps or description.maps
    return Run(network.name, method.name, seed, settings, maps, folder)


def joined(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Settings over settings; options of networks and methods are joined key by key.

    >>> joined({"lr": 1, "model_args": {"a": 1}}, {"model_args": {"b": 2}, "lr": 2})
    {'lr': 2, 'model_args': {'a': 1, 'b': 2}}
    """
    settings: dict[str, Any] = {}
    for part in parts:
        inner = {key: {**settings.get(key, {}), **part[key]} for key in JOINED if part.get(key)}
        settings |= {**part, **inner}
    return settings

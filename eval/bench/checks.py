"""Everything of a comparison that can be checked before its first run begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from eval.bench.description import Description, Variant
from eval.bench.runs import Run
from eval.bench.state import state_of
from eval.bench.worker import evaluation_options, settable_options
from eval.options import EvaluationOptions
from eval.protocols import PROTOCOLS
from tdam.errors import UserError, check_name
from wsol.cam import maps_of_methods
from wsol.command_line.settings import typed_settings
from wsol.data import load_dataset
from wsol.maps import find_method
from wsol.networks.wrappers import makes_own_maps
from wsol.opening.preprocessing import preprocessing_of
from wsol.training.config import TrainingConfig
from wsol.training.network import create_configured_method

# What every run has of its own.
OF_THE_RUN = ("dataset", "data_root", "seed", "output")


def check_comparison(description: Description, runs: Sequence[Run]) -> None:
    """Check names, settings, data, earlier runs, and that every network goes with its methods.

    Every network is built once with every one of its methods: what does not fit shall not be found after hours.

    Raises:
        UserError: Naming the first thing that is wrong.
    """
    check_names(description)
    for name in dict.fromkeys(name for run in runs for name in run.maps):
        find_method(name)
    for run in runs:
        _check_files(evaluation_options(run, description, description.protocols[0], run.maps[0]))
        state_of(run, description)
        if run.checkpoint is not None and not run.checkpoint.exists():
            raise UserError(f"network {run.network}: there is no {run.checkpoint}")
    load_dataset(description.dataset, "test", root=description.data_root)
    if description.evaluation.get("selection_boxes") is not None:
        _check_selection_boxes(Path(str(description.evaluation["selection_boxes"])), description)
    trained = [run for run in runs if run.checkpoint is None]
    if not trained:
        return
    truth = load_dataset(description.dataset, "train", root=description.data_root).ground_truth
    for run in {(run.network, run.method): run for run in trained}.values():
        config = run.training_config()
        if config.init not in (None, "pretrained", "backbone") and not Path(str(config.init)).is_file():
            raise UserError(f"{run.network}/{run.method}: there is no {config.init} to begin from")
        try:
            config.check()
            if config.selection_boxes is not None:
                _check_selection_boxes(Path(config.selection_boxes), description)
            method = create_configured_method(replace(config, init=None), truth.num_classes)
            _check_maps(method.deployed, run.maps, config.input_size)
        except UserError as error:
            raise type(error)(f"{run.network}/{run.method}: {error}") from error


def _check_files(options: EvaluationOptions) -> None:
    """Look for the files that evaluations read beside the data."""
    for key in ("logits", "val_results", "score_maps", "val_score_maps"):
        path: Path | None = getattr(options, key)
        if path is not None and not path.exists():
            raise UserError(f"evaluation: {key}: there is no {path}")


def _check_selection_boxes(path: Path, description: Description) -> None:
    load_dataset(description.dataset, "val", root=description.data_root).ground_truth.with_boxes(path)


def _check_maps(network: nn.Module, maps: Sequence[str], input_size: int | None) -> None:
    """Try, on one image, the map methods that not every network allows."""
    own = makes_own_maps(network)
    chosen = [name for name in maps if own or find_method(name).needs - {"gradients"}]
    if chosen:
        images = torch.zeros(1, *preprocessing_of(network, input_size)["input_size"])
        maps_of_methods(network, images, None, chosen)


def check_names(description: Description) -> None:
    """Check protocols, the settings of all trainings and the options of all evaluations, names and types.

    Raises:
        UserError: Naming the key; the valid ones come nearest first.
    """
    for protocol in description.protocols:
        check_name("protocol", protocol, PROTOCOLS)
    own = {item.name for item in fields(TrainingConfig)}.intersection(OF_THE_RUN)
    settings = [item.name for item in fields(TrainingConfig) if item.name not in own]
    _check_values("training", description.training, TrainingConfig, settings)
    for kind, variants, further in (
        ("network", description.networks, ["methods", "maps", "checkpoint"]),
        ("method", description.methods, ["networks", "maps"]),
    ):
        for variant in variants:
            _check_variant(kind, variant, settings, further)
    _check_values("evaluation", description.evaluation, EvaluationOptions, settable_options())


def _check_variant(kind: str, variant: Variant, settings: Sequence[str], further: Sequence[str]) -> None:
    where = f"{kind} {variant.name}"
    if variant.checkpoint is None:
        _check_values(where, variant.settings, TrainingConfig, settings, further)
    else:
        _check_values(f"{where}, whose checkpoint is given,", variant.settings, TrainingConfig, ["model"], further)


def _check_values(
    where: str, values: Mapping[str, Any], made: type, valid: Sequence[str], further: Sequence[str] = ()
) -> None:
    for key in values:
        check_name(f"key of {where}", key, [*valid, *further])
    typed_settings(values, made, where)

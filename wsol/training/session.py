"""The work of ``wsol-train``: joins the training engine with the metrics that watch it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import tyro

from tdam.errors import check_name
from wsol.data.errors import MissingSplitError
from wsol.training import Trainer, TrainingConfig, default_recipe, list_recipes, load_recipe
from wsol.training.validation import ClassFigures, Validation

DEFAULT_SELECTION = TrainingConfig.select_by
DESCRIPTION = """Train a network for localization from image labels alone.

Writes best.safetensors, last.safetensors, state.pt and log.csv into runs/<dataset>/<model>, where <dataset> is the
dataset's own name.
With --recipe NAME published settings (options beside it win), by default the recipe named as the dataset;
with --resume an interrupted run continues."""


class Run(NamedTuple):
    """What a command line asks for: the settings, whether to resume, the recipe they began from ("none")."""

    config: TrainingConfig
    resume: bool
    recipe: str


def parse(arguments: Sequence[str]) -> Run:
    """Settings from the command line over those of a recipe.

    Without ``--recipe`` the recipe that bears the dataset's name is used, if there is one; ``none`` uses none.

    Raises:
        UserError: If the recipe or a setting is not valid.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--recipe")
    first.add_argument("--resume", action="store_true")
    first.add_argument("--dataset")
    known, remaining = first.parse_known_args(arguments)
    recipe = known.recipe or default_recipe(known.dataset or "") or "none"
    settings = {} if recipe == "none" else load_recipe(recipe)
    dataset = {"dataset": known.dataset} if known.dataset else {}
    config = tyro.cli(
        TrainingConfig,
        args=remaining,
        default=TrainingConfig.from_dict({"model": tyro.MISSING, "dataset": tyro.MISSING, **settings, **dataset}),
        prog="wsol-train",
        description=f"{DESCRIPTION}\n\nRecipes: {', '.join(list_recipes())}; the path of a YAML file; none.",
    )
    config.check()
    return Run(config, known.resume, recipe)


def run(arguments: Sequence[str] | None = None) -> None:
    """Train as the arguments say.

    Raises:
        UserError: If the settings, the data or the network are not valid, or training cannot go on.
    """
    config, resume, recipe = parse(sys.argv[1:] if arguments is None else arguments)
    validation = None
    if config.validate_every:
        try:
            boxes = config.selection_boxes
            validation = Validation(config.dataset, config.data_root, workers=config.workers, selection_boxes=boxes)
        except MissingSplitError as error:
            print(f"{error}: trains without validation, and the last epoch counts as the best", file=sys.stderr)
    if validation is not None:
        if validation.kind is ClassFigures and config.select_by == DEFAULT_SELECTION:
            config = replace(config, select_by="top1_cls")
            print("the val split has neither boxes nor masks: the best epoch is chosen by top1_cls", file=sys.stderr)
        check_name("figure to select by", config.select_by, validation.names)
    trainer = Trainer(config, validate=validation)
    try:
        trainer.accelerator.print(f"recipe {recipe} (--recipe NAME: another; --recipe none: plain defaults)")
        if resume:
            trainer.resume()
        trainer.fit()
    finally:
        trainer.accelerator.end_training()

"""The command `wsol-train`; its work is in `wsol.training.session`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import wsol.runtime.idle_threads  # noqa: F401 - what it does is done on import
from tdam.errors import UserError, one_line_errors
from wsol.command_line.command import Command, peek
from wsol.runtime.terminal import print_version
from wsol.training.config import GROUPS, TrainingConfig
from wsol.training.recipes import default_recipe, list_recipes, load_recipe


@dataclass(frozen=True)
class TrainOptions(TrainingConfig):
    """Settings of a run, and how to start it.

    Attributes:
        recipe: Published settings by name, or a YAML file of settings; none for plain defaults. Default: the recipe
            with the dataset's name, if there is one.
        resume: Continue an interrupted run with the same settings.
    """

    recipe: str | None = None
    resume: bool = False


TRAIN = Command(
    "wsol-train",
    "Train a network for localization from image labels alone.",
    TrainOptions,
    {"": ("recipe", "resume"), **GROUPS},
    examples=(
        "wsol-train --model resnet_mini_tdam --dataset minibirds",
        "wsol-train --model resnet50_tdam --dataset cub --data-root data --epochs 50",
        "wsol-train --recipe ts-cam-cub-deit-small --data-root data",
        "wsol-train --config mine.yaml --lr 0.02",
        "torchrun --nproc-per-node 4 --no-python wsol-train --recipe tdam-imagenet",
    ),
    notes=(
        "Files of a run:",
        "  runs/DATASET/MODEL/ gets best.safetensors, last.safetensors, state.pt, log.csv",
        "  and curves.png. wsol-eval finds the weights there.",
        "",
        "Which setting wins:",
        "  The command line wins over --config, and --config wins over --recipe.",
        "",
        "Recipes:",
        *(f"  {name}" for name in list_recipes()),
    ),
    takes_settings=True,
)


class Run(NamedTuple):
    """What a command line asks for: the settings, whether to resume, the recipe they began from ("none")."""

    config: TrainingConfig
    resume: bool
    recipe: str


def parse(arguments: Sequence[str] | None = None) -> Run:
    """Settings from the command line, over those of a settings file, over those of a recipe.

    Raises:
        UserError: If the recipe, the file or a setting is not valid.
    """
    given: dict[str, Any] = {**TRAIN.settings_of(arguments), **peek(arguments, "recipe", "dataset")}
    recipe = given.get("recipe") or default_recipe(given.get("dataset") or "")
    settings = {} if recipe in (None, "none") else load_recipe(recipe)
    options = TRAIN.parse(arguments, {**settings, "recipe": recipe}, check=TrainingConfig.check)
    config = TrainingConfig(**{item.name: getattr(options, item.name) for item in fields(TrainingConfig)})
    return Run(config, options.resume, recipe or "none")


def run(arguments: Sequence[str] | None = None) -> None:
    """Train as the arguments say.

    Args:
        arguments: Without the command's name; None reads `sys.argv`.

    Raises:
        UserError: If the options, the data or the network are not valid, or training cannot go on.
    """
    config, resume, recipe = parse(arguments)
    try:
        from wsol.training.session import train
    except ModuleNotFoundError as error:
        if error.name != "accelerate":
            raise
        raise UserError("wsol-train needs accelerate: pip install 'wsol[train]'") from error
    train(config, resume, recipe)


def main() -> None:
    """Entry point: exit code 0 if the work was done, 2 for wrong usage, 1 for a failure."""
    if print_version(None):
        return
    with one_line_errors("--resume continues from the last saved state"):
        run()


if __name__ == "__main__":
    main()

"""Recipes: published settings by name, plain YAML files in ``wsol/recipes`` or a file of the user's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import wsol
from tdam.errors import UserError, check_name
from wsol.command_line.settings import typed_settings
from wsol.runtime.yaml_files import read_yaml
from wsol.training.config import TrainingConfig

FOLDER = Path(wsol.__file__).parent / "recipes"


def list_recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def default_recipe(dataset: str) -> str | None:
    """The recipe used where the user names none: the one that bears the dataset's name, if there is one."""
    return dataset if dataset in list_recipes() else None


def load_recipe(name: str) -> dict[str, Any]:
    """Settings of a recipe.

    Args:
        name: One of `list_recipes`, or the path of a YAML file.

    Returns:
        Setting name to value, for `TrainingConfig.from_dict`.

    Raises:
        UnknownNameError: If there is no such recipe, or it holds a key that is no setting.
        UserError: If the file is not YAML settings, or a value is of the wrong type.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        path = FOLDER / f"{check_name('recipe', name, list_recipes())}.yaml"
    settings = read_yaml(path)
    if not isinstance(settings, dict):
        raise UserError(f"recipe {path} must hold KEY: VALUE lines")
    return typed_settings(settings, TrainingConfig, f"recipe {path.name}")

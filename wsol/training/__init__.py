"""Training of networks for localization from image labels: `Trainer` runs a `TrainingConfig`."""

from wsol.training.config import TrainingConfig
from wsol.training.engine import Trainer
from wsol.training.recipes import default_recipe, list_recipes, load_recipe

__all__ = ["Trainer", "TrainingConfig", "default_recipe", "list_recipes", "load_recipe"]

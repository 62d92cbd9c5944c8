from .config import TrainingConfig
from .engine import Trainer
from .recipes import default_recipe, list_recipes, load_recipe

__all__ = [
    "Trainer",
    "TrainingConfig",
    "default_recipe",
    "list_recipes",
    "load_recipe",
]

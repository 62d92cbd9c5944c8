"""The work of ``wsol-train``: joins the training engine with the metrics that watch it."""

from __future__ import annotations

import sys
from dataclasses import replace

from tdam.errors import check_name
from wsol.data.errors import MissingSplitError
from wsol.runtime.trackers import import_tracker
from wsol.training import Trainer, TrainingConfig
from wsol.training.validation import ClassFigures, Validation

DEFAULT_SELECTION = TrainingConfig.select_by


def train(config: TrainingConfig, resume: bool = False, recipe: str = "none") -> Trainer:
    """Train a network and keep its best epoch.

    Args:
        config: Settings of the run.
        resume: Continue an interrupted run of the same settings.
        recipe: The recipe that the settings began with, for the record.

    Returns:
        The trainer, whose work is done.

    Raises:
        UserError: If the settings, the data or the network are not valid, or training cannot go on.
    """
    for name in config.log:
        import_tracker(name)  # before anything is computed
    validation = None
    if config.validate_every:
        try:
            validation = Validation(
                config.dataset,
                config.data_root,
                workers=config.workers,
                selection_boxes=config.selection_boxes,
                input_size=config.input_size,
            )
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
    return trainer

"""Optimiser, schedule and mixing of a run, built by timm."""

from __future__ import annotations

from typing import Any

import timm.optim
import timm.scheduler
import torch
from timm.data import Mixup
from timm.scheduler.scheduler import Scheduler
from torch import nn

from tdam.errors import UserError, check_name
from wsol.methods import Method
from wsol.opening.architectures import classifier_modules
from wsol.training.config import TrainingConfig


def classifier_prefixes(method: Method, config: TrainingConfig) -> tuple[str, ...]:
    """Names of the modules that learn at the classifier's rate, as they begin in ``method.named_parameters()``.

    Raises:
        UserError: If a name in the setting classifier_modules fits no module.
    """
    if not config.classifier_modules:
        added = [name for name, _ in method.named_children() if name != "network"]
        own = [f"network.{name}" for name in classifier_modules(method.network)]
        return tuple(f"{name}." for name in [*added, *own])
    prefixes = []
    in_network = [name for name, _ in method.network.named_modules() if name]
    in_method = [name for name, _ in method.named_modules() if name and not name.startswith("network")]
    for name in config.classifier_modules:
        check_name("module in classifier_modules", name, [*in_network, *in_method])
        prefixes.append(f"{name}." if name in in_method else f"network.{name}.")
    return tuple(prefixes)


def parameter_groups(method: Method, config: TrainingConfig) -> list[dict[str, Any]]:
    """Trainable parameters in groups: backbone or classifier, with or without weight decay, weights or biases.

    timm's schedulers multiply by ``lr_scale``.

    Raises:
        UserError: If nothing is left to train.
    """
    prefixes = classifier_prefixes(method, config)
    # Position embeddings and tokens of transformers have axes of length 1, and timm's word not to decay them.
    named: set[str] = getattr(method.network, "no_weight_decay", set)()
    exempt = {f"network.{name}" for name in named}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in method.named_parameters():
        if not parameter.requires_grad:
            continue
        scale = config.classifier_lr_scale if name.startswith(prefixes) else 1.0
        scale *= config.bias_lr_scale if name.endswith(".bias") else 1.0
        is_decayed = config.decay_norms or (parameter.ndim > 1 and name not in exempt)
        decay = config.weight_decay if is_decayed else 0.0
        groups.setdefault((scale, decay), []).append(parameter)
    if not groups:
        raise UserError("nothing is left to train: the setting freeze names every module")
    return [
        {"params": parameters, "weight_decay": decay, "lr_scale": scale}
        for (scale, decay), parameters in groups.items()
    ]


def create_optimizer(method: Method, config: TrainingConfig) -> torch.optim.Optimizer:
    """Optimiser of timm by name.

    Raises:
        UnknownNameError: If timm has no such optimiser.
    """
    check_name("optimizer", config.optimizer, [str(name) for name in timm.optim.list_optimizers()])
    return timm.optim.create_optimizer_v2(
        parameter_groups(method, config),
        opt=config.optimizer,
        lr=config.lr,
        weight_decay=config.weight_decay,
        momentum=config.momentum,
    )


def create_schedule(
    optimizer: torch.optim.Optimizer, config: TrainingConfig, updates_per_epoch: int
) -> tuple[Scheduler, int]:
    """Schedule of timm, a function of the number of optimiser steps, and the number of epochs it needs."""
    schedule, epochs = timm.scheduler.create_scheduler_v2(
        optimizer,
        sched=config.schedule,
        num_epochs=config.epochs,
        warmup_epochs=config.warmup_epochs,
        warmup_lr=config.warmup_lr,
        min_lr=config.min_lr,
        cooldown_epochs=config.cooldown_epochs,
        decay_epochs=config.decay_epochs,
        decay_milestones=list(config.decay_milestones),
        decay_rate=config.decay_rate,
        step_on_epochs=False,
        updates_per_epoch=updates_per_epoch,
    )
    if isinstance(schedule, timm.scheduler.MultiStepLRScheduler):
        # timm counts steps from 1 there: the rate would fall before the last update of an epoch.
        schedule.decay_t = [step + 1 for step in schedule.decay_t]
    return schedule, epochs


def create_mixup(config: TrainingConfig, num_classes: int) -> Mixup | None:
    """Mixup and CutMix of timm, or None where the run mixes nothing; targets become smoothed probabilities."""
    if not config.mixup and not config.cutmix:
        return None
    return Mixup(
        mixup_alpha=config.mixup,
        cutmix_alpha=config.cutmix,
        switch_prob=config.mix_switch_prob,
        label_smoothing=config.label_smoothing,
        num_classes=num_classes,
    )

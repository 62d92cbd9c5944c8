"""The stages of a timm network and the blocks inside them, by name: where methods attach."""

from __future__ import annotations

from typing import Any

from torch import nn

from tdam.errors import UserError, check_name


def stage_names(network: nn.Module) -> list[str]:
    """Names of the modules that end each stage, first stage first (timm's ``feature_info``).

    Raises:
        UserError: If the network does not tell its stages.
    """
    modules = dict(network.named_modules())
    names = [info["module"] for info in _feature_info(network)]
    if len(names) < 2 or any(name not in modules for name in names):
        raise UserError(f"{type(network).__name__} does not tell its stages; name the modules yourself")
    return names


def block_names(network: nn.Module, stage: str) -> list[str]:
    """Names of a stage's blocks in order, or the stage itself where it is a single block."""
    module = network.get_submodule(stage)
    blocks = getattr(module, "blocks", module)
    prefix = f"{stage}.blocks" if blocks is not module else stage
    if not isinstance(blocks, nn.Sequential):
        return [stage]
    return [f"{prefix}.{name}" for name, _ in blocks.named_children()]


def named_module(network: nn.Module, name: str) -> nn.Module:
    """A module by name.

    Raises:
        UnknownNameError: If there is none; the valid names come nearest first.
    """
    modules = dict(network.named_modules())
    return modules[check_name(f"module of {type(network).__name__}", name, [key for key in modules if key])]


def _feature_info(network: nn.Module) -> Any:
    """Timm's description of the stages: mappings with "module" and "num_chs"; empty where there is none."""
    return getattr(network, "feature_info", ())

"""The families of timm networks that can carry feedback."""

from __future__ import annotations

from torch import nn

from tdam.errors import UserError
from tdam.families.convnext import CONVNEXT
from tdam.families.efficientnet import EFFICIENTNET, MOBILENETV3
from tdam.families.resnet import RESNET
from tdam.families.vgg import VGG_GAP
from tdam.feedback import Family, FeedbackOptions, insert_feedback

FAMILIES: dict[type[nn.Module], Family] = {
    family.network: family for family in (RESNET, CONVNEXT, EFFICIENTNET, MOBILENETV3, VGG_GAP)
}


def register_family(family: Family) -> None:
    """Make a family known, for `add_feedback`, `register_variant` and `load_checkpoint`."""
    FAMILIES[family.network] = family


def family_of(model: nn.Module) -> Family | None:
    """The family of a network's class or of its nearest base class; None if there is none."""
    return next((FAMILIES[network] for network in type(model).__mro__ if network in FAMILIES), None)


def add_feedback(model: nn.Module, options: FeedbackOptions | None = None) -> nn.Module:
    """Give a plain timm network feedback, in place; its weights stay.

    With `FeedbackOptions(init="identity")` a pretrained network starts as good as it was.

    Args:
        model: A network of a known family.
        options: Where and how; None takes the defaults.

    Returns:
        The same network.

    Raises:
        UserError: For a network of another family, or options that do not fit it.
    """
    family = family_of(model)
    if family is None:
        known = ", ".join(sorted(network.__name__ for network in FAMILIES))
        raise UserError(f"no feedback for a {type(model).__name__}; families: {known}")
    return insert_feedback(model, family, options or FeedbackOptions())

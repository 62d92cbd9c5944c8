"""The families of networks that can carry feedback."""

from __future__ import annotations

from torch import nn

from tdam.errors import UserError
from tdam.families.convnext import CONVNEXT
from tdam.families.efficientnet import EFFICIENTNET, MOBILENETV3
from tdam.families.resnet import RESNET
from tdam.families.torchvision_resnet import TORCHVISION_RESNET
from tdam.families.vgg import VGG_GAP
from tdam.feedback import Family, insert_feedback
from tdam.options import FeedbackOptions

FAMILIES: dict[type[nn.Module], Family] = {
    family.network: family for family in (RESNET, CONVNEXT, EFFICIENTNET, MOBILENETV3, VGG_GAP, TORCHVISION_RESNET)
}


def register_family(family: Family) -> None:
    """Make a family known, for `add_feedback`, `register_variant` and `load_checkpoint`."""
    FAMILIES[family.network] = family


def family_of(model: nn.Module) -> Family | None:
    """The family of a network's class or of its nearest base class; None if there is none."""
    return next((FAMILIES[network] for network in type(model).__mro__ if network in FAMILIES), None)


def add_feedback(model: nn.Module, options: FeedbackOptions | None = None) -> nn.Module:
    """Give a plain network of timm or torchvision feedback, in place; its weights stay.

    Unless the options name another `init`, a pretrained network starts as good as it was: every step computes what
    the plain network computes, in eval mode.

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
        raise UserError(
            f"no feedback for a {type(model).__name__} of {type(model).__module__.partition('.')[0]}; "
            f"families: {', '.join(known_families())}; tdam.register_family adds another"
        )
    return insert_feedback(model, family, (options or FeedbackOptions()).on_plain_weights())


def known_families() -> list[str]:
    """Network classes that can carry feedback, each with its library."""
    return sorted(f"{network.__name__} of {network.__module__.partition('.')[0]}" for network in FAMILIES)

"""The TDAM names in timm's registry: a timm network, and where it gets feedback by default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import timm
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn

from tdam.errors import UserError
from tdam.feedback import Family, FeedbackOptions, insert_feedback
from tdam.resnet import RESNET

FAMILIES: dict[type[nn.Module], Family] = {family.network: family for family in (RESNET,)}

default_cfgs: dict[str, Any] = {}


def add_feedback(model: nn.Module, options: FeedbackOptions) -> nn.Module:
    """Give a plain timm network feedback, in place; its weights stay.

    Args:
        model: A network of a class in `FAMILIES`, or of a subclass.
        options: Where and how.

    Returns:
        The same network.

    Raises:
        UserError: For a network of another class, or options that do not fit it.
    """
    family = next((FAMILIES[network] for network in type(model).__mro__ if network in FAMILIES), None)
    if family is None:
        known = ", ".join(sorted(network.__name__ for network in FAMILIES))
        raise UserError(f"no feedback for a {type(model).__name__}; families: {known}")
    return insert_feedback(model, family, options)


def register_variant(base: str, published: Mapping[str, Mapping[str, Any]]) -> None:
    """Register `<base>_tdam` in timm: the timm network `base` with feedback.

    Args:
        base: Name of a timm network of a known family.
        published: Tag -> feedback options that differ from `FeedbackOptions`; the first is the default.
    """
    name = f"{base}_tdam"

    def entrypoint(pretrained: bool = False, **kwargs: Any) -> nn.Module:
        tag = kwargs.get("pretrained_cfg")
        tag = tag if isinstance(tag, str) and tag in published else next(iter(published))
        chosen = {key: kwargs.pop(key) for key in FeedbackOptions.names() if key in kwargs}
        options = FeedbackOptions(**{**published[tag], **chosen})

        def build(**arguments: Any) -> nn.Module:
            return add_feedback(timm.create_model(base, **arguments), options)

        return build_model_with_cfg(build, name, pretrained, feature_cfg={"feature_cls": "getter"}, **kwargs)

    entrypoint.__name__ = entrypoint.__qualname__ = name
    entrypoint.__doc__ = f"{base} with top-down attention; see `tdam.feedback.FeedbackOptions`."
    configuration = {**timm.get_pretrained_cfg(base).to_dict(), "url": "", "hf_hub_id": None}
    configuration.pop("architecture", None)
    configuration.pop("tag", None)
    default_cfgs.update(generate_default_cfgs({f"{name}.{tag}": configuration for tag in published}))
    register_model(entrypoint)


JOINT_T2_M1 = {"joint_t2_m1": {"steps": 2, "distance": 1}}
JOINT_T2_M2 = {"joint_t2_m2": {"steps": 2, "distance": 2}}
# The README's list; its indices 23 to 25 do not exist in ResNet-101.
RESNET101_BLOCKS = {3: (0, 1, 2, 8, 13, 18, 22), 4: "all"}

register_variant("resnet18", JOINT_T2_M2)
register_variant("resnet34", JOINT_T2_M2)
register_variant("resnet26d", JOINT_T2_M1)
register_variant("resnet50", JOINT_T2_M1)
register_variant("resnet101", {"joint_t2_m1": {"td_blocks": RESNET101_BLOCKS}})
register_variant("resnet_mini", {"joint_t2_m1": {"distance": 1, "reduction": 4}})

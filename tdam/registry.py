"""The TDAM names in timm's registry: a timm network, and where it gets feedback by default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import timm
from timm.models import PretrainedCfg, build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn

from tdam.families.known import family_of
from tdam.feedback import Family, FeedbackBlock, insert_feedback
from tdam.options import FeedbackOptions

default_cfgs: dict[str, Any] = {}


def register_variant(base: str, published: Mapping[str, Mapping[str, Any]], name: str | None = None) -> None:
    """Register `<base>_tdam` in timm: the timm network `base` with feedback.

    Args:
        base: Name of a timm network of a known family.
        published: Tag -> feedback options that differ from `FeedbackOptions`; the first is the default.
        name: Another name than `<base>_tdam`.
    """
    name = name or f"{base}_tdam"

    def entrypoint(pretrained: bool = False, **kwargs: Any) -> nn.Module:
        given = kwargs.get("pretrained_cfg")
        tag = given if isinstance(given, str) and given in published else next(iter(published))
        chosen = {key: kwargs.pop(key) for key in FeedbackOptions.names() if key in kwargs}
        options = FeedbackOptions(**{**published[tag], **chosen})

        def build(num_classes: int = 1000, **arguments: Any) -> nn.Module:
            # Reading checkpoints needs the registry's own parts: it is imported once they are there.
            from tdam.checkpoints import load_checkpoint
            from tdam.checkpoints.releases import fetch_release

            path = fetch_release(f"{name}.{tag}") if pretrained else None
            model = timm.create_model(base, num_classes=1000 if pretrained else num_classes, **arguments)
            insert_feedback(model, cast(Family, family_of(model)), options)
            if path is None:
                for module in model.modules():
                    if isinstance(module, FeedbackBlock) and options.init != "identity":
                        module.show_earlier_steps()
                return model
            load_checkpoint(model, path)
            if num_classes != 1000:
                cast(Any, model).reset_classifier(num_classes)
            return model

        # `features_only` by forward_intermediates, which all families have; None: every level.
        features = {"feature_cls": "getter", "out_indices": None}
        return build_model_with_cfg(build, name, False, feature_cfg=features, **kwargs)

    entrypoint.__name__ = entrypoint.__qualname__ = name
    entrypoint.__doc__ = f"{base} with top-down attention; see `tdam.feedback.FeedbackOptions`."
    configuration = {**cast(PretrainedCfg, timm.get_pretrained_cfg(base)).to_dict(), "url": "", "hf_hub_id": None}
    for key in ("architecture", "tag", "file", "custom_load", "hf_hub_filename"):
        configuration.pop(key, None)
    default_cfgs.update(generate_default_cfgs({f"{name}.{tag}": configuration for tag in published}))
    register_model(entrypoint)


def _register_all() -> None:
    joint, top = {"attention": "joint"}, {"attention": "top"}
    joint_t2_m1: dict[str, dict[str, object]] = {"joint_t2_m1": {**joint, "distance": 1}}
    joint_t2_m2 = {"joint_t2_m2": {**joint, "distance": 2}}
    for base in ("resnet18", "resnet34"):
        register_variant(base, joint_t2_m2 | joint_t2_m1 | {"top_t2_m1": {**top, "distance": 1}})
    resnet50 = joint_t2_m1 | {
        "top_t2_m1": {**top, "distance": 1},
        # The authors' code with its full block list; the paper's row is that of one block fewer.
        "top_t2_m3": {**top, "distance": 3},
        "top_t2_m3_paper": {**top, "distance": 3, "td_blocks": {3: range(5), 4: "all"}},
    }
    register_variant("resnet50", resnet50)
    # The README's lists; in ResNet-101's its indices 23 to 25 do not exist.
    resnet101 = {3: (0, 1, 2, 8, 13, 18, 22), 4: "all"}
    resnet152 = {3: (0, 1, 2, 8, 13, 18, 22, 25, 28, 31, 32, 33, 34, 35), 4: "all"}
    layer4: dict[str, dict[str, object]] = {"joint_t2_m1_layer4": {**joint, "distance": 1, "td_blocks": {4: "all"}}}
    for base in ("resnet101", "resnet101d"):
        register_variant(base, {"joint_t2_m1": {**joint, "td_blocks": resnet101}, **layer4})
    for base in ("resnet152", "resnet152d"):
        register_variant(base, {"joint_t2_m1": {**joint, "td_blocks": resnet152}, **layer4})
    # TD_ConvNeXt's class default: eleven blocks of stage 3, which is all of Tiny's.
    convnext = {"joint_t2_m1": {**joint, "td_blocks": {3: range(11), 4: range(6)}}}
    for size in ("tiny", "small", "base", "large"):
        register_variant(f"convnext_{size}", convnext)
    # No published configuration: feedback as ResNet-50's, in all blocks of the last two stages.
    for base in OURS:
        register_variant(base, joint_t2_m1)
    for base, name in (("vgg16_gap", "vgg16_tdam"), ("vgg16_gap_bn", "vgg16_bn_tdam")):
        register_variant(base, joint_t2_m1, name)
    register_variant("resnet_mini", joint_t2_m1)
    # Ours: the gate of `tdam.gate` over the last stage.
    gated: dict[str, dict[str, object]] = {"gated_t2_m1": {**joint, "distance": 1, "stage_gate": True}}
    for base in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet_mini"):
        register_variant(base, gated, f"{base}_tdam2")


OURS = (
    *("resnet18d", "resnet26", "resnet26d", "resnet34d", "resnet50d"),
    *("resnext50_32x4d", "resnext101_32x4d", "resnext101_32x8d", "wide_resnet50_2", "wide_resnet101_2"),
    *("seresnet18", "seresnet34", "seresnet50", "seresnet101", "seresnext50_32x4d"),
    *("ecaresnet26t", "ecaresnet50d", "ecaresnet50t", "ecaresnet101d"),
    *("mobilenetv3_large_100", "mobilenetv3_small_100"),
    *("tf_mobilenetv3_large_100", "tf_mobilenetv3_small_100"),
    *("efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3", "efficientnet_lite0"),
    *("tf_efficientnet_b0", "tf_efficientnet_b1", "tf_efficientnet_b2", "tf_efficientnet_b3"),
    "tf_efficientnet_lite0",
)

_register_all()

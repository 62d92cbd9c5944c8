"""The networks that the attention experiments compare: settings of training, each unlike the plain one in one thing.

`ATTENTION` is what is trained on drawn birds and on photographs alike, so that the verdicts can be compared.
"""

from __future__ import annotations

from typing import Any

import cross_stage

TDAM = "resnet_mini_tdam"
# The published module with reduction 16, whose growth of parameters is that of SE.
JOINT = {"distance": 1, "reduction": 16}
PLAIN: dict[str, Any] = {"model": "resnet_mini"}


def tdam_settings(**options: Any) -> dict[str, Any]:
    """Settings of a TDAM network that differs from the first one by `options`."""
    return {"model": TDAM, "model_args": {**JOINT, **options}}


def attention_settings(layer: str) -> dict[str, Any]:
    """Settings of the plain network with one of timm's attention layers in every block."""
    return {"model": "resnet_mini", "model_args": {"block_args": {"attn_layer": layer}}}


ATTENTION: dict[str, dict[str, Any]] = {
    "plain": PLAIN,
    "se": attention_settings("se"),
    "eca": attention_settings("eca"),
    "cbam": attention_settings("cbam"),
    "tdam t2 m1": tdam_settings(),
    "tdam t2 m2": tdam_settings(distance=2),
    "tdam t2 m1 identity start": tdam_settings(init="identity"),
    "tdam t2 m1 top": tdam_settings(attention="top"),
    "tdam t3 m1": tdam_settings(steps=3),
    "tdam t2 m1 scaled": tdam_settings(spatial_score="scaled"),
    "tdam t2 m1 deep supervision": {**tdam_settings(), "step_loss_weights": (0.5, 1.0)},
    "plain stage gate": {"model": TDAM, "model_args": {"steps": 1, "td_blocks": {}, "stage_gate": True}},
    "tdam t2 m1 stage gate": tdam_settings(stage_gate=True),
    "cross energy": {"model": cross_stage.NAME},
}

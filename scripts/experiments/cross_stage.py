"""Feedback across stages, for the experiments: the last stage's map decides what stage 3 and 4 see the second time.

Forms that aim at maps which cover the object; none is published, none is part of `tdam`. With s the output of stage 2,
f1 the output of stage 4 at the first pass, and M the gate (B, 1, h, w):

    f1 = stages_3_4(s)                      # first pass
    M  = gate(f1, s)
    f2 = stages_3_4(s * M)                  # second pass, with batch norms of its own: the last step
    CAM and logits are those of f2

Registered in timm as `resnet_mini_cross`, its losses as the training method "cross-stage".
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

from tdam.families.resnet import ResNetMini, UndilatedBlock
from tdam.families.resnet import default_cfgs as mini_cfgs
from wsol.methods import METHODS
from wsol.methods.base import Method, MethodOutput

GATES = ("top", "both", "class", "inhibit", "energy")
EPSILON = 1e-6
NAME, METHOD = "resnet_mini_cross", "cross-stage"


class StepNorm(nn.Module):
    """A batch norm for each pass; `step` says which pass is running."""

    def __init__(self, norm: nn.BatchNorm2d, steps: int) -> None:
        super().__init__()
        self.steps = nn.ModuleList(copy.deepcopy(norm) for _ in range(steps))
        self.step = 0

    def forward(self, x: Tensor) -> Tensor:
        """Apply the norm of the running pass."""
        return self.steps[self.step](x)


class CrossStageResNet(ResNetMini):
    """`ResNetMini` whose last stage's map gates the input of stage 3 for a second pass.

    Args:
        gate: What the gate reads. "top": sigmoid(w · f1 + b); "both": sigmoid(w · f1 + v · s + b); "class":
            sigmoid(a z + c) of the class activation map of the predicted classes, standardized over places, which
            does not depend on the features' scale; "inhibit": one minus that map between 0 and 1, so that the second
            pass sees what the first did not, and f2 is the larger of both passes' maps; "energy": the mean of f1's
            channels between 0 and 1, without parameters.
        pooled: The last map is M times one vector, the M-weighted mean of the features: what was found is handed down
            to the places where it was found, and the class activation map is M itself.
        passes: With `pooled`: 1 makes M and the vector of the first pass; 2 gates s by the first pass's M and makes
            them of the second.
    """

    def __init__(self, *args: Any, gate: str = "top", pooled: bool = False, passes: int = 1, **kwargs: Any) -> None:
        if gate not in GATES:
            raise ValueError(f"gate must be one of {', '.join(GATES)}, not {gate!r}")
        super().__init__(*args, **kwargs)
        self.gate_reads, self.pooled, self.num_passes = gate, pooled, passes if pooled else 2
        self.gain = 1 if gate in ("inhibit", "energy") else 2
        bottom, top = self.layer3[0].conv1.in_channels, self.num_features
        if gate in ("top", "both"):
            self.gate_top = nn.Conv2d(top, 1, 1)
            nn.init.normal_(self.gate_top.weight, std=0.01)
            nn.init.zeros_(self.gate_top.bias)  # type: ignore[arg-type]
        if gate == "both":
            self.gate_bottom = nn.Conv2d(bottom, 1, 1, bias=False)
            nn.init.zeros_(self.gate_bottom.weight)
        if gate == "class":
            self.gate_slope, self.gate_offset = nn.Parameter(torch.ones(())), nn.Parameter(torch.ones(()))
        if self.num_passes == 2:
            for stage in (self.layer3, self.layer4):
                for parent in list(stage.modules()):
                    for name, child in list(parent.named_children()):
                        if isinstance(child, nn.BatchNorm2d):
                            parent.add_module(name, StepNorm(child, 2))

    def bottom(self, x: Tensor) -> Tensor:
        """Output of stage 2 (B, C, h, w)."""
        x = self.maxpool(self.act1(self.bn1(self.conv1(x))))
        return self.layer2(self.layer1(x))

    def last_stages(self, bottom: Tensor, step: int) -> Tensor:
        """Stages 3 and 4 with the norms of a pass (from 0)."""
        for module in self.modules():
            if isinstance(module, StepNorm):
                module.step = step
        return self.layer4(self.layer3(bottom))

    def gate(self, first: Tensor, bottom: Tensor) -> Tensor:
        """M (B, 1, h, w) in [0, 1]."""
        if self.gate_reads in ("top", "both"):
            scores = self.gate_top(first)
            if self.gate_reads == "both":
                scores = scores + self.gate_bottom(bottom)
            return scores.sigmoid()
        if self.gate_reads == "energy":
            maps = first.mean(1, keepdim=True)
            return maps / (maps.amax((2, 3), keepdim=True) + EPSILON)
        weight = self.forward_head(first).softmax(1) @ self.fc.weight
        maps = torch.einsum("bd,bdhw->bhw", weight, first)[:, None]
        if self.gate_reads == "class":
            maps = (maps - maps.mean((2, 3), keepdim=True)) / (maps.std((2, 3), keepdim=True) + EPSILON)
            return (self.gate_slope * maps + self.gate_offset).sigmoid()
        low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
        return 1 - (maps - low) / (high - low + EPSILON)

    def passes(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Output of stage 2, the gate, and the maps of both passes."""
        bottom = self.bottom(x)
        first = self.last_stages(bottom, 0)
        gate = self.gate(first, bottom)
        if self.num_passes == 1:
            return bottom, gate, first, handed_down(gate, first)
        # An open gate passes what it reads: a sigmoid starts near one half.
        second = self.last_stages(bottom * self.gain * gate, 1)
        if self.pooled:
            gate = self.gate(second, bottom)
            return bottom, gate, second, handed_down(gate, second)
        return bottom, gate, first, torch.maximum(first, second) if self.gate_reads == "inhibit" else second

    def forward_features(self, x: Tensor) -> Tensor:
        """The map of the last pass."""
        return self.passes(x)[-1]


def handed_down(gate: Tensor, features: Tensor) -> Tensor:
    """The gate's (B, 1, h, w) share at each place times the gate-weighted mean of the features (B, C, h, w)."""
    vector = (gate * features).sum((2, 3), keepdim=True) / (gate.sum((2, 3), keepdim=True) + EPSILON)
    # Pooling gives the vector back, whatever the area of the gate.
    return gate / (gate.mean((2, 3), keepdim=True) + EPSILON) * vector


class CrossStage(Method):
    """Losses of `CrossStageResNet`: cross-entropy of the last pass, and what the options add.

    Args:
        network: The network.
        first: Weight of the cross-entropy of the first pass.
        background: Weight of the background's loss: places that the gate closes shall not tell the class
            (cross-entropy with the uniform distribution). Of the kind of Wu et al., "Background Activation Suppression
            for Weakly Supervised Object Localization", CVPR 2022.
        area: Weight of the gate's mean, which keeps it from opening everywhere.
        **options: See `Method`.
    """

    def __init__(
        self, network: nn.Module, first: float = 0.0, background: float = 0.0, area: float = 0.0, **options: Any
    ) -> None:
        super().__init__(network, **options)
        self.first, self.background, self.area = first, background, area

    def forward(self, images: Tensor, targets: Tensor) -> MethodOutput:
        """See `Method.forward`."""
        network = self.network
        bottom, gate, first, last = network.passes(images)
        logits = network.forward_head(last)
        loss = self.criterion(logits, targets)
        if self.first:
            loss = loss + self.first * self.criterion(network.forward_head(first), targets)
        if self.background:
            closed = 1 - gate
            if network.pooled:
                vector = (closed * first).sum((2, 3)) / (closed.sum((2, 3)) + EPSILON)
                rest = network.fc(vector)
            else:
                rest = network.forward_head(network.last_stages(bottom * network.gain * closed, 1))
            loss = loss - self.background * F.log_softmax(rest, 1).mean()
        if self.area:
            loss = loss + self.area * gate.mean()
        return MethodOutput(loss, logits)


METHODS[METHOD] = CrossStage
default_cfgs = generate_default_cfgs({f"{NAME}.untrained": mini_cfgs["resnet_mini"].cfgs["untrained"].to_dict()})


@register_model
def resnet_mini_cross(pretrained: bool = False, **kwargs: Any) -> CrossStageResNet:
    """`resnet_mini` with feedback across stages."""
    arguments = {"block": UndilatedBlock, "layers": (1, 1, 1, 1), "channels": (24, 32, 48, 64), "output_stride": 8}
    return build_model_with_cfg(CrossStageResNet, NAME, pretrained, **dict(arguments, **kwargs))

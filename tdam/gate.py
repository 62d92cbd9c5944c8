"""A spatial gate over the whole last stage (TDAM2, ours), read from the map that the stage begins with.

    out = 2 sigmoid(w · x + b) * stage(x)

A residual block's shortcut passes around top-down attention, so background that an earlier stage marked stays in the
last map and in its class activation map. The gate stands after the shortcuts, where nothing passes around it. It is one
1x1 convolution to one channel; with w = b = 0, where it starts, it changes nothing. docs/minibirds.md measures it.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

GATE = "stage_gate"


class GatedStage(nn.Sequential):
    """A stage of blocks with a gate: `(B, C, h, w) -> (B, D, h', w')`. Made of a stage by `add_stage_gate`."""

    stage_gate: nn.Conv2d

    def forward(self, x: Tensor) -> Tensor:
        """Run the blocks, then scale every place of their output by the gate."""
        out = x
        for name, block in self.named_children():
            if name != GATE:
                out = block(out)
        gate = F.adaptive_avg_pool2d(2 * self.stage_gate(x).sigmoid(), (out.shape[-2], out.shape[-1]))
        # Where all steps run at once, the output holds them one after the other, and the input may hold one.
        return (out.unflatten(0, (-1, len(gate))) * gate).flatten(0, 1)

    def reset_gate(self) -> None:
        """Start at a gate that changes nothing."""
        nn.init.zeros_(self.stage_gate.weight)
        nn.init.zeros_(self.stage_gate.bias)  # type: ignore[arg-type]


def add_stage_gate(stage: nn.Module, channels: int) -> None:
    """Turn a stage into a `GatedStage`, in place; its blocks keep their names and weights.

    Args:
        stage: A Sequential of blocks.
        channels: C, of the stage's input.
    """
    # The subclass adds one child, so changing the class keeps weights, names and hooks.
    stage.__class__ = GatedStage
    stage.add_module(GATE, nn.Conv2d(channels, 1, 1))
    stage.reset_gate()  # type: ignore[operator]

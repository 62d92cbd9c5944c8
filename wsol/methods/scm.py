"""SCM: Spatial Calibration Module (Bai et al., ECCV 2022)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from wsol.methods.base import MethodOutput
from wsol.methods.diffusion import ActivationDiffusion, min_max, semantic_similarity
from wsol.methods.ts_cam import TSCAM
from wsol.transformers.attention_maps import summed_attention
from wsol.transformers.run import run_transformer


class SCM(TSCAM):
    """TS-CAM whose training spreads attention over the grid to places of like semantics.

    In training, blocks of `ActivationDiffusion` raise the semantic maps where the spread attention arrives; the
    gradient flows into the network through semantics and attention alike. In evaluation the blocks are skipped: maps
    are TS-CAM's, with attention stretched to [0, 1], and logits are the mean of the semantic maps.

    Args:
        network: See `TSCAM`.
        iterations: Newton-Schulz iterations of every block (DeiT in the authors' code: 16, 4, 4, 4).
        **options: See `Method`.

    Raises:
        UserError: As `TSCAM`.
    """

    name = "scm"

    def __init__(self, network: nn.Module, iterations: Sequence[int] = (16, 4, 4, 4), **options: Any) -> None:
        super().__init__(network, **options)
        self.layers = nn.ModuleList(ActivationDiffusion(count) for count in iterations)

    def forward(self, images: Tensor, targets: Tensor) -> MethodOutput:
        """Cross-entropy of the mean of the semantic maps after the last block."""
        run = run_transformer(self.network, images, differentiable=True, forward=self.network.forward_features)
        semantics = self.semantics(run.output, images)
        attention = run.layout.class_row(summed_attention(run.weights))
        with torch.autocast(images.device.type, enabled=False):
            logits = self.calibrate(at_least_float32(semantics), at_least_float32(attention))[0].mean((2, 3))
        return MethodOutput(self.criterion(logits, targets), logits)

    def calibrate(self, semantics: Tensor, attention: Tensor) -> tuple[Tensor, Tensor]:
        """Semantics ``(B, C, h, w)`` and activation ``(B, h * w)`` after all blocks, from attention ``(B, h, w)``."""
        similarity = semantic_similarity(semantics)
        activation = min_max(attention.flatten(1))
        for layer in self.layers:
            semantics, activation = layer(semantics, activation, similarity)
        return semantics, activation

    def coupled_attention(self, attention: Tensor) -> Tensor:
        """Attention ``(B, h, w)`` stretched to [0, 1] per image."""
        return min_max(attention.flatten(1)).view_as(attention)

    @classmethod
    def authors_options(cls, state: Mapping[str, Tensor], num_classes: int) -> dict[str, Any]:
        """As many blocks as the file holds, the first of 16 iterations."""
        blocks = sum(key.endswith(".thred") for key in state)
        return {"iterations": (16, *[4] * (blocks - 1))}

    @classmethod
    def is_authors_state(cls, state: Mapping[str, Tensor]) -> bool:
        """Whether weights have the names of the authors' checkpoints: TS-CAM's and the diffusion blocks'."""
        return super().is_authors_state(state) and "layers.0.thred" in state


def at_least_float32(values: Tensor) -> Tensor:
    """Half precision widened to float32; float32 and float64 as they are."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values

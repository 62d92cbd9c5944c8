"""CutMix (Yun et al., ICCV 2019)."""

from __future__ import annotations

from typing import Any

from timm.data import Mixup
from torch import Tensor, nn

from wsol.methods.base import Method, MethodOutput


class CutMix(Method):
    """Pastes a random box of another image of the batch and mixes the labels by area; timm's implementation.

    timm pairs image i with image B-1-i of the shuffled batch where the paper draws a permutation.

    Args:
        network: A classification network.
        beta: Both parameters of the Beta distribution of the area kept (wsolevaluation: 1).
        prob: Probability that a batch is mixed (wsolevaluation: 1).
        label_smoothing: See `Method`.
        **options: See `Method`.
    """

    def __init__(
        self, network: nn.Module, beta: float = 1.0, prob: float = 1.0, label_smoothing: float = 0.0, **options: Any
    ) -> None:
        super().__init__(network, label_smoothing=label_smoothing, **options)
        self.mix = Mixup(
            mixup_alpha=0.0,
            cutmix_alpha=beta,
            prob=prob,
            label_smoothing=label_smoothing,
            num_classes=network.num_classes,
        )

    def forward(self, images: Tensor, targets: Tensor) -> MethodOutput:
        """Loss on mixed images ``(B, 3, H, W)`` and mixed labels; B is even."""
        # timm mixes in place.
        return super().forward(*self.mix(images.clone(), targets))

"""Thresholded average pooling (Bae et al., "Rethinking Class Activation Mapping", ECCV 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

import tdam
from tdam.errors import UserError
from wsol.cam import ClassActivationMaps
from wsol.methods.authors import vgg_layer
from wsol.methods.base import MethodOutput, OwnMaps
from wsol.methods.initial import he_fan_out, initialise_convolutions


class TAP(OwnMaps):
    """Average pooling, in training and at test, over the places where a channel is well above zero alone.

    Under global average pooling a small object weighs less than a large one; this pools each channel over the places
    above a share of its maximum. The map is the classifier's weights over all features, not the thresholded ones. The
    paper reads it with negative weights left out and a percentile as threshold.

    Args:
        network: A classification network with global pooling and one linear classifier.
        threshold: Share of a channel's maximum that a place must exceed (paper: 0.1 for VGG-16 on CUB; values for other
            networks are not published).
        width: Channels of a 3x3 convolution with ReLU before pooling, with a classifier of its own; 0: none, the
            network's classifier stays (paper, VGG-16: 1024).
        backbone_gradient: Factor on the gradients of everything before that convolution and the classifier (paper:
            0.1).
        **options: See `Method`; supervision of every step is not part of this method.

    Raises:
        UserError: If the threshold is not in [0, 1), or the classifier does not weigh pooled features.
    """

    own_map_methods = ("cam", "nwc")
    authors_key = "main_layers.0.weight"
    authors_classifiers = ("fc.weight", "conv.weight")
    authors_names = (
        (r"main_layers\.30\.", "convolution.0."),
        (r"main_layers\.(\d+)\.", lambda found: f"network.{vgg_layer(int(found[1]))}."),
        (r"(fc|conv)\.", "classifier."),
    )
    classifier_std = 0.01

    def __init__(
        self,
        network: nn.Module,
        threshold: float = 0.1,
        width: int = 0,
        backbone_gradient: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(network, **options)
        if not 0 <= threshold < 1:
            raise UserError(f"method tap: threshold must lie in [0, 1), got {threshold}")
        self.threshold = threshold
        self.backbone_gradient = backbone_gradient
        classifier = self.network.get_classifier()
        if not isinstance(classifier, nn.Linear):
            raise UserError(
                f"method tap needs a linear classifier; {type(network).__name__} has {type(classifier).__name__}"
            )
        self.convolution: nn.Module = nn.Identity()
        self.classifier: nn.Linear | None = None
        if width:
            self.convolution = nn.Sequential(nn.Conv2d(classifier.in_features, width, 3, padding=1), nn.ReLU())
            initialise_convolutions(self.convolution, he_fan_out)
            self.classifier = nn.Linear(width, classifier.out_features)
            nn.init.normal_(self.classifier.weight, 0, self.classifier_std)
            nn.init.zeros_(self.classifier.bias)
            classifier.requires_grad_(False)

    @classmethod
    def authors_options(cls, state: Mapping[str, Tensor], num_classes: int) -> dict[str, Any]:
        """Width of the convolution before pooling."""
        return {"width": len(state["main_layers.30.weight"])}

    def forward(self, images: Tensor, targets: Tensor) -> MethodOutput:
        """Cross-entropy of the logits from thresholded pooling."""
        features = self._features(self.network, images)
        logits = self._linear(self.network)(thresholded_average(features, self.threshold))
        return MethodOutput(self.criterion(logits, targets), logits)

    @torch.no_grad()
    def class_activation_maps(
        self, images: Tensor, class_ids: Tensor | None = None, method: str = "cam"
    ) -> ClassActivationMaps:
        """The classifier's weights over the features ``(T, B, h, w)``, without threshold, and logits of every step.

        By the method "nwc" without the negative weights.
        """
        steps = [tdam.at_step(self.network, t) for t in range(1, tdam.num_steps(self.network) + 1)]
        features = torch.stack([self._features(stopped, images) for stopped in steps])
        linear = self._linear(self.network)
        logits = torch.stack([linear(thresholded_average(of_step, self.threshold)) for of_step in features])
        classes = logits.argmax(2) if class_ids is None else class_ids.expand(logits.shape[:2])
        weight = linear.weight.clamp_min(0) if method == "nwc" else linear.weight
        maps = torch.einsum("tbd,tbdhw->tbhw", weight[classes], features)
        return ClassActivationMaps(maps.float(), classes, logits)

    def _features(self, network: nn.Module, images: Tensor) -> Tensor:
        whole: Any = network
        features = tdam.steps.classifier_features(network, whole.forward_features(images))
        # The value stays; the gradient that goes on into the network is scaled.
        scale = self.backbone_gradient
        features = features if scale == 1 else scale * features + (1 - scale) * features.detach()
        return self.convolution(features)

    def _linear(self, network: nn.Module) -> nn.Linear:
        return self.classifier or cast(Any, network).get_classifier()


def thresholded_average(features: Tensor, threshold: float) -> Tensor:
    """Mean of each channel over the places above ``threshold`` times its maximum, and above 0.

    Args:
        features: ``(B, D, h, w)``.
        threshold: Share in [0, 1).

    Returns:
        ``(B, D)``; 0 where no place is left. The number of places has no gradient.
    """
    kept = (features > threshold * features.amax((2, 3), keepdim=True)) & (features > 0)
    number = kept.sum((2, 3)).clamp_min(1)
    return (features * kept).sum((2, 3)) / number

"""Adversarial Complementary Learning (Zhang et al., CVPR 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

import tdam
from wsol.cam import ClassActivationMaps
from wsol.methods.base import MethodOutput, OwnMaps
from wsol.methods.initial import he_fan_out, initialise_convolutions
from wsol.methods.stages import is_vgg


class ACoL(OwnMaps):
    """Two classifiers on the features; the second sees them without what the first attends to.

    The heads are wsolevaluation's: 3x3, ReLU, 3x3, ReLU, 1x1 to the classes, then average pooling. They replace the
    network's own classifier, so this module as a whole is what is saved and evaluated. The map of a class is the
    larger of both heads' min-max normalized maps.

    Args:
        network: A classification network.
        threshold: Places whose normalized map of head A reaches it are erased for head B (wsolevaluation: 0.7).
        width: Channels of the heads' hidden layers (wsolevaluation: 1024).
        **options: See `Method`; supervision of every step is not part of this method.

    Raises:
        UserError: If supervision of every step is asked for.
    """

    authors_strides: ClassVar[Mapping[str, int]] = {"layer4": 1}
    authors_key = "classifier_A.0.weight"
    authors_classifiers = ("classifier_A.4.weight",)
    authors_names = ((r"classifier_A\.", "head_a."), (r"classifier_B\.", "head_b."), (r"", "network."))

    def __init__(self, network: nn.Module, threshold: float = 0.7, width: int = 1024, **options: Any) -> None:
        super().__init__(network, **options)
        self.threshold = threshold
        num_classes, channels = tdam.steps.classifier_weight(network).shape
        # Not used, hence not trained: DistributedDataParallel waits for the gradient of every trained parameter.
        self.network.get_classifier().requires_grad_(False)
        # wsolevaluation initialises the heads of its VGG-16 otherwise than those of its ResNet-50.
        initialise = nn.init.xavier_uniform_ if is_vgg(network) else he_fan_out
        self.head_a, self.head_b = (conv_head(channels, width, num_classes) for _ in range(2))
        initialise_convolutions(self.head_a, initialise)
        initialise_convolutions(self.head_b, initialise)

    @classmethod
    def authors_options(cls, state: Mapping[str, Tensor], num_classes: int) -> dict[str, Any]:
        """The heads' width."""
        return {"width": len(state[cls.authors_key])}

    def forward(self, images: Tensor, targets: Tensor) -> MethodOutput:
        """Sum of both heads' cross-entropies; the logits are head A's."""
        network = self.network
        features = tdam.steps.classifier_features(network, network.forward_features(images))
        maps_a, maps_b = self._class_maps(features, class_ids(targets))
        logits, logits_b = maps_a.mean((2, 3)), maps_b.mean((2, 3))
        return MethodOutput(self.criterion(logits, targets) + self.criterion(logits_b, targets), logits)

    @torch.no_grad()
    def class_activation_maps(self, images: Tensor, class_ids: Tensor | None = None) -> ClassActivationMaps:
        """The larger of both heads' normalized maps ``(T, B, h, w)``, and head A's logits, of every step."""
        features = tdam.forward_steps(self.network, images).features
        steps, batch = features.shape[:2]
        features = features.flatten(0, 1)
        logits = self.head_a(features).mean((2, 3))
        classes = logits.argmax(1) if class_ids is None else class_ids.expand(steps, batch).flatten()
        both = [normalize_maps(select_class(maps, classes)) for maps in self._class_maps(features, classes)]
        maps = torch.maximum(*both).unflatten(0, (steps, batch))
        return ClassActivationMaps(maps.float(), classes.view(steps, batch), logits.unflatten(0, (steps, batch)))

    def _class_maps(self, features: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Class maps ``(B, C, h, w)`` of head A, and of head B on what A leaves of the features."""
        maps_a = self.head_a(features)
        attention = normalize_maps(select_class(maps_a.detach(), classes))
        return maps_a, self.head_b(features * (attention < self.threshold).unsqueeze(1))


def conv_head(channels: int, width: int, num_classes: int) -> nn.Sequential:
    """Fully convolutional classifier ``(B, channels, h, w)`` -> ``(B, num_classes, h, w)``."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, num_classes, 1),
    )


def class_ids(targets: Tensor) -> Tensor:
    """Class ids ``(B,)`` of targets, the likeliest class of mixtures."""
    return targets.argmax(1) if targets.is_floating_point() else targets


def select_class(maps: Tensor, classes: Tensor) -> Tensor:
    """Map ``(B, h, w)`` of each image's class from ``(B, C, h, w)``."""
    return maps[torch.arange(len(maps), device=maps.device), classes]


def normalize_maps(maps: Tensor) -> Tensor:
    """Min-max of each map ``(B, h, w)`` to [0, 1]; a constant map becomes zeros."""
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / (high - low).clamp_min(torch.finfo(maps.dtype).tiny)

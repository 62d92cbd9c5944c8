"""Self-produced Guidance (Zhang et al., ECCV 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tdam
from tdam.errors import UserError
from tdam.families.vgg import VGGGap
from wsol.methods.acol import class_ids, normalize_maps
from wsol.methods.base import Method, MethodOutput, refuse_step_losses
from wsol.methods.initial import initialise_convolutions
from wsol.methods.stages import block_names, named_module, output_channels, stage_names

FEWEST_FOREGROUND = 30
UNSURE = -1.0


class SPG(Method):
    """Heads on earlier features learn masks that the attention of later ones produces.

    The class map of the network's own classifier guides head B2; B2 guides B1; the mean of B1 and B2 guides C.
    Confident foreground and background of a guide supervise, what lies between does not. The heads are
    wsolevaluation's: a 3x3 convolution with ReLU each for B1 and B2, then a shared 3x3, ReLU, 1x1 to one map;
    C is 3x3, ReLU, 1x1. They serve training alone: maps come from the network's classifier.

    Args:
        network: A classification network.
        thresholds: (high, low) of the guides for B2, B1 and C (wsolevaluation: .7 .01, .5 .05, .7 .1).
        layers: Names of the modules whose outputs B1 and B2 see; empty: as wsolevaluation does, see `default_layers`.
        width: Channels of head C's hidden layer (wsolevaluation: 512), at most the network's own.
        **options: See `Method`; supervision of every step is not part of this method.

    Raises:
        UserError: If supervision of every step is asked for, or `layers` are not two.
    """

    classifier_std = 0.01
    authors_strides: ClassVar[Mapping[str, int]] = {"layer4": 1}
    authors_key = "SPG_A4.weight"
    authors_classifiers = (authors_key,)
    # wsolevaluation's ResNet-50 holds its last stage but one in two parts.
    authors_names = (
        (r"SPG_A1\.", "network.layer3."),
        (r"SPG_A2\.(\d+)", lambda found: f"network.layer3.{int(found[1]) + 1}"),
        (r"SPG_A4\.", "network.fc."),
        (r"SPG_B_1a\.", "b1."),
        (r"SPG_B_2a\.", "b2."),
        (r"SPG_B_shared\.0\.", "b_shared.0.0."),
        (r"SPG_B_shared\.2\.", "b_shared.1."),
        (r"SPG_C\.0\.", "c.0.0."),
        (r"SPG_C\.2\.", "c.1."),
        (r"", "network."),
    )

    def __init__(
        self,
        network: nn.Module,
        thresholds: Sequence[Sequence[float]] = ((0.7, 0.01), (0.5, 0.05), (0.7, 0.1)),
        layers: Sequence[str] = (),
        width: int = 512,
        **options: Any,
    ) -> None:
        super().__init__(network, **options)
        refuse_step_losses(self)
        self.thresholds = tuple((float(high), float(low)) for high, low in thresholds)
        self.layers = tuple(layers) or default_layers(network)
        if len(self.layers) != 2 or len(self.thresholds) != 3:
            raise UserError("method spg needs two layers and three pairs of thresholds")
        self._seen: dict[str, Tensor] = {}
        for name in self.layers:
            named_module(network, name).register_forward_hook(self._keep(name))
        early, late = output_channels(network, self.layers)
        final = tdam.steps.classifier_weight(network).shape[1]
        self.b1, self.b2 = _conv_relu(early, late), _conv_relu(late, late)
        self.b_shared = nn.Sequential(_conv_relu(late, late), nn.Conv2d(late, 1, 1))
        width = min(width, final)
        self.c = nn.Sequential(_conv_relu(final, width), nn.Conv2d(width, 1, 1))
        for head in (self.b1, self.b2, self.b_shared, self.c):
            initialise_convolutions(head, nn.init.xavier_uniform_)

    def forward(self, images: Tensor, targets: Tensor) -> MethodOutput:
        """Cross-entropy of the label plus the three mask losses."""
        network, size = self.network, images.shape[-2:]
        features = network.forward_features(images)
        logits = network.forward_head(features)
        features = tdam.steps.classifier_features(network, features)
        early, late = (self._seen.pop(name) for name in self.layers)
        map_b1, map_b2, map_c = (
            upsample(maps, size)
            for maps in (self.b_shared(self.b1(early)), self.b_shared(self.b2(late)), self.c(features))
        )
        weights = tdam.steps.classifier_weight(network)[class_ids(targets)]
        attention = upsample(torch.einsum("bd,bdhw->bhw", weights, features).unsqueeze(1), size).detach()
        guides = (
            normalize_maps(attention),
            map_b2.detach().sigmoid(),
            (map_b1.detach().sigmoid() + map_b2.detach().sigmoid()) / 2,
        )
        loss = self.criterion(logits, targets)
        for learner, guide, (high, low) in zip((map_b2, map_b1, map_c), guides, self.thresholds, strict=True):
            loss = loss + guided_loss(learner, guide, high, low)
        return MethodOutput(loss, logits)

    def _keep(self, name: str) -> Any:
        def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if module.training:
                self._seen[name] = output

        return keep


def default_layers(network: nn.Module) -> tuple[str, str]:
    """Where wsolevaluation attaches B1 and B2.

    ResNet-50: the first block of the last but one stage, and that stage's end. Where the stage is one block, B1 sees
    the end of the stage before. VGG-16: relu4_3 and relu5_3.

    Raises:
        UserError: If the network does not tell its stages.
    """
    if isinstance(network, VGGGap):
        return "features.stage4", "features.stage5"
    *_, earlier, stage, _ = stage_names(network)
    first = block_names(network, stage)[0]
    return (earlier if len(block_names(network, stage)) == 1 else first), stage


def guided_loss(logits: Tensor, guide: Tensor, high: float, low: float) -> Tensor:
    """Binary cross-entropy of logits ``(B, h, w)`` with the confident pixels of a guide ``(B, h, w)`` in [0, 1]."""
    mask = confident_mask(guide, high, low)
    sure = mask != UNSURE
    return F.binary_cross_entropy_with_logits(promoted(logits[sure]), promoted(mask[sure]))


def confident_mask(guide: Tensor, high: float, low: float) -> Tensor:
    """1 above `high`, 0 below `low`, `UNSURE` between.

    Where fewer than 30 pixels of an image are above `high`, those above 0.7 times its maximum are foreground
    (wsolevaluation). Background wins where both hold.
    """
    foreground = guide > high
    few = foreground.sum((1, 2), keepdim=True) < FEWEST_FOREGROUND
    foreground = torch.where(few, guide > 0.7 * guide.amax((1, 2), keepdim=True), foreground)
    mask = torch.full_like(guide, UNSURE)
    mask[foreground] = 1.0
    mask[guide < low] = 0.0
    return mask


def promoted(values: Tensor) -> Tensor:
    """Values in float32 at least: the logarithm under autocast would not bear less."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def upsample(maps: Tensor, size: torch.Size) -> Tensor:
    """Bilinear ``(B, 1, h, w)`` to ``(B, H, W)``."""
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False).squeeze(1)


def _conv_relu(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), nn.ReLU())

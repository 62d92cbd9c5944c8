"""Self-produced Guidance (Zhang et al., ECCV 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from timm.data import resolve_model_data_config
from torch import Tensor, nn

import tdam
from tdam.errors import UserError
from wsol.methods.acol import class_ids, normalize_maps
from wsol.methods.base import Method, MethodOutput
from wsol.methods.stages import block_names, named_module, stage_names

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
        layers: Names of the modules whose outputs B1 and B2 see; empty: as wsolevaluation does for ResNet-50, the
            first block of the last but one stage, and that stage's end. Where the stage is one block, B1 sees the
            end of the stage before.
        **options: See `Method`; supervision of every step is not part of this method.

    Raises:
        UserError: If supervision of every step is asked for, or `layers` are not two.
    """

    def __init__(
        self,
        network: nn.Module,
        thresholds: Sequence[Sequence[float]] = ((0.7, 0.01), (0.5, 0.05), (0.7, 0.1)),
        layers: Sequence[str] = (),
        **options: Any,
    ) -> None:
        super().__init__(network, **options)
        if self.step_loss_weights or self.step_diversity:
            raise UserError("method spg has losses of its own: leave step_loss_weights and step_diversity alone")
        self.thresholds = tuple((float(high), float(low)) for high, low in thresholds)
        self.layers = tuple(layers) or default_layers(network)
        if len(self.layers) != 2 or len(self.thresholds) != 3:
            raise UserError("method spg needs two layers and three pairs of thresholds")
        self._seen: dict[str, Tensor] = {}
        for name in self.layers:
            named_module(network, name).register_forward_hook(self._keep(name))
        early, late = _channels(network, self.layers)
        final = tdam.steps.classifier_weight(network).shape[1]
        self.b1, self.b2 = _conv_relu(early, late), _conv_relu(late, late)
        self.b_shared = nn.Sequential(_conv_relu(late, late), nn.Conv2d(late, 1, 1))
        self.c = nn.Sequential(_conv_relu(final, max(final // 4, 1)), nn.Conv2d(max(final // 4, 1), 1, 1))

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
    """Where B1 and B2 attach, see `SPG`.

    Raises:
        UserError: If the network does not tell its stages.
    """
    *_, earlier, stage, _ = stage_names(network)
    first = block_names(network, stage)[0]
    return (earlier if len(block_names(network, stage)) == 1 else first), stage


def guided_loss(logits: Tensor, guide: Tensor, high: float, low: float) -> Tensor:
    """Binary cross-entropy of logits ``(B, h, w)`` with the confident pixels of a guide ``(B, h, w)`` in [0, 1]."""
    mask = confident_mask(guide, high, low)
    sure = mask != UNSURE
    return F.binary_cross_entropy_with_logits(logits[sure].float(), mask[sure].float())


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


def upsample(maps: Tensor, size: torch.Size) -> Tensor:
    """Bilinear ``(B, 1, h, w)`` to ``(B, H, W)``."""
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False).squeeze(1)


def _conv_relu(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), nn.ReLU())


def _channels(network: nn.Module, layers: Sequence[str]) -> list[int]:
    """Channels of modules' outputs, seen by one small image."""
    found: dict[str, int] = {}

    def look(name: str) -> Any:
        return lambda module, inputs, output: found.__setitem__(name, output.shape[1])

    hooks = [named_module(network, name).register_forward_hook(look(name)) for name in layers]
    training = network.training
    parameter = next(network.parameters())
    input_size = resolve_model_data_config(network)["input_size"]
    with torch.no_grad():
        network.eval()(torch.zeros(1, *input_size, device=parameter.device))
    network.train(training)
    for hook in hooks:
        hook.remove()
    return [found[name] for name in layers]

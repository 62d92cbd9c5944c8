"""C2AM: contrastive learning of a class-agnostic activation map (Xie et al., CVPR 2022)."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.distributed
import torch.nn.functional as F
from torch import Tensor, nn

import tdam
from tdam.strides import set_strides
from wsol.cam import ClassActivationMaps
from wsol.methods.base import MethodOutput, OwnMaps
from wsol.methods.stages import cut_before_last_stage, output_channels, run_modules

LIMITS = (0.0005, 0.9995)


class C2AM(OwnMaps):
    """A map of the foreground, the same for every class, learned without labels by contrast.

    Two maps P and 1 - P pool the features into a foreground and a background vector of every image; the two kinds are
    pushed apart, each kind is pulled together, near neighbours most. P is a 3x3 convolution, a batch norm and a sigmoid
    on the last two stages' features, the last stage without stride and without dilation. Which of P and 1 - P is the
    foreground is decided once, in the first epoch: the one that covers less of the first image's border (of that
    epoch's last batch) counts.

    Labels do not reach the map or the network. The network's own classifier learns them on detached features, beside
    the method, so that there are logits; the loss reported is the method's alone.

    Args:
        network: A classification network whose stages run one after the other; begun from supervised or
            self-supervised weights.
        alpha: How much less a neighbour of the next rank is pulled (ILSVRC, and CUB from supervised weights: 0.05;
            CUB from MoCo or DetCo: 0.75; the authors' default: 0.25).
        **options: See `Method`; supervision of every step is not part of this method.

    Raises:
        UserError: If the network cannot be cut before its last stage.
    """

    authors_key = "ac_head.activation_head.weight"
    authors_names = (
        (r"backbone\.", "network."),
        (r"ac_head\.activation_head\.", "activation."),
        (r"ac_head\.bn_head\.", "norm."),
    )
    complement: Tensor
    """Whether 1 - P is the foreground, bool ``()``."""
    decided: Tensor
    """Whether `complement` is fixed, bool ``()``."""

    def __init__(self, network: nn.Module, alpha: float = 0.25, **options: Any) -> None:
        super().__init__(network, **options)
        self.alpha = alpha
        self.cut = cut_before_last_stage(network)
        last = [name for name in self.cut.high if not isinstance(network.get_submodule(name), nn.MaxPool2d)]
        set_strides(network, dict.fromkeys(last, 1))
        low, high = output_channels(network, (self.cut.low[-1], self.cut.high[-1]))
        self.activation = nn.Conv2d(high + low, 1, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(1)
        classifier = self.network.get_classifier()
        names = (name for name, module in network.named_modules() if module is classifier)
        self.optional_parts = tuple(f"network.{name}." for name in names)
        self.register_buffer("complement", torch.tensor(True))
        self.register_buffer("decided", torch.tensor(False))

    def forward(self, images: Tensor, targets: Tensor) -> MethodOutput:
        """The contrast of foreground and background; `targets` train the classifier alone."""
        high, features = self._features(self.network, images)
        activation = self._activation(features)
        share, values = activation.flatten(1), features.flatten(2)
        places = share.shape[1]
        foreground, background = (torch.einsum("bp,bdp->bd", one, values) / places for one in (share, 1 - share))
        loss = contrast_loss(foreground, background, self.alpha)
        if self.training and not self.decided:
            self.complement.copy_(covers_border(activation[0].detach()))
        logits = self.network.forward_head(high.detach())
        classified = self.criterion(logits, targets)
        return MethodOutput(loss + classified - classified.detach(), logits)

    def finish_epoch(self) -> None:
        """After the first epoch it is decided which map is the foreground; all processes take the first one's word."""
        if not self.decided and torch.distributed.is_initialized():
            torch.distributed.broadcast(self.complement, 0)
        self.decided.fill_(True)

    @torch.no_grad()
    def class_activation_maps(self, images: Tensor, class_ids: Tensor | None = None) -> ClassActivationMaps:
        """The foreground's map ``(T, B, h, w)`` in [0, 1], the same for every class, and logits of every step."""
        maps, logits = [], []
        for step in range(1, tdam.num_steps(self.network) + 1):
            stopped = tdam.at_step(self.network, step)
            high, features = self._features(stopped, images)
            activation = self._activation(features)
            maps.append(torch.where(self.complement, 1 - activation, activation))
            logits.append(cast(Any, stopped).forward_head(high))
        every = torch.stack(logits)
        classes = every.argmax(2) if class_ids is None else class_ids.expand(every.shape[:2])
        return ClassActivationMaps(torch.stack(maps).float(), classes, every)

    def _features(self, network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
        """The last stage's features, and both stages' side by side (the last one first)."""
        low = run_modules(network, self.cut.low, images)
        high = run_modules(network, self.cut.high, low)
        return high, torch.cat([high, F.adaptive_avg_pool2d(low, (high.shape[2], high.shape[3]))], dim=1)

    def _activation(self, features: Tensor) -> Tensor:
        return self.norm(self.activation(features)).sigmoid().squeeze(1)


def covers_border(activation: Tensor) -> Tensor:
    """Whether more than half of the border of a map ``(h, w)`` lies above 0.5, bool ``()``; mean of the four sides."""
    above = (activation > 0.5).to(activation.dtype)
    sides = torch.stack([side.mean() for side in (above[0], above[-1], above[:, 0], above[:, -1])])
    return sides.mean() > 0.5


def contrast_loss(foreground: Tensor, background: Tensor, alpha: float) -> Tensor:
    """Pulls foregrounds together and backgrounds together, and pushes the two kinds apart.

    Args:
        foreground: Foreground vectors ``(B, D)``.
        background: Background vectors ``(B, D)``.
        alpha: See `C2AM`.
    """
    apart = -(1 - similarity(background, foreground)).log().mean()
    return attraction(background, alpha) + apart + attraction(foreground, alpha)


def attraction(vectors: Tensor, alpha: float) -> Tensor:
    """Mean over all pairs of ``-log`` similarity, weighted by ``exp(-alpha * (rank - 1))``.

    Ranks are of a row's similarities from 0, the highest first: each vector itself comes first, with weight
    ``exp(alpha)``, as in the authors' code.
    """
    close = similarity(vectors, vectors)
    ranks = close.detach().argsort(stable=True, dim=1, descending=True).argsort(1)
    weights = torch.exp(-alpha * (ranks.to(close.dtype) - 1))
    return (weights * -close.log()).mean()


def similarity(a: Tensor, b: Tensor) -> Tensor:
    """Cosines ``(B, B)`` of vectors ``(B, D)``, cut to [0.0005, 0.9995], without gradient where they are cut."""
    return (F.normalize(a, dim=1) @ F.normalize(b, dim=1).T).clamp(*LIMITS)

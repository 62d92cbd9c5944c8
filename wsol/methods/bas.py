"""Background Activation Suppression (Wu et al., CVPR 2022; Zhai et al., IJCV 2023)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

import tdam
from tdam.errors import UserError, check_name
from wsol.cam import ClassActivationMaps
from wsol.methods.acol import class_ids, select_class
from wsol.methods.authors import vgg_convolution
from wsol.methods.base import MethodOutput, OwnMaps
from wsol.methods.initial import initialise_convolutions
from wsol.methods.stages import cut_before_last_stage, is_vgg, output_channels, remove_last_strides, run_modules

RATIOS = ("cub", "ilsvrc")


class BAS(OwnMaps):
    """A generator learns the foreground whose removal takes most of the class's activation away, with the least area.

    The network is cut before its last stage: the first part at stride 8, a 2x2 max pooling, the last stage without
    stride, nothing dilated (ResNet-50 at 224 px: 28x28 and 14x14). The class maps come from a head of
    3x3, ReLU, 3x3, ReLU, 1x1, ReLU, their means are the logits; the generator is one 3x3 convolution with a sigmoid on
    the first part's output, one foreground map per class.

    Args:
        network: A classification network whose stages run one after the other.
        second_weight: Weight of the cross-entropy of the logits from foreground maps times class maps (the paper's
            lambda; CUB: ResNet-50 0.5, VGG-16 0; ILSVRC: 1 and 0.05).
        area_weight: Weight of the foreground's area (the paper's alpha; CUB: 1.2 and 0.7; ILSVRC: 2 and 1).
        top_classes: At test, 1: the foreground map of the class asked for; more: the mean over this many classes with
            the highest logits of the image, which does not depend on the class asked for (CUB: ResNet-50 200,
            VGG-16 80; ILSVRC: 1).
        ratio: "cub" or "ilsvrc": whether an activation that erasing leaves equal counts as 0 or 1, the one
            arithmetic difference of the authors' two versions.
        width: Channels of the head's hidden layers.
        **options: See `Method`; supervision of every step is not part of this method.

    Raises:
        UnknownNameError: If `ratio` is unknown.
        UserError: If the network cannot be cut before its last stage.
    """

    authors_key = "classifier_loc.0.weight"
    authors_classifiers = (authors_key,)
    # Copies are those of the erased pass. The InceptionV3 of CUB calls the head "classifier".
    authors_names = (
        (r".*_copy", None),
        (r"classifier_loc\.", "generator."),
        (r"classifier(_cls)?\.", "head."),
        (r"conv(\d)_(\d)\.", lambda found: f"network.{vgg_convolution(int(found[1]), int(found[2]))}."),
        (r"", "network."),
    )

    def __init__(
        self,
        network: nn.Module,
        second_weight: float = 0.5,
        area_weight: float = 1.2,
        top_classes: int = 1,
        ratio: str = "cub",
        width: int = 1024,
        **options: Any,
    ) -> None:
        super().__init__(network, **options)
        check_name("ratio of method bas", ratio, RATIOS)
        if not 1 <= top_classes <= self.num_classes:
            raise UserError(f"method bas: top_classes must be 1 to {self.num_classes}, got {top_classes}")
        self.second_weight, self.area_weight = second_weight, area_weight
        self.top_classes = top_classes
        self.equal_counts_as_zero = ratio == "cub"
        self.network.get_classifier().requires_grad_(False)
        self.cut = cut_before_last_stage(network)
        remove_last_strides(network, self.cut)
        # VGG's last stage begins with a pooling of its own.
        pools = isinstance(network.get_submodule(self.cut.high[0]), nn.MaxPool2d)
        self.pool = nn.Identity() if pools else nn.MaxPool2d(2)

        low, high = output_channels(network, (self.cut.low[-1], self.cut.high[-1]))
        self.head = nn.Sequential(
            nn.Conv2d(high, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, self.num_classes, 1),
            nn.ReLU(),
        )
        self.generator = nn.Sequential(nn.Conv2d(low, self.num_classes, 3, padding=1), nn.Sigmoid())
        initialise = partial(nn.init.normal_, std=0.02) if is_vgg(network) else nn.init.xavier_uniform_
        initialise_convolutions(self.head, initialise)
        initialise_convolutions(self.generator, initialise)

    @classmethod
    def authors_options(cls, state: Mapping[str, Tensor], num_classes: int) -> dict[str, Any]:
        """The head's width, and at test the mean over as many classes as the authors take for CUB's 200."""
        head = next(value for key, value in state.items() if re.match(r"classifier(_cls)?\.0\.weight", key))
        of_cub = 80 if "conv1_1.weight" in state else 200
        return {"width": len(head), "top_classes": of_cub if num_classes == 200 else 1}

    def forward(self, images: Tensor, targets: Tensor) -> MethodOutput:
        """Sum of both cross-entropies, the activation that erasing leaves, and the area."""
        classes = class_ids(targets)
        low = run_modules(self.network, self.cut.low, images)
        class_maps = self._class_maps(self.network, low)
        logits = class_maps.mean((2, 3))
        foreground = select_class(self.generator(low), classes).unsqueeze(1)
        second = (class_maps * F.avg_pool2d(foreground, 2)).mean((2, 3))
        left = self._activation_left(low.detach() * (1 - foreground), classes)
        ratio = suppression(left, select_logit(logits.detach(), classes), self.equal_counts_as_zero)
        loss = (
            self.criterion(logits, targets)
            + self.second_weight * self.criterion(second, targets)
            + (ratio + self.area_weight * foreground.mean((1, 2, 3))).mean()
        )
        return MethodOutput(loss, logits)

    @torch.no_grad()
    def class_activation_maps(self, images: Tensor, class_ids: Tensor | None = None) -> ClassActivationMaps:
        """Foreground maps ``(T, B, h, w)`` in [0, 1] and logits of every step.

        The generator sees what comes before the last stage, so steps differ in their classes alone.
        """
        low = run_modules(self.network, self.cut.low, images)
        steps = range(1, tdam.num_steps(self.network) + 1)
        logits = torch.stack([self._class_maps(tdam.at_step(self.network, t), low).mean((2, 3)) for t in steps])
        classes = logits.argmax(2) if class_ids is None else class_ids.expand(logits.shape[:2])
        shown = logits.topk(self.top_classes).indices if self.top_classes > 1 else classes.unsqueeze(2)
        every = self.generator(low)
        images_of = torch.arange(len(images), device=low.device).view(1, -1, 1)
        return ClassActivationMaps(every[images_of, shown].mean(2).float(), classes, logits)

    def _class_maps(self, network: nn.Module, low: Tensor) -> Tensor:
        return self.head(run_modules(network, self.cut.high, self.pool(low)))

    def _activation_left(self, erased: Tensor, classes: Tensor) -> Tensor:
        """The class's logit ``(B,)`` on features with the foreground erased.

        The gradient reaches the foreground and no weight of the last stage or the head. Batch norms use this pass's own
        statistics and do not keep them.
        """
        last = nn.Sequential(self.pool, *map(self.network.get_submodule, self.cut.high), self.head)
        frozen = {name: value.detach() for name, value in last.named_parameters()}
        frozen |= {name: value.clone() for name, value in last.named_buffers()}
        maps: Tensor = functional_call(last, frozen, (erased,))
        return select_class(maps, classes).mean((1, 2))


def select_logit(logits: Tensor, classes: Tensor) -> Tensor:
    """Logit ``(B,)`` of each image's class from ``(B, C)``."""
    return logits[torch.arange(len(logits), device=logits.device), classes]


def suppression(left: Tensor, full: Tensor, equal_counts_as_zero: bool) -> Tensor:
    """Share ``(B,)`` of the activation that erasing the foreground leaves; 0, without gradient, where it grew.

    Args:
        left: Activation ``(B,)`` with the foreground erased.
        full: Activation ``(B,)`` of the whole features.
        equal_counts_as_zero: Whether equal activations count as grown.
    """
    grown = left >= full if equal_counts_as_zero else left > full
    return torch.where(grown, torch.zeros_like(left), left / (full + 1e-8))

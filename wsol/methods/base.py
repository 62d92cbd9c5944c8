"""What every training method is: a module around a network whose forward returns the loss.

The loss is computed inside ``forward`` so that one wrapper (DistributedDataParallel, autocast) sees the whole of it,
whatever extra heads and hooks a method has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tdam
from tdam.errors import UserError
from tdam.families.vgg import refuse_single_place
from wsol.cam import ClassActivationMaps, class_activation_maps
from wsol.methods.authors import Names, rename
from wsol.networks.outputs import logits_of


class MethodOutput(NamedTuple):
    """Loss of a batch (scalar) and the logits ``(B, C)`` that the network would predict with."""

    loss: Tensor
    logits: Tensor


class Method(nn.Module):
    """Plain training for class activation maps (Zhou et al., CVPR 2016): cross-entropy on the image label.

    The other methods change what this one does.

    Args:
        network: A classification network.
        label_smoothing: Probability spread evenly over all classes.
        step_loss_weights: Weight of the cross-entropy of every step's logits, first step first; empty: the last
            step alone, which costs one forward pass instead of T.
        step_diversity: Weight of `step_likeness`.

    Raises:
        UserError: If the weights are not one per step of the network, or there are no two steps to tell apart.
    """

    authors_key: ClassVar[str] = ""
    """Name of a tensor by which a file of the reference implementation is told; empty: there is no such file."""

    authors_lack: ClassVar[str] = ""
    """Name of a tensor that such a file lacks."""

    authors_names: ClassVar[Names] = ()
    """Our names for its tensors, see `wsol.methods.authors.rename`."""

    authors_classifiers: ClassVar[tuple[str, ...]] = ()
    """Names of tensors there whose first axis are the classes, one of which such a file has."""

    authors_strides: ClassVar[Mapping[str, int]] = {}
    """Stages that the reference implementation's network runs without stride, see `tdam.strides`."""

    optional_parts: tuple[str, ...] = ()
    """Beginnings of names of trained tensors that such a file may do without."""

    classifier_std: ClassVar[float | None] = None
    """Standard deviation of a new classifier's weights, its biases 0; None: as the network initialises it."""

    network: Any
    """The network; its class decides what else it has (timm's `forward_features`, `get_classifier`, …)."""

    def __init__(
        self,
        network: nn.Module,
        label_smoothing: float = 0.0,
        step_loss_weights: Sequence[float] = (),
        step_diversity: float = 0.0,
    ) -> None:
        super().__init__()
        steps = tdam.num_steps(network)
        if step_loss_weights and len(step_loss_weights) != steps:
            raise UserError(f"step_loss_weights needs {steps} numbers, one per step, got {len(step_loss_weights)}")
        if step_diversity and steps < 2:
            raise UserError("step_diversity needs a network of two or more steps")
        refuse_single_place(network)
        self.network = network
        self.label_smoothing = label_smoothing
        self.step_loss_weights = tuple(step_loss_weights)
        self.step_diversity = step_diversity

    @property
    def deployed(self) -> nn.Module:
        """What is saved and evaluated: the network, unless the method's own heads make the maps."""
        network: nn.Module = self.network
        return network

    def criterion(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of logits ``(B, C)`` with class ids ``(B,)`` or class probabilities ``(B, C)``."""
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        if targets.is_floating_point():
            return F.cross_entropy(logits, targets.to(logits.dtype))
        return F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)

    def forward(self, images: Tensor, targets: Tensor) -> MethodOutput:
        """Loss and logits of preprocessed images ``(B, 3, H, W)``."""
        if not self.step_loss_weights and not self.step_diversity:
            logits = logits_of(self.network(images), len(images))
            return MethodOutput(self.criterion(logits, targets), logits)
        return self._forward_steps(images, targets)

    def _forward_steps(self, images: Tensor, targets: Tensor) -> MethodOutput:
        steps = tdam.forward_steps(self.network, images)
        weights = self.step_loss_weights or (*[0.0] * (len(steps.logits) - 1), 1.0)
        losses = [
            weight * self.criterion(logits, targets)
            for weight, logits in zip(weights, steps.logits, strict=True)
            if weight
        ]
        if self.step_diversity:
            losses.append(self.step_diversity * step_likeness(target_maps(steps, targets)))
        return MethodOutput(torch.stack(losses).sum(), steps.logits[-1])

    def class_activation_maps(self, images: Tensor, class_ids: Tensor | None = None) -> ClassActivationMaps:
        """Maps of every step, as the method's paper makes them; see `wsol.class_activation_maps`."""
        return class_activation_maps(self.network, images, class_ids)

    @classmethod
    def is_authors_state(cls, state: Mapping[str, Tensor]) -> bool:
        """Whether tensors bear the names of the reference implementation's checkpoints."""
        return cls.authors_key in state and cls.authors_lack not in state

    @classmethod
    def in_our_names(cls, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors of such a checkpoint under this method's names."""
        return rename(state, cls.authors_names)

    @classmethod
    def classes_of_authors(cls, state: Mapping[str, Tensor]) -> int | None:
        """Number of classes of such a checkpoint; None where it has no classifier."""
        return next((len(state[name]) for name in cls.authors_classifiers if name in state), None)

    @classmethod
    def authors_options(cls, state: Mapping[str, Tensor], num_classes: int) -> dict[str, Any]:
        """Hyper-parameters that such a checkpoint was made with, as far as its tensors and published settings tell."""
        return {}

    def finish_epoch(self) -> None:
        """Called after every epoch of training, before validation."""


class OwnMaps(Method):
    """A method whose own layers make the maps: the module as a whole is saved and evaluated.

    Raises:
        UserError: If supervision of every step is asked for.
    """

    def __init__(self, network: nn.Module, **options: Any) -> None:
        super().__init__(network, **options)
        refuse_step_losses(self)
        # What tells a network's classes, input and steps tells this module's.
        self.num_classes: int = self.network.num_classes
        # A network made from its class, without timm's registry, has no configuration.
        self.pretrained_cfg = getattr(network, "pretrained_cfg", {})
        self.feedback = getattr(network, "feedback", None)

    @property
    def deployed(self) -> nn.Module:
        """This module."""
        return self

    def class_activation_maps(self, images: Tensor, class_ids: Tensor | None = None) -> ClassActivationMaps:
        """Maps and logits of every step, see `wsol.class_activation_maps`."""
        raise NotImplementedError


def refuse_step_losses(method: Method) -> None:
    """Refuse supervision of every step for a method with losses of its own.

    Raises:
        UserError: If it is asked for.
    """
    if method.step_loss_weights or method.step_diversity:
        name = type(method).__name__
        raise UserError(f"method {name} has losses of its own: leave step_loss_weights and step_diversity alone")


def target_maps(steps: tdam.StepOutputs, targets: Tensor) -> Tensor:
    """Class activation maps ``(T, B, h, w)`` of class ids ``(B,)``, or of mixtures ``(B, C)``, with gradient."""
    weight = steps.classifier_weight
    weight = targets.to(weight.dtype) @ weight if targets.is_floating_point() else weight[targets]
    return torch.einsum("bd,tbdhw->tbhw", weight, steps.features)


def step_likeness(maps: Tensor) -> Tensor:
    """How alike successive steps' maps are: the mean of their positive correlations over places.

    1 where every step shows the same map up to scale and shift, 0 where no two successive maps agree. A penalty on it
    asks each step to look elsewhere; maps that oppose each other gain nothing further.

    Args:
        maps: ``(T, B, h, w)``, T at least 2.
    """
    centred = maps.float().flatten(2)
    centred = centred - centred.mean(-1, keepdim=True)
    correlation = F.cosine_similarity(centred[:-1], centred[1:], dim=-1)
    return correlation.clamp_min(0).mean()

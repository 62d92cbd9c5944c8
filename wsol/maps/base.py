"""What a map method is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor

from wsol.networks import ForwardPass, Reading

Need = Literal["gradients", "attention", "class token", "feedback", "linear classifier"]


class MapMethod(ABC):
    """A way to make maps of a network that is already trained.

    A subclass says its name and its paper, and how it makes maps of one batch in `maps`. Whatever several methods need
    (logits, features, gradients) comes from the `ForwardPass` and is computed once for all of them.

    Attributes:
        name: The name people choose it by, in the hyphenation of its paper.
        paper: Authors and place of publication.
        cost: Forward and backward passes per image and step, for people to read; D are the feature's channels.
        needs: What the network must have or give: "gradients"; "attention" of every token to every other; a
            "class token"; "feedback", as of TDAM networks; a "linear classifier" over pooled features.
        class_agnostic: Whether the map is the same for all classes.
        takes_layers: Whether `layers=` may name other modules than the pooled feature.
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    cost: ClassVar[str] = "1 forward"
    needs: ClassVar[frozenset[Need]] = frozenset()
    class_agnostic: ClassVar[bool] = False
    takes_layers: ClassVar[bool] = False

    @abstractmethod
    def maps(self, forward: ForwardPass, class_ids: Tensor) -> Tensor:
        """Maps of one class per image.

        Args:
            forward: The batch in the network, stopped at the step that the maps are of.
            class_ids: Class of every map, ``(B,)`` int64.

        Returns:
            Raw maps ``(B, h, w)`` at any resolution.

        Raises:
            UserError: If the network has not what the method needs; the message says what to use instead.
        """

    def step_maps(self, reading: Reading, class_ids: Tensor) -> Tensor:
        """Maps of every step, ``(T, B, h, w)``, of class ids ``(T, B)``; by default of one step after the other."""
        maps = [self.maps(reading.at(step), classes) for step, classes in enumerate(class_ids, start=1)]
        return torch.stack(maps).detach().float()

"""The searchlight of top-down attention: the map in which a TDAM network itself says where it looks."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tdam
from tdam.errors import UserError
from tdam.feedback import FeedbackBlock
from wsol.maps.base import MapMethod
from wsol.maps.registry import register_method
from wsol.networks import ForwardPass, Reading


@register_method
class Searchlight(MapMethod):
    """The spatial gate that formed a step: the mean over the last stage's blocks, in (0, 1).

    Nothing has been gated before step 1, which therefore looks everywhere alike: its map is 1 at every place.
    """

    name = "searchlight"
    paper = "Jaiswal et al., TDAM: Top-Down Attention Module for Contextually Guided Feature Selection, ECCV 2022"
    cost = "2 forwards"
    needs = frozenset({"feedback"})
    class_agnostic = True

    def step_maps(self, reading: Reading, class_ids: Tensor) -> Tensor:
        """Maps of every step; a network without feedback is refused."""
        if reading.steps < 2:
            raise UserError(
                f"{type(reading.network).__name__} has no feedback over two or more steps and so no searchlight; "
                "use 'cam' or 'activation'"
            )
        later = [self.maps(reading.at(step), class_ids[step - 1]) for step in range(2, reading.steps + 1)]
        return torch.stack([torch.ones_like(later[0]), *later]).float()

    def maps(self, forward: ForwardPass, class_ids: Tensor) -> Tensor:
        """The gates that formed the step this network is stopped at; `class_ids` are not used."""
        gates = stage_gates(forward.network, forward.images)
        size = gates[-1].shape[-2:]
        same_size = [F.interpolate(gate[:, None], size, mode="bilinear")[:, 0] for gate in gates]
        return torch.stack(same_size).mean(0)


def stage_gates(network: nn.Module, images: Tensor, last_stage: bool = True) -> list[Tensor]:
    """Spatial gates of the last step's feedback, one ``(B, h, w)`` in (0, 1) per block in order of computation.

    Args:
        network: A network with feedback in eval mode, whole or stopped at a step of 2 or more (`tdam.at_step`).
        images: Preprocessed images ``(B, 3, H, W)``.
        last_stage: Of the last stage's blocks alone; of all blocks where the last stage has no feedback.

    Raises:
        UserError: If an attention has no spatial gate.
    """
    blocks = [module for module in network.modules() if isinstance(module, FeedbackBlock)]
    chosen = [block for block in blocks if block.in_last_stage] if last_stage else blocks
    gates: dict[int, Tensor] = {}

    def keep(attention: Any, inputs: tuple[Tensor, Tensor], _: Tensor) -> None:
        # Later calls, of later steps, take the place of earlier ones.
        gates[id(attention)] = attention.spatial_gate(*inputs)[:, 0].detach()

    attentions: list[tdam.TopDownAttention] = [block.attention for block in chosen or blocks]
    handles = [attention.register_forward_hook(keep) for attention in attentions]
    try:
        with torch.no_grad():
            network(images)
    finally:
        for handle in handles:
            handle.remove()
    return [gates[id(attention)] for attention in attentions if id(attention) in gates]

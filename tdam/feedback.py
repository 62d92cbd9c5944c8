"""Feedback inside a residual block: its branch runs T times, each time on a map that attention has modulated.

A family joins by one small subclass of `FeedbackBlock` beside its own block, which cuts the residual
branch into segments. The distance m is the number of last segments that every step runs again:

    b = segments before the cut (x)
    for t in 0 … T-1:
        y = segments after the cut (b), with the batch norms of step t
        b = attention(b, y)                      # if a step follows
    out = merge(y, skip(x))

With m = 0 nothing is run again: the branch's output modulates itself T times. T = 1 with m ≥ 1 is the
plain block. Source: the TDAM code (see `tdam.attention`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from tdam.attention import TopDownAttention
from tdam.errors import UserError
from tdam.options import FeedbackOptions


class Segment(NamedTuple):
    """A piece of a residual branch.

    Attributes:
        run: (map (B, C, h, w), step from 0) -> map.
        channels: C, of its input.
        norms: Names of the batch norms that it uses, which every step has for itself; the first one
            directly follows the segment's first convolution, which has no bias.
    """

    run: Callable[[Tensor, int], Tensor]
    channels: int
    norms: tuple[str, ...] = ()


class FeedbackBlock(nn.Module):
    """A residual block with feedback. A family's subclass inherits from this first, then from the plain block.

    The subclass states its segments, its output's channels, and how the branch meets the shortcut. Step
    t ≥ 1 has its own copies of the norms in the repeated segments, `bn3_1` beside `bn3`.
    """

    attention: TopDownAttention
    options: FeedbackOptions
    steps: int
    distance: int
    in_last_stage: bool

    def segments(self) -> tuple[Segment, ...]:
        """The residual branch, cut into pieces."""
        raise TypeError(f"{type(self).__name__} does not say its segments")

    def out_channels(self) -> int:
        """Channels of the block's output."""
        raise TypeError(f"{type(self).__name__} does not say its output's channels")

    def skip(self, x: Tensor) -> Tensor:
        """The shortcut's map of the block's input."""
        return x

    def merge(self, top: Tensor, shortcut: Tensor) -> Tensor:
        """The block's output from the branch's and the shortcut's map."""
        return top + shortcut

    def default_pool_grid(self) -> int:
        """Side of the grid that learned poolings read."""
        return 8

    def norm_at(self, name: str, step: int) -> nn.Module:
        """The norm called `name` ("bn3", or "conv3.bn" inside a child) of a step (from 0)."""
        return self._part(f"{name}_{step}" if step else name)

    def conv_norm(self, conv: str, norm: str, x: Tensor, step: int) -> Tensor:
        """A convolution and the norm of a step; where `fold_norms` folded them, the step's own convolution."""
        parent, _, leaf = conv.rpartition(".")
        folded = hasattr(self._part(parent) if parent else self, f"{leaf}_{step}")
        return self.norm_at(norm, step)(self._part(f"{conv}_{step}" if folded else conv)(x))

    def _part(self, name: str) -> nn.Module:
        """A module of the block by its dotted name; PyTorch 2.5 cannot compile calls of `get_submodule`."""
        module: nn.Module = self
        for child in name.split("."):
            module = getattr(module, child)
        return module

    def forward(self, x: Tensor) -> Tensor:
        """Run all steps and return the output of the last (B, Ct, h, w)."""
        return self.merge(self.tops(x)[-1], self.skip(x))

    def forward_steps(self, x: Tensor) -> Tensor:
        """Outputs of every step from one input: (B, C, h, w) -> (T·B, Ct, h', w'), step-major."""
        shortcut = self.skip(x)
        return torch.cat([self.merge(top, shortcut) for top in self.tops(x)])

    def forward_streams(self, x: Tensor) -> Tensor:
        """Step t's output from step t's own input, for every t: (T·B, C, h, w) -> (T·B, Ct, h', w').

        Stream t (from 1) makes t passes; the streams still running share each pass as one batch.
        """
        batch = x.shape[0] // self.steps
        bottom, finished = self.bottom(x), []
        for step in range(self.steps):
            top = self.top(bottom, step)
            finished.append(top[:batch])
            if step + 1 < self.steps:
                bottom = self.next_bottom(bottom[batch:], top[batch:])
        return self.merge(torch.cat(finished), self.skip(x))

    def tops(self, x: Tensor) -> list[Tensor]:
        """The branch's output of every step."""
        bottom = self.bottom(x)
        tops: list[Tensor] = []
        for step in range(self.steps):
            if step:
                bottom = self.next_bottom(bottom, tops[-1])
            tops.append(self.top(bottom, step))
        return tops

    def bottom(self, x: Tensor) -> Tensor:
        """The map that is modulated first: the segments before the cut."""
        segments = self.segments()
        for segment in segments[: len(segments) - self.distance]:
            x = segment.run(x, 0)
        return x

    def top(self, bottom: Tensor, step: int) -> Tensor:
        """The branch's output of a step (from 0): the segments after the cut."""
        if self.distance == 0:
            return self.attention(bottom, bottom)
        for segment in self.segments()[-self.distance :]:
            bottom = segment.run(bottom, step)
        return bottom

    def next_bottom(self, bottom: Tensor, top: Tensor) -> Tensor:
        """The map that the next step starts from."""
        return top if self.distance == 0 else self.attention(bottom, top)

    def repeated_norms(self) -> list[str]:
        """Names of the norms in the repeated segments."""
        repeated = self.segments()[-self.distance :] if self.distance else ()
        return [name for segment in repeated for name in segment.norms]

    def zero_init_last(self) -> None:
        """Start as the shortcut alone: zero the last norm of the last step, not of the first as timm would."""
        for name in self.segments()[-1].norms[-1:]:
            weight = getattr(self.norm_at(name, self.steps - 1 if self.distance else 0), "weight", None)
            if weight is not None:
                nn.init.zeros_(weight)
        self.show_earlier_steps()

    @torch.no_grad()
    def show_earlier_steps(self) -> None:
        """Give the steps before the last an output where timm has zeroed the last norm of a new network's branch.

        The attention reads that output through relu(W x). At zero it tells nothing, and as relu passes no gradient
        there, nothing ever changes it: the searchlight would see the bottom map alone for good.
        """
        for name in self.segments()[-1].norms[-1:] if self.distance else ():
            for step in range(self.steps - 1):
                weight = getattr(self.norm_at(name, step), "weight", None)
                if weight is not None:
                    # Without asking for the value, which a network on the meta device has not.
                    weight.copy_(torch.where(weight.any(), weight, torch.ones_like(weight)))

    def add_feedback(self, options: FeedbackOptions) -> None:
        """Add the attention and the norms of later steps.

        Raises:
            UserError: If the block has fewer segments than the distance asks for, or cannot start as
                `options.init` says.
        """
        segments = self.segments()
        if options.distance > len(segments):
            name = type(self).__bases__[1].__name__
            raise UserError(f"distance {options.distance} is more than a {name} has: choose 0 to {len(segments)}")
        self.options, self.steps, self.distance = options, options.steps, options.distance
        channels = [segment.channels for segment in segments] + [self.out_channels()]
        self.attention = TopDownAttention(
            channels[len(segments) - options.distance],
            self.out_channels(),
            attention=options.attention,
            pooling=options.pooling,
            pooling_combine=options.pooling_combine,
            order=options.order,
            channel_gate=options.channel_gate,
            spatial_score=options.spatial_score,
            reduction=options.reduction,
            hidden_channels=options.hidden_channels,
            pool_grid=options.pool_grid or self.default_pool_grid(),
        )
        for name in self.repeated_norms():
            for step in range(1, self.steps):
                parent, _, leaf = name.rpartition(".")
                own = _step_norm(self.norm_at(name, 0), options.step_norm)
                self.get_submodule(parent).add_module(f"{leaf}_{step}", own)
        self.reset_feedback()

    def scalable_norm(self) -> str | None:
        """Name of the norm that reads a bias-free linear image of the modulated map; None if there is none."""
        norms = self.segments()[-self.distance].norms if self.distance else ()
        return norms[0] if norms else None

    def start_from_plain_weights(self) -> None:
        """Start the feedback parts anew, now that the plain parts have the weights of a plain network.

        Raises:
            UserError: See `reset_feedback`.
        """
        self.options = self.options.on_plain_weights()
        self.reset_feedback()

    @torch.no_grad()
    def reset_feedback(self) -> None:
        """Start the feedback parts as the options say, from the weights that the plain parts have now.

        Raises:
            UserError: If init "identity" is asked of an attention without searchlight or with a gate of zero.
        """
        self.attention.reset_parameters()
        if self.options.step_norm == "own":
            for name in self.repeated_norms():
                for step in range(1, self.steps):
                    self.norm_at(name, step).load_state_dict(self.norm_at(name, 0).state_dict())
        if self.options.init == "identity":
            self.attention.zero_searchlight()
            gate = self.attention.gate_at_zero()
            if not self._norms_can_undo():
                self.attention.divide_by_gate()
                return
            name = str(self.scalable_norm())
            for step in range(1, self.steps):
                _scale_norm(self.norm_at(name, 0), self.norm_at(name, step), gate**step)

    def _norms_can_undo(self) -> bool:
        """Whether step norms can undo what a zero searchlight does to the modulated map."""
        return self.options.step_norm == "own" and self.scalable_norm() is not None


def _step_norm(norm: nn.Module, step_norm: str) -> nn.Module:
    if step_norm == "own":
        return copy.deepcopy(norm)
    # Timm's BatchNormAct2d carries the activation, which stays.
    return getattr(norm, "act", None) or nn.Identity()


def _scale_norm(first: Any, norm: Any, scale: float) -> None:
    """Make `norm` do to scale * x what `first` does to x, exactly: eps, which does not scale, goes into the weight."""
    norm.running_mean.mul_(scale)
    norm.running_var.mul_(scale**2)
    if norm.weight is not None:
        deviation = torch.sqrt(norm.running_var + norm.eps) / scale
        norm.weight.mul_(deviation / torch.sqrt(first.running_var + first.eps))


@dataclass(frozen=True)
class Family:
    """What TDAM needs to know about one network class.

    Args:
        network: The class.
        blocks: Block class -> its feedback block, a subclass of `FeedbackBlock` and of that class.
        stages: The blocks of every stage of a network, in order of computation.
        foreign_name: The name of a tensor of ours in other people's files, where they name it differently.
        replaced_head: Beginnings of names of fully connected layers that plain files hold and the family does without;
            its own classifier starts anew then.
        add_stage_gate: Puts a gate over a network's last stage (`tdam.gate`); None where that cannot be done.
        carrier: Subclass of `network` that adds `forward_features`, `forward_head` and `get_classifier` and no state,
            for libraries whose networks lack them; None for timm's.
    """

    network: type[nn.Module]
    blocks: Mapping[type[nn.Module], type[FeedbackBlock]]
    stages: Callable[[Any], Sequence[Iterable[nn.Module]]]
    foreign_name: Callable[[str], str] = str
    replaced_head: tuple[str, ...] = ()
    add_stage_gate: Callable[[Any], None] | None = None
    carrier: type[nn.Module] | None = None


def insert_feedback(model: nn.Module, family: Family, options: FeedbackOptions) -> nn.Module:
    """Turn the chosen blocks of `model` into feedback blocks, in place: same children and names, and the new parts.

    Raises:
        UserError: For a stage that does not exist, or a block that cannot carry feedback.
    """
    if hasattr(model, "feedback"):
        raise UserError(f"this {type(model).__name__} has feedback already")
    if family.carrier is not None and type(model) is not family.network:
        name = f"{family.network.__module__}.{family.network.__name__}"
        raise UserError(f"no feedback for a {type(model).__name__}, a subclass of {name}: it may run in another order")
    stages = [list(stage) for stage in family.stages(model)]
    if options.td_blocks is None:
        options = replace(options, td_blocks={len(stages) - 1: "all", len(stages): "all"})
    for stage, indices in (options.td_blocks or {}).items():
        if not 1 <= stage <= len(stages):
            raise UserError(f"td_blocks: there is no stage {stage}; this network has stages 1 to {len(stages)}")
        blocks = stages[stage - 1]
        chosen = blocks
        if not isinstance(indices, str):
            chosen = [blocks[index] for index in indices if index < len(blocks)]
        if indices and not chosen:
            raise UserError(f"td_blocks: stage {stage} has blocks 0 to {len(blocks) - 1}, none of {list(indices)}")
        for block in chosen:
            if type(block) not in family.blocks:
                raise UserError(f"td_blocks: a {type(block).__name__} of stage {stage} cannot carry feedback")
            # The subclass adds methods and no state, so changing the class keeps weights, names and hooks.
            block.__class__ = family.blocks[type(block)]
            carrier = cast(FeedbackBlock, block)
            carrier.in_last_stage = stage == len(stages)
            carrier.add_feedback(options)
    if options.stage_gate:
        if family.add_stage_gate is None:
            raise UserError(f"a {type(model).__name__} cannot have a stage_gate; ResNets can")
        family.add_stage_gate(model)
    if family.carrier is not None:
        model.__class__ = family.carrier
    cast(Any, model).feedback = options
    return model

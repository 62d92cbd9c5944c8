"""Where and how a network gets feedback: the options, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

from tdam.attention import (
    ATTENTIONS,
    CHANNEL_GATES,
    ORDERS,
    POOLING_COMBINES,
    SEARCHLIGHTS,
    SPATIAL_SCORES,
    check_pooling,
    gate_of_zero_searchlight,
)
from tdam.errors import UserError, check_name

STEP_NORMS = ("own", "none")
INITS = ("random", "identity")
MOST_STEPS = 64  # the literature takes 2 or 3; a typing error shall not fill the memory


@dataclass(frozen=True)
class FeedbackOptions:
    """Where and how a network gets feedback; the options of `TopDownAttention` besides.

    Args:
        steps: T, how often the repeated part of a block runs.
        distance: m, how many segments of the residual branch are repeated.
        attention: See `TopDownAttention`, as the six options after it.
        pooling: One or more pooling names.
        pooling_combine: "sum" or "mean".
        order: Order of the channel and the spatial step.
        channel_gate: Nonlinearity of the channel step.
        spatial_score: What the spatial step takes the sigmoid of: "sum" or "scaled".
        reduction: Top channels per hidden channel.
        hidden_channels: Hidden channels, in place of `reduction`.
        pool_grid: Side of the grid of learned poolings; None: as the block's family does.
        step_norm: "own": steps after the first have batch norms of their own; "none": they have none.
        init: "random": attention as timm draws a ResNet's convolutions; "identity": the searchlight
            starts at zero and what it does to the map is undone, so that in eval mode every step
            starts with the output of the first. None: "random" in a new network, and what `on_plain_weights` says
            where feedback is added to a network that has weights.
        td_blocks: Stage number (from 1) -> block indices (from 0) in it, or "all". Indices past a
            stage's end are ignored, so that one list serves networks of several depths. None: all
            blocks of the last two stages.
        stage_gate: Put a spatial gate over the last stage (ours, see `tdam.gate`); ResNets only.

    Raises:
        UserError: For a value out of range; UnknownNameError for an unknown name.
    """

    steps: int = 2
    distance: int = 1
    attention: str = "joint"
    pooling: Sequence[str] = ("avg",)
    pooling_combine: str = "sum"
    order: str = "channel_spatial"
    channel_gate: str = "sigmoid"
    spatial_score: str = "sum"
    reduction: int = 16
    hidden_channels: int | None = None
    pool_grid: int | None = None
    step_norm: str = "own"
    init: str | None = None
    td_blocks: Mapping[int, str | Sequence[int]] | None = None
    stage_gate: bool = False

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("distance", 0), ("reduction", 1), ("hidden_channels", 1), ("pool_grid", 1)):
            value = getattr(self, name)
            if value is None and name in ("hidden_channels", "pool_grid"):
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise UserError(f"{name} must be an integer of at least {least}, not {value!r}")
        if self.steps > MOST_STEPS:
            raise UserError(f"steps must be at most {MOST_STEPS}, not {self.steps}: every step has norms of its own")
        check_name("attention", self.attention, ATTENTIONS)
        check_name("pooling_combine", self.pooling_combine, POOLING_COMBINES)
        check_name("order", self.order, ORDERS)
        check_name("channel_gate", self.channel_gate, CHANNEL_GATES)
        check_name("spatial_score", self.spatial_score, SPATIAL_SCORES)
        check_name("step_norm", self.step_norm, STEP_NORMS)
        if self.init is not None:
            check_name("init", self.init, INITS)
        object.__setattr__(self, "pooling", check_pooling(self.pooling))
        if self.td_blocks is not None:
            object.__setattr__(self, "td_blocks", check_td_blocks(self.td_blocks))

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of all options."""
        return tuple(option.name for option in fields(cls))

    def on_plain_weights(self) -> FeedbackOptions:
        """The same for a network whose plain parts have weights: "identity", so that nothing they know is lost.

        "random" where the attention cannot start so: without a searchlight, with a gate that a zero searchlight
        closes, or without norms in later steps. What `init` says already stays.
        """
        if self.init is not None:
            return self
        opens = gate_of_zero_searchlight(self.order, self.channel_gate) > 0
        can_start = self.attention in SEARCHLIGHTS and opens and self.step_norm == "own"
        return replace(self, init="identity" if can_start else "random")


def check_td_blocks(td_blocks: object) -> dict[int, str | tuple[int, ...]]:
    """The option ``td_blocks`` with whole numbers for stages and sorted block indices.

    Args:
        td_blocks: Stage number (from 1) -> block indices (from 0), or "all".

    Raises:
        UserError: If it is anything else.
    """
    if not isinstance(td_blocks, Mapping):
        raise UserError(f"td_blocks must map stage numbers to block indices or 'all', not {td_blocks!r}")
    checked: dict[int, str | tuple[int, ...]] = {}
    for stage, blocks in td_blocks.items():
        # JSON has no integer keys: a checkpoint's configuration brings "3" for 3.
        stage = int(stage) if isinstance(stage, str) and stage.isdigit() else stage
        if not isinstance(stage, int):
            raise UserError(f"td_blocks: {stage!r} is not a stage number")
        if blocks != "all" and (
            isinstance(blocks, str)
            or not isinstance(blocks, Sequence)
            or not all(isinstance(index, int) and index >= 0 for index in blocks)
        ):
            raise UserError(f"td_blocks: stage {stage} needs a list of block indices from 0, or 'all', not {blocks!r}")
        checked[stage] = blocks if isinstance(blocks, str) else tuple(sorted(set(blocks)))
    return checked

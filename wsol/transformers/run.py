"""One forward pass of a vision transformer, with everything that attention maps need."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tdam.errors import UserError
from wsol.networks.outputs import logits_of
from wsol.networks.pooling import grid_by_ratio
from wsol.transformers.layout import TokenLayout
from wsol.transformers.recorder import AttentionRecord, AttentionRecorder

CLASS_TOKENS = ("cls_token", "class_token", "class_embedding", "cls_embedding")


@dataclass(frozen=True)
class TransformerRun:
    """What a transformer computed for a batch.

    Attributes:
        output: What the forward pass returned: logits ``(B, C)``, unless something else was run.
        blocks: Names of the blocks, first block first.
        weights: Attention of every block after the softmax, ``(B, H, N, N)``.
        layout: Where the patches stand among the N tokens.
        outputs: Tokens that leave every block, ``(B, N, D)``.
        calls_after: Names of the modules that ran after the last block.
    """

    output: Tensor
    blocks: tuple[str, ...]
    weights: tuple[Tensor, ...]
    layout: TokenLayout
    outputs: tuple[Tensor, ...]
    calls_after: tuple[str, ...]


def run_transformer(
    network: nn.Module,
    images: Tensor,
    differentiable: bool = False,
    forward: Callable[[Tensor], Tensor] | None = None,
) -> TransformerRun:
    """Run a vision transformer of timm, torchvision or Hugging Face and record its attention.

    Args:
        network: In eval mode; fused attention or not.
        images: Preprocessed images ``(B, 3, H, W)``.
        differentiable: Keep the graph from attention weights to logits, in a frozen network too.
        forward: What is run, such as ``network.forward_features``; None runs the network.

    Raises:
        UserError: If the network has not exactly one attention between all tokens in every block: CNNs, windows
            (Swin), channels (XCiT), reduced keys (PVT), class tokens that join later (CaiT); or if tokens are not
            prefix tokens and patches in rows.
    """
    with torch.set_grad_enabled(differentiable), AttentionRecorder(network, differentiable) as recorder:
        output = logits_of(network(images), len(images)) if forward is None else forward(images)
    name = type(network).__name__
    blocks, weights = _one_attention_per_block(network, recorder.records, len(images), name)
    layout = _layout(network, recorder.grid, weights[0].shape[-1], images, name)
    # Some of Hugging Face's blocks return a tuple.
    outputs = tuple(out[0] if isinstance(out, tuple) else out for out in map(recorder.outputs.__getitem__, blocks))
    calls_after = tuple(recorder.calls[recorder.left_at[blocks[-1]] :])
    return TransformerRun(output, blocks, weights, layout, outputs, calls_after)


def has_class_token(network: nn.Module) -> bool:
    """Whether a network has a class token, by the names that timm, torchvision and Hugging Face give it."""
    return any(name.rpartition(".")[2] in CLASS_TOKENS for name, _ in network.named_parameters())


def _one_attention_per_block(
    network: nn.Module, records: list[AttentionRecord], batch: int, name: str
) -> tuple[tuple[str, ...], tuple[Tensor, ...]]:
    """Names and attention of the blocks, if there is one attention between all tokens in each."""
    if not records:
        raise UserError(f"{name} computes no attention between all its tokens; use cam or a method of gradients")
    towers = _towers(network, records)
    reason = _why_not_plain(network, towers, batch)
    if reason:
        raise UserError(
            f"{name} {reason}, so there is no attention between all tokens of every block; "
            "use cam or a method of gradients, such as grad-cam"
        )
    (tower,) = towers.values()
    return tuple(tower), tuple(weights for (weights,) in tower.values())


def _why_not_plain(network: nn.Module, towers: dict[str, dict[str, list[Tensor]]], batch: int) -> str | None:
    """What keeps the recorded attention from being one square matrix per block, or None."""
    shapes = {found.shape for tower in towers.values() for weights in tower.values() for found in weights}
    if any(shape[0] != batch for shape in shapes):
        return "attends within windows"
    if len(towers) != 1:
        return f"attends in {len(towers)} stages ({', '.join(towers) or 'none a list of blocks'})"
    ((container, tower),) = towers.items()
    if len({shape[2:] for shape in shapes}) != 1 or any(shape[2] != shape[3] for shape in shapes):
        return "attends to a reduced or changing number of tokens"
    if len(tower) != len(list(network.get_submodule(container).children())):
        return "has blocks that do not attend from token to token"
    if any(len(weights) != 1 for weights in tower.values()):
        return "attends more than once in a block"
    return None


def _towers(network: nn.Module, records: list[AttentionRecord]) -> dict[str, dict[str, list[Tensor]]]:
    """Lists of modules whose members attend, and what each member attended; what lies in no list pools tokens.

    Of lists inside lists the outermost with several such members, so that a wrapper around the network is none.
    """
    lists: dict[str, dict[str, list[Tensor]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        parts = record.module.split(".")
        for depth in range(len(parts)):
            name = ".".join(parts[:depth])
            if isinstance(network.get_submodule(name), nn.ModuleList | nn.Sequential):
                lists[name][".".join(parts[: depth + 1])].append(record.weights)
    several = [name for name, members in lists.items() if len(members) > 1]
    if several:
        chosen = [name for name in several if not any(_is_inside(name, other) for other in several)]
    else:
        chosen = [name for name in lists if not any(_is_inside(other, name) for other in lists)]
    return {name: lists[name] for name in chosen}


def _is_inside(name: str, other: str) -> bool:
    """Whether a module's name is that of a descendant of another module."""
    return name != other and (not other or name.startswith(f"{other}."))


def _layout(network: Any, grid: tuple[int, int] | None, tokens: int, images: Tensor, name: str) -> TokenLayout:
    """Prefix tokens and grid: that of the convolution that made the patches, else that of the image's proportions."""
    known: int | None = getattr(network, "num_prefix_tokens", None)
    if grid is None and known is not None:
        grid = grid_by_ratio(tokens - known, *images.shape[-2:])
    if grid is None:
        raise UserError(
            f"{name} makes its patches by no convolution, so their rows and columns are unknown; "
            "use cam or a method of gradients"
        )
    prefix = tokens - grid[0] * grid[1]
    if prefix < 0 or prefix != (prefix if known is None else known):
        raise UserError(
            f"{name} has {tokens} tokens but {grid[0]} x {grid[1]} patches"
            + (f" and {known} prefix tokens" if known is not None else "")
            + ": attention is not between patches, as with channels (XCiT); use cam or a method of gradients"
        )
    return TokenLayout(prefix, grid, prefix > 0 and has_class_token(network))

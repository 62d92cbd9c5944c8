"""How a tensor lays its places out: maps, channels last, or tokens with a grid and others before it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import Tensor, nn

from wsol.networks.errors import NetworkError
from wsol.networks.pooling import MOST_PREFIX_TOKENS, grid_by_ratio, same
from wsol.networks.recorder import Recorder
from wsol.networks.structure import Structure


def is_vector(tensor: Tensor) -> bool:
    """Whether a tensor holds one vector per image, ``(B, D)`` or with places of size one behind it."""
    return tensor.ndim >= 2 and tensor[0].numel() == tensor.shape[1]


def layout_of(tensor: Tensor, images: Tensor, vectors: Sequence[Tensor]) -> str | None:
    """Order of the axes of a tensor with several places, None for anything else."""
    if tensor.ndim == 3 and len(tensor) == len(images) and tensor.shape[1] > 1:
        return "tokens"
    if tensor.ndim != 4 or len(tensor) != len(images):
        return None
    first, last = tensor.shape[2:].numel() > 1, tensor.shape[1:3].numel() > 1
    if first and any(same(tensor.mean((2, 3)), v) for v in vectors if v.shape[1] == tensor.shape[1]):
        return "NCHW"
    if last and any(same(tensor.mean((1, 2)), v) for v in vectors if v.shape[1] == tensor.shape[3]):
        return "NHWC"
    height, width = images.shape[-2:]
    if first and grid_by_ratio(tensor.shape[2:].numel(), height, width) == tuple(tensor.shape[2:]):
        return "NCHW"
    if last and grid_by_ratio(tensor.shape[1:3].numel(), height, width) == tuple(tensor.shape[1:3]):
        return "NHWC"
    return "NCHW" if first else None


def with_grid(structure: Structure, recorder: Recorder, network: nn.Module, images: Tensor) -> Structure:
    """Add rows and columns, and for tokens how many of them are no patches."""
    calls = recorder.calls
    tensor = next(call.output for call in calls if call.site == structure.feature)
    if structure.layout != "tokens":
        rows, columns = tensor.shape[2:] if structure.layout == "NCHW" else tensor.shape[1:3]
        return dataclasses.replace(structure, grid=(rows, columns))
    tokens = tensor.shape[1]
    convolutions = {
        name for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Conv3d) and name
    }
    least = max(structure.pooled_from, int(structure.pooling.startswith("class token")))
    for call in reversed(calls):
        if call.site.module not in convolutions or call.site.part != "output" or call.output.ndim != 4:
            continue
        grid = (call.output.shape[2], call.output.shape[3])
        prefix = tokens - grid[0] * grid[1]
        if least <= prefix <= MOST_PREFIX_TOKENS:
            return _of_tokens(structure, grid, prefix, call.site.module)
    for prefix in range(least, MOST_PREFIX_TOKENS):
        by_ratio = grid_by_ratio(tokens - prefix, *images.shape[-2:])
        if by_ratio is not None:
            return _of_tokens(structure, by_ratio, prefix, None)
    raise NetworkError(
        f"{type(network).__name__} has {tokens} tokens, which do not form rows and columns of a "
        f"{images.shape[-2]} x {images.shape[-1]} image"
    )


def _of_tokens(structure: Structure, grid: tuple[int, int], prefix: int, layer: str | None) -> Structure:
    all_pooled = structure.pooling == "mean" and prefix > structure.pooled_from
    return dataclasses.replace(
        structure,
        grid=grid,
        prefix_tokens=prefix,
        grid_layer=layer,
        pooling="mean of all tokens" if all_pooled else structure.pooling,
    )

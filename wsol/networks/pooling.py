"""How places become one vector: every pooling that networks use, told by its value."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from wsol.networks.structure import Layout, Pooling

MOST_PREFIX_TOKENS = 16


class Pooled(NamedTuple):
    """That a vector is the pooling of a tensor.

    Attributes:
        layout: Order of the tensor's axes.
        pooling: How it was pooled.
        first_token: Where pooling begins, for tokens.
    """

    layout: Layout
    pooling: Pooling
    first_token: int = 0


def same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same numbers, up to the rounding of their type."""
    if one.shape != other.shape:
        return False
    half = torch.float16 in (one.dtype, other.dtype) or torch.bfloat16 in (one.dtype, other.dtype)
    one, other = one.float(), other.float()
    return bool((one - other).abs().max() <= (2e-2 if half else 1e-4) * other.abs().max().clamp_min(1e-12))


def flattened_as(tensor: Tensor, vector: Tensor) -> bool:
    """Whether a vector is all places of a map ``(B, D, h, w)``, one after the other."""
    is_map = tensor.ndim == 4 and tensor.shape[1] > 1 and tensor.shape[2:].numel() > 1
    return is_map and same(tensor.flatten(1), vector)


def pooled_as(tensor: Tensor, vector: Tensor, in_one: bool = False) -> Pooled | None:
    """Which pooling of `tensor` gives `vector`, or None.

    Args:
        tensor: ``(B, D, h, w)``, ``(B, h, w, D)`` or tokens ``(B, N, D)``.
        vector: ``(B, D)``, or ``(B, 2 D)`` where two poolings are joined.
        in_one: Also look at tensors of a single place, which every pooling leaves as they are.
    """
    if tensor.ndim not in (3, 4) or len(tensor) != len(vector):
        return None
    if tensor.ndim == 3:
        return _pooled_tokens(tensor, vector)
    for layout, channels, places in (("NCHW", 1, (2, 3)), ("NHWC", 3, (1, 2))):
        several = tensor.shape[places[0]] * tensor.shape[places[1]] > 1
        if tensor.shape[channels] != vector.shape[1] or not (several or in_one):
            continue
        for pooling, value in (
            ("mean", lambda at: tensor.mean(at)),
            ("max", lambda at: tensor.amax(at)),
            ("mean and max", lambda at: (tensor.mean(at) + tensor.amax(at)) / 2),
        ):
            if same(value(places), vector):
                return Pooled(layout, pooling)  # type: ignore[arg-type]
    return None


def _pooled_tokens(tokens: Tensor, vector: Tensor) -> Pooled | None:
    count, width = tokens.shape[1:]
    firsts = range(min(count - 1, MOST_PREFIX_TOKENS))
    if vector.shape[1] not in (width, 2 * width) or not firsts:
        return None
    # Means of what is left when so many tokens are dropped.
    before = tokens[:, : len(firsts)].cumsum(1) - tokens[:, : len(firsts)]
    left = torch.arange(count, count - len(firsts), -1, device=tokens.device)
    means = (tokens.sum(1, keepdim=True) - before) / left[:, None]
    for first in firsts:
        if width == vector.shape[1] and same(means[:, first], vector):
            return Pooled("tokens", "mean", first)
        if same(torch.cat([tokens[:, 0], means[:, first]], 1), vector):
            return Pooled("tokens", "class token and mean", first)
    if width == vector.shape[1] and any(same(tokens[:, first], vector) for first in firsts):
        return Pooled("tokens", "class token")
    if width != vector.shape[1]:
        return None
    ends = torch.cat([tokens[:, : len(firsts)], tokens[:, len(firsts) :].amax(1, keepdim=True)], 1)
    largest = ends.flip(1).cummax(1).values.flip(1)
    found = next((first for first in firsts if same(largest[:, first], vector)), None)
    return None if found is None else Pooled("tokens", "max", found)


def grid_by_ratio(places: int, height: float, width: float) -> tuple[int, int] | None:
    """Rows and columns of `places` in the proportions of an image, or None if they do not fit.

    >>> grid_by_ratio(49, 224, 224), grid_by_ratio(15, 96, 160), grid_by_ratio(50, 224, 224)
    ((7, 7), (3, 5), None)
    """
    rows = round((places * height / width) ** 0.5)
    if rows < 1 or places % rows:
        return None
    columns = places // rows
    # The size of a patch may leave a remainder on either side, but not a whole row.
    return (rows, columns) if abs(columns - rows * width / height) <= 1 else None

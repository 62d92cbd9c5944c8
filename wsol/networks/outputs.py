"""The logits in whatever a classifier returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from wsol.networks.errors import NetworkError


def logits_of(output: Any, batch: int) -> Tensor:
    """The logits ``(B, C)`` of what a classifier returns.

    That is the tensor itself, the field or key "logits" (Hugging Face, torchvision), the first tensor of a tuple that
    holds one vector per image, or the only such tensor of a dict. An axis that the network squeezed away, of a single
    class or a single image, is put back.

    Args:
        output: What the network returned.
        batch: Number of images B that it was given.

    Raises:
        NetworkError: If there are none, or a dict does not tell which they are.
    """
    found = _named(output)
    if found is None and isinstance(output, Mapping):
        found = _only(output, batch)
    if found is None and isinstance(output, (tuple, list)):
        found = next(iter(vectors_in(output, batch)), next((one for one in output if isinstance(one, Tensor)), None))
    if not isinstance(found, Tensor):
        raise NetworkError(f"the network returns {type(output).__name__}, not logits (B, C): is it a classifier?")
    if found.ndim < 2 and found.numel() and found.numel() % batch == 0:
        found = found.reshape(batch, -1)
    if found.ndim > 2 and found[0].numel() == found.shape[1]:
        found = found.flatten(1)
    if found.ndim != 2 or not found.is_floating_point():
        raise NetworkError(
            f"the network returns {tuple(found.shape)} of {found.dtype}, not logits (B, C): is it a classifier?"
        )
    return found


def vectors_in(outputs: Any, batch: int) -> list[Tensor]:
    """The tensors among several outputs that hold one vector per image, ``(B, C)``."""
    return [
        one
        for one in outputs
        if isinstance(one, Tensor) and one.is_floating_point() and one.ndim == 2 and len(one) == batch
    ]


def _named(output: Any) -> Any:
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping) and "logits" in output:
        return output["logits"]
    return getattr(output, "logits", None)


def _only(output: Mapping[Any, Any], batch: int) -> Tensor:
    vectors = vectors_in(output.values(), batch)
    if len(vectors) != 1:
        raise NetworkError(
            f"the network returns a dict of {', '.join(map(str, output))}, and which of them are the logits (B, C) is "
            "not told: give these the key 'logits'"
        )
    return vectors[0]

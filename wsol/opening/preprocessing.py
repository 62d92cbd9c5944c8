"""What a network expects its images to be, as far as the network itself says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import nn

from tdam.errors import UserError

DEFAULT_SIDE = 224


def preprocessing_of(network: nn.Module, input_size: int | Sequence[int] | None = None) -> dict[str, Any]:
    """Input size, mean and standard deviation, in the form of timm's data configuration.

    timm's networks carry theirs. Hugging Face's carry the size, and where they were opened from a folder, its
    `preprocessor_config.json` the rest. Others are taken to expect 224 x 224 (a torchvision ViT: its own size) and
    ImageNet's mean and deviation.

    Args:
        network: The network.
        input_size: Side or (height, width) in pixels, instead of the network's own.
    """
    if getattr(network, "pretrained_cfg", None):
        found: dict[str, Any] = timm.data.resolve_model_data_config(network)
    else:
        found = {"mean": IMAGENET_DEFAULT_MEAN, "std": IMAGENET_DEFAULT_STD, "interpolation": "bilinear", "crop_pct": 1}
        found |= _hugging_face(network)
        found["input_size"] = (3, *height_width(found.get("input_size", getattr(network, "image_size", DEFAULT_SIDE))))
    if input_size is not None:
        found["input_size"] = (found["input_size"][0], *height_width(input_size))
    return found


def tell_input_size(network: nn.Module, input_size: Sequence[int]) -> None:
    """Let `preprocessing_of` find a size, (height, width) in pixels, at a network that carries none itself."""
    if not any(hasattr(network, carrier) for carrier in ("pretrained_cfg", "config", "image_size")):
        network.image_size = tuple(input_size)  # type: ignore[assignment]


def height_width(size: Any) -> tuple[int, int]:
    """Height and width of a side, a pair or Hugging Face's mapping.

    Raises:
        UserError: If it is none of them.
    """
    if isinstance(size, int) and size > 0:
        return size, size
    if isinstance(size, dict):
        size = (size.get("height", size.get("shortest_edge")), size.get("width", size.get("shortest_edge")))
    if isinstance(size, Sequence) and len(size) in (2, 3) and all(isinstance(n, int) and n > 0 for n in size[-2:]):
        return size[-2], size[-1]
    raise UserError(f"input_size must be a side or (height, width) in pixels, not {size!r}")


def _hugging_face(network: nn.Module) -> dict[str, Any]:
    config = getattr(network, "config", None)
    side = getattr(config, "image_size", None)
    found: dict[str, Any] = {} if side is None else {"input_size": side}
    processor = Path(str(getattr(config, "_name_or_path", ""))) / "preprocessor_config.json"
    if config is None or not processor.is_file():
        return found
    said = json.loads(processor.read_text())
    for ours, theirs in (("mean", "image_mean"), ("std", "image_std")):
        if theirs in said:
            found[ours] = tuple(said[theirs])
    if side is None and "size" in said:
        found["input_size"] = said["size"]
    return found


def class_names_of(network: nn.Module) -> tuple[str, ...] | None:
    """Class names that a Hugging Face network carries; None for others and for names such as LABEL_3."""
    names = getattr(getattr(network, "config", None), "id2label", None)
    if not isinstance(names, dict) or not names:
        return None
    ordered = tuple(str(names[number]) for number in sorted(names, key=int))
    return None if all(name == f"LABEL_{number}" for number, name in enumerate(ordered)) else ordered

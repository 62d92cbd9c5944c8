"""Reference outputs of transformers: weights and images by rule, networks of timm with them, arrays."""

from __future__ import annotations

import functools
import json
import zlib
from typing import Any

import numpy as np
import timm
import torch
from shared import golden_path, tell_difference
from torch import Tensor, nn

TOLERANCE = 1e-5  # of the reference's largest value, at least 1


@functools.cache
def entries() -> dict[str, dict[str, Any]]:
    """Every entry of the reference data's index."""
    return json.loads(golden_path("vit", "index.json").read_text())["entries"]


def arrays(name: str) -> dict[str, np.ndarray]:
    """The arrays of an entry."""
    with np.load(golden_path("vit", entries()[name]["file"])) as file:
        return dict(file)


def images(name: str) -> Tensor:
    """The input of an entry, from its seed."""
    config = entries()[name]["config"]
    size = config["img_size"]
    height, width = (size, size) if isinstance(size, int) else size
    values = np.random.default_rng(config["seed"]).standard_normal((config.get("batch", 1), 3, height, width))
    return torch.from_numpy(values.astype(np.float32))


def value(key: str, shape: tuple[int, ...]) -> Tensor:
    """A tensor as a function of its name and shape, the reference data's rule."""
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    if key.endswith(".thred"):
        values = 0.3 + 0.4 * rng.random(shape)
    elif key.endswith("._loss_rate"):
        values = 0.6 + 0.8 * rng.random(shape)
    elif key.endswith("relative_position_bias_table"):
        values = 0.3 * rng.standard_normal(shape)
    elif key in ("cls_token", "pos_embed", "reg_token", "dist_token"):
        values = 0.2 * rng.standard_normal(shape)
    elif key.endswith(".weight") and len(shape) >= 2:
        values = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    elif key.endswith(".weight"):
        values = 0.5 + rng.random(shape)
    else:
        values = 0.1 * rng.standard_normal(shape)
    return torch.from_numpy(np.asarray(values, np.float32))


def fill(network: nn.Module) -> nn.Module:
    """Fill a network by the rule, in eval mode."""
    state = network.state_dict()
    network.load_state_dict(
        {key: value(key, tuple(old.shape)) if old.is_floating_point() else old for key, old in state.items()}
    )
    return network.eval()


def vit(name: str, **options: Any) -> Any:
    """timm's VisionTransformer of an entry, filled."""
    config = entries()[name]["config"]
    known = ("img_size", "patch_size", "embed_dim", "depth", "num_heads", "num_classes", "reg_tokens")
    settings = {key: config[key] for key in known if key in config}
    cls = timm.models.vision_transformer.VisionTransformer
    if config.get("variant") == "distilled":
        cls = timm.models.deit.VisionTransformerDistilled
    return fill(cls(**settings, **options))


def assert_close(ours: Tensor, reference: np.ndarray, what: str, tolerance: float = TOLERANCE) -> None:
    """Assert that a result differs by at most `tolerance` of the reference's largest value (at least 1)."""
    assert tuple(ours.shape) == reference.shape, what
    error = float(np.abs(ours.detach().numpy() - reference).max() / max(1.0, np.abs(reference).max()))
    tell_difference(error, what)
    assert error <= tolerance, f"{what}: error {error:.1e}"

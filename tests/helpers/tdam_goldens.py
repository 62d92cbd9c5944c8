"""The TDAM authors' networks as the reference data states them: weights, options and outputs."""

from __future__ import annotations

import functools
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from shared import golden_path
from torch import Tensor, nn

import tdam

TOLERANCE = 1e-4  # of the reference's largest value, as the reference data suggests

ATTENTIONS = {
    "joint_top_bottom_concat_attention": "joint",
    "top_attention_only": "top",
    "joint_top_bottom_bilinear_attention": "sum",
    "simple_mapping": "mapping",
}
POOLINGS = {"mp": "max", "avp": "avg", "learn_pool_shared": "learned_shared"}


@functools.cache
def configurations() -> dict[str, dict[str, Any]]:
    """Every configuration of the reference data."""
    return json.loads(golden_path("tdam", "models_index.json").read_text())["configs"]


def fill_b(shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Deterministic weights by name and shape; "fill B" of the reference data's index."""
    return {key: torch.from_numpy(_fill(key, tuple(shape))) for key, shape in shapes.items()}


@functools.lru_cache(maxsize=1000)  # configurations of one backbone share most of their weights
def _fill(key: str, shape: tuple[int, ...]) -> np.ndarray:
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    rng = np.random.default_rng(zlib.crc32(key.encode("utf-8")))
    if key.endswith((".running_mean", ".bias")):
        values = 0.1 * rng.standard_normal(shape)
    elif key.endswith(".weight") and len(shape) >= 2:
        values = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    else:
        values = 0.5 + rng.random(shape)
    if ".RA_block." in key and len(shape) >= 2:
        values = values * min(1, 3 / np.sqrt(shape[0]))
    elif ".bn" in key and key.endswith(".weight"):
        values = values * 0.4
    elif key.endswith(".gamma"):
        values = values * 0.3
    return np.asarray(values, np.float32)


def images(count: int, size: int) -> Tensor:
    """The reference data's input."""
    values = np.random.default_rng(0).standard_normal((count, 3, size, size))
    return torch.from_numpy(values.astype(np.float32))


def create(name: str) -> nn.Module:
    """Our network for a configuration of the reference data."""
    configuration = configurations()[name]
    options: dict[str, Any] = {
        "steps": configuration["time_steps"],
        "distance": configuration["m"],
        "attention": ATTENTIONS[configuration["spotlight_gen_technique"]],
    }
    if "td_blocks_per_layer" in configuration:
        options["td_blocks"] = {i + 1: b for i, b in enumerate(configuration["td_blocks_per_layer"]) if b}
    if "rep_pooling_techniques" in configuration:
        options["pooling"] = [POOLINGS[pooling] for pooling in configuration["rep_pooling_techniques"]]
    if "operation_seq" in configuration:
        options["order"] = configuration["operation_seq"]
    if "rep_reduction_tuple" in configuration:
        options["hidden_channels"] = configuration["rep_reduction_tuple"][1]
    if configuration.get("use_bnt") is False:
        options["step_norm"] = "none"
    if configuration["family"] == "legacy_resnet":
        base = "resnet18" if configuration["block"] == "basic" else "resnet50"
    else:
        base = configuration["arch"].removeprefix("td_").removeprefix("td")
    return tdam.create_model(f"{base}_tdam", num_classes=configuration["num_classes"], **options)


def create_filled(name: str, folder: Path) -> nn.Module:
    """The same with fill B, loaded from a file as the authors write them."""
    path = folder / f"{name}.pth.tar"
    state = fill_b(configurations()[name]["state_dict"])
    torch.save({"epoch": 3, "arch": "tdresnet", "state_dict": state}, path)
    model = create(name)
    tdam.load_checkpoint(model, path)
    path.unlink()
    return model


def assert_close(ours: Tensor, reference: np.ndarray, what: str, tolerance: float = TOLERANCE) -> None:
    """Assert that a result differs by at most `tolerance` of the reference's largest value."""
    error = np.abs(ours.detach().numpy() - reference).max() / np.abs(reference).max()
    assert ours.shape == reference.shape, what
    assert error <= tolerance, f"{what}: relative error {error:.1e}"

"""Outputs of the methods' reference implementations: weights by name, inputs by seed, ours loaded with them.

The files in `tests/data/goldens/methods` hold what the authors' code gave in float64; `index.json` names the commits.
"""

from __future__ import annotations

import functools
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from shared import golden_path, tell_difference
from torch import Tensor

import tdam
from wsol.methods import Method, create_method, load_authors

FOLDER = golden_path("methods")


@functools.cache
def configuration(name: str) -> dict[str, Any]:
    """What a golden was computed from."""
    return json.loads((FOLDER / "index.json").read_text())["configs"][name]


def arrays(name: str) -> dict[str, np.ndarray]:
    """The numbers of a golden."""
    with np.load(FOLDER / f"{name}.npz") as file:
        return dict(file)


def fill(key: str, shape: Sequence[int]) -> Tensor:
    """Weights of a tensor of this name: float32 values in float64."""
    if key.endswith("num_batches_tracked"):
        return torch.tensor(0)
    random = np.random.default_rng(zlib.crc32(key.encode()))
    if key.endswith(".running_var"):
        values = 0.5 + random.random(shape)
    elif key.endswith(".running_mean"):
        values = 0.1 * random.standard_normal(shape)
    elif key.endswith(".weight") and len(shape) >= 2:
        values = random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    elif key.endswith(".weight"):
        values = 0.5 + random.random(shape)
    else:
        values = 0.1 * random.standard_normal(shape)
    if key.endswith("bn3.weight"):
        values = 0.3 * values
    return torch.from_numpy(np.asarray(values, np.float32).astype(np.float64))


def state(name: str) -> dict[str, Tensor]:
    """A file as the authors would write it, filled."""
    return {key: fill(key, shape) for key, shape in configuration(name)["state_dict"].items()}


def images(name: str) -> Tensor:
    """The golden's input ``(B, 3, size, size)``."""
    config = configuration(name)
    size, batch = config["size"], config["batch"]
    random = np.random.default_rng(config["image_seed"])
    coarse = random.standard_normal((batch, 3, -(-size // 8), -(-size // 8)))
    coarse = coarse.repeat(8, 2).repeat(8, 3)[:, :, :size, :size]
    noise = random.standard_normal((batch, 3, size, size))
    return torch.from_numpy((coarse + 0.5 * noise).astype(np.float32).astype(np.float64))


def labels(name: str) -> Tensor:
    """The golden's class ids."""
    return torch.tensor(configuration(name)["labels"])


def ours(
    name: str, model: str = "resnet50", options: Mapping[str, Any] | None = None, method: str = "", **model_args: Any
) -> Method:
    """Our method with the golden's weights, in training mode and float64, read as a file of the authors."""
    config = configuration(name)
    classes = config.get("num_classes") or {"CUB": 200, "ILSVRC": 1000}.get(config.get("dataset", ""), 3)
    network = tdam.create_model(model, num_classes=classes, **model_args)
    created = create_method(method or config["method"], network, dict(options or {})).double()
    load_authors(created, state(name), name)
    return created.train()


def assert_gradients(name: str, method: Method, ours_of: Mapping[str, str], tolerance: float = 1e-8) -> None:
    """Assert that the norm of every parameter's gradient is the reference's; -1 there is no gradient here.

    Args:
        name: The golden.
        method: After the backward pass.
        ours_of: The authors' name of a parameter -> ours.
        tolerance: Of the largest norm.
    """
    parameters = dict(method.named_parameters())
    expected = arrays(name)["train/grad_norm"]
    errors = []
    for key, norm in zip(configuration(name)["parameters"], expected, strict=True):
        if key not in ours_of:
            continue  # a copy of another layer, for the erased pass of BAS
        gradient = parameters[ours_of[key]].grad
        assert (gradient is None) == (norm == -1), key
        if gradient is not None:
            errors.append(abs(gradient.norm().item() - norm) / expected.max())
            assert errors[-1] <= tolerance, key
    tell_difference(max(errors), "gradient norms")


def assert_close(
    actual: Tensor | np.ndarray, expected: np.ndarray, tolerance: float = 1e-8, what: str = "logits and loss"
) -> None:
    """Assert a difference of at most `tolerance` of the reference's largest value."""
    values = np.asarray(actual.detach() if isinstance(actual, Tensor) else actual)
    assert values.shape == expected.shape
    error = np.abs(values - expected).max() / max(np.abs(expected).max(), 1e-12)
    tell_difference(error, what)
    assert error <= tolerance

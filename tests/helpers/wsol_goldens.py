"""Recipes and records of wsolevaluation's goldens, and its ground-truth lists read plainly."""

from __future__ import annotations

import functools
import gzip
import importlib.util
import json
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from shared import golden_path, shared_path

from wsol.sweep import Sweep, best_iou_per_cut


def load_recipes() -> ModuleType:
    """The module that regenerates every golden map bit for bit."""
    spec = importlib.util.spec_from_file_location("regen", golden_path("wsol", "regen.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_json(name: str) -> Any:
    return json.loads(golden_path("wsol", name).read_text())


def load_arrays(name: str) -> Any:
    return np.load(golden_path("wsol", name))


def golden_cases() -> list[dict[str, Any]]:
    with gzip.open(golden_path("wsol", "cases.json.gz")) as file:
        return json.load(file)


def golden_map(recipes: ModuleType, case: dict[str, Any], stored: Any) -> np.ndarray:
    name = f"case{case['case']}"
    if name in stored:
        return recipes.from_u8(stored[name])
    return recipes.score_map(case["kind"], case["seed"], case["H"], case["W"], case["gt_resized"])


@functools.cache
def golden_sweeps() -> list[tuple[dict[str, Any], Sweep]]:
    """Every golden case and the sweep of its map."""
    recipes, stored = load_recipes(), load_arrays("stored_u8.npz")
    sweeps = []
    for case in golden_cases():
        score_map = golden_map(recipes, case, stored)
        assert recipes.u8_sha1(score_map) == case["u8_sha1"]
        sweeps.append((case, best_iou_per_cut(score_map[None], [case["gt_resized"]])))
    return sweeps


@dataclass(frozen=True)
class Lists:
    """Ground truth of one split: sizes ``(N, 2)`` width, height; boxes per image; labels ``(N,)``."""

    sizes: np.ndarray
    boxes: list[np.ndarray]
    labels: np.ndarray


def ground_truth_lists(dataset: str, split: str) -> Lists:
    folder = shared_path("metadata", dataset, split)
    labels = pd.read_csv(folder / "class_labels.txt", names=["id", "label"])
    sizes = pd.read_csv(folder / "image_sizes.txt", names=["id", "w", "h"], index_col="id").loc[labels["id"]]
    boxes = pd.read_csv(folder / "localization.txt", names=["id", "x0", "y0", "x1", "y1"], index_col="id")
    rows = {name: group.to_numpy() for name, group in boxes.groupby(level=0)}
    return Lists(sizes.to_numpy(), [rows[name] for name in labels["id"]], labels["label"].to_numpy())

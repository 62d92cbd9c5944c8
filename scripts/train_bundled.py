"""Trains the networks bundled with the package and writes the median seed of each into wsol/weights/minibirds.

python scripts/train_bundled.py               # finished runs of scripts/compare_attention.py are taken as they are

Both by the recipe wsol/recipes/minibirds.yaml with the same budget. The median seed by MaxBoxAcc of the last step on
the test split is bundled, not the best one; docs/minibirds.md lists all seeds.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from compare_attention import COLUMNS, finished, run_folder, train_all

import tdam
from wsol.training.config import OPERATIONAL

WEIGHTS = Path(__file__).parents[1] / "wsol" / "weights" / "minibirds"
BUNDLED = {"resnet_mini": "plain", "resnet_mini_tdam": "tdam t2 m1"}


def median_run(name: str, seeds: int) -> dict[str, Any]:
    """The last step's figures of the run with the median MaxBoxAcc; the lower one of an even number."""
    rows = [row for row in finished() if row["configuration"] == name and row["seed"] < seeds and row["row"].isdigit()]
    last = max(row["row"] for row in rows)
    ordered = sorted((row for row in rows if row["row"] == last), key=lambda row: row["max_box_acc"])
    return ordered[(len(ordered) - 1) // 2]


def bundle(model: str, name: str, seeds: int) -> None:
    """Write the median run's network with its test figures as metrics."""
    row = median_run(name, seeds)
    network, config = tdam.load_model(run_folder(name, row["seed"]) / "last.safetensors")
    # Places on the machine that trained it are nobody's business.
    config["training"] = {key: value for key, value in config["training"].items() if key not in OPERATIONAL}
    config["metrics"] = {"split": "test", **{key: row[key] for key in COLUMNS}}
    path = WEIGHTS / f"{model}.safetensors"
    tdam.save_checkpoint(network, path, config)
    print(f"{path.name}: {name}, seed {row['seed']}, MaxBoxAcc {row['max_box_acc']}, {path.stat().st_size:,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0 to SEEDS - 1")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    train_all(list(BUNDLED.values()), range(arguments.seeds))
    for model, name in BUNDLED.items():
        bundle(model, name, arguments.seeds)


if __name__ == "__main__":
    main()

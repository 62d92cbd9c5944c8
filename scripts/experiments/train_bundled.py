"""Trains the networks bundled with the package and writes the median seed of each into wsol/weights/minibirds.

python scripts/experiments/train_bundled.py   # finished runs of attention_on_minibirds.py are taken as they are
python scripts/experiments/train_bundled.py --only resnet_mini_tdam2

All by the recipe wsol/recipes/minibirds.yaml with the same budget. The median seed by MaxBoxAcc of the last step on
the test split is bundled, not the best one; docs/minibirds.md lists all seeds.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from attention_on_minibirds import COMPARISON
from comparison import FIGURES

import tdam
from wsol.training.config import OPERATIONAL

WEIGHTS = Path(__file__).parents[2] / "wsol" / "weights" / "minibirds"
# Network -> the experiment's configuration that it is by default.
BUNDLED = {
    "resnet_mini": "plain",
    "resnet_mini_tdam": "tdam t2 m1",
    "resnet_mini_tdam2": "tdam t2 m1 stage gate",
}


def median_run(name: str, seeds: int) -> dict[str, Any]:
    """The last step's figures of the run with the median MaxBoxAcc; the lower one of an even number."""
    rows = COMPARISON.finished()
    rows = rows[(rows.configuration == name) & (rows.seed < seeds) & rows.row.str.isdigit()]
    ordered = rows[rows.row == rows.row.max()].sort_values("max_box_acc").to_dict("records")
    return ordered[(len(ordered) - 1) // 2]


def bundle(model: str, seeds: int) -> None:
    """Write the median run's network with its test figures as metrics."""
    name = BUNDLED[model]
    row = median_run(name, seeds)
    checkpoint = COMPARISON.folder(name, row["seed"]) / "last.safetensors"
    if not checkpoint.exists():  # its figures are known, from another machine
        COMPARISON.run(name, row["seed"])
    network, config = tdam.load_model(checkpoint)
    # The experiment writes out the options that the name has by itself.
    by_name: dict[str, Any] = {"model": model, "model_args": {}}
    config |= by_name
    # Places on the machine that trained it are nobody's business.
    config["training"] = {key: value for key, value in config["training"].items() if key not in OPERATIONAL}
    config["training"] |= by_name
    config["metrics"] = {"split": "test", **{key: row[key] for key in FIGURES}}
    path = WEIGHTS / f"{model}.safetensors"
    tdam.save_checkpoint(network, path, config)
    tdam.load_model(path)  # raises if the name's own options are not those that were trained
    print(f"{path.name}: {name}, seed {row['seed']}, MaxBoxAcc {row['max_box_acc']}, {path.stat().st_size:,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0 to SEEDS - 1")
    parser.add_argument("--only", nargs="+", default=list(BUNDLED), choices=BUNDLED, metavar="MODEL")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    COMPARISON.train_all([BUNDLED[model] for model in arguments.only], range(arguments.seeds))
    for model in arguments.only:
        bundle(model, arguments.seeds)


if __name__ == "__main__":
    main()

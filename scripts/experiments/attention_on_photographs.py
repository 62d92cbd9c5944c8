"""Does attention localize better on photographs? As attention_on_minibirds.py, on ten classes of Tiny-ImageNet.

python scripts/experiments/attention_on_photographs.py --data tiny50 --rounds 3   # finished runs are kept
python scripts/experiments/attention_on_photographs.py --data tiny50 --table      # the tables of what is there

--data is a folder with a dataset.yaml of 64 px images and boxes (the 50 classes of docs/real-photographs.md). Of them
every fifth class is taken, ten in all, chosen before any run. Recipe minibirds but for half its epochs: 4 epochs, batch
32, Muon, image labels only, 64 px input and so a map of 8 x 8. One row per run and step goes to
docs/data/photographs_attention.csv. With --classes or --epochs name another --csv and --runs: it is another experiment.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cross_stage
import pandas as pd
import yaml
from comparison import (
    PLAIN,
    PLAIN_STAGE_GATE,
    Comparison,
    attention_settings,
    parser_of,
    tdam_settings,
    train_and_print,
)

from wsol.data.custom import DESCRIPTION, read_description
from wsol.training import load_recipe

ROOT = Path(__file__).parents[2]
RUNS = ROOT / "runs" / "photographs_attention"
CLASSES = 10
SIDE = 64
EPOCHS = 4


def cross_settings(gate: str, pooled: bool = False, passes: int = 1, **losses: float) -> dict[str, Any]:
    """Settings of a network with feedback across stages; see `cross_stage`."""
    return {
        "model": cross_stage.NAME,
        "model_args": {"gate": gate, "pooled": pooled, "passes": passes},
        "method": cross_stage.METHOD,
        "method_args": losses,
    }


CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "plain": PLAIN,
    "se": attention_settings("se"),
    "cbam": attention_settings("cbam"),
    "tdam t2 m1": tdam_settings(),
    "tdam t2 m2": tdam_settings(distance=2),
    "tdam t2 m1 top": tdam_settings(attention="top"),
    "tdam t3 m1": tdam_settings(steps=3),
    "tdam t2 m1 scaled": tdam_settings(spatial_score="scaled"),
    "plain stage gate": PLAIN_STAGE_GATE,
    "tdam t2 m1 stage gate": tdam_settings(stage_gate=True),
    "cross top": cross_settings("top"),
    "cross top supervised": cross_settings("top", first=0.5),
    "cross both background": cross_settings("both", first=0.5, background=0.5, area=0.5),
    "cross class": cross_settings("class", first=0.5),
    "cross inhibit": cross_settings("inhibit", first=0.5),
    "cross energy": cross_settings("energy", pooled=True),
    "cross energy twice": cross_settings("energy", pooled=True, passes=2),
    "cross pooled background": cross_settings("both", pooled=True, first=0.5, background=0.5, area=0.5),
    "plain stride 16": {**PLAIN, "model_args": {"output_stride": 16}},
    "tdam t2 m1 stride 16": tdam_settings(output_stride=16),
}


def take_classes(data: Path, folder: Path, count: int) -> Path:
    """Describe the images of `count` classes of a dataset, spread evenly over its sorted classes, as one of its own.

    Args:
        data: Folder with a dataset.yaml whose splits name CSV files.
        folder: Where the new description is written; the images stay where they are.
        count: Number of classes.

    Returns:
        The new dataset.yaml.
    """
    description = read_description(data)
    tables = {name: pd.read_csv(files.boxes) for name, files in description.splits.items() if files.boxes}
    # Sorted by the WordNet number at the end, kin stand together: an even spread takes few twins.
    labels = sorted(tables["train"].label.unique(), key=lambda label: label.rsplit("_", 1)[-1])
    chosen = {labels[place * len(labels) // count] for place in range(count)}
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table[table.label.isin(chosen)].to_csv(folder / f"{name}.csv", index=False)
    splits = {
        name: {"images": str(files.images.resolve()), "boxes": f"{name}.csv"}
        for name, files in description.splits.items()
    }
    text = yaml.safe_dump({"name": f"{description.name}-{count}", "splits": splits})
    (folder / DESCRIPTION).write_text(text, encoding="utf-8")
    return folder / DESCRIPTION


def main() -> None:
    parser = parser_of(__doc__, CONFIGURATIONS)
    parser.add_argument("--data", type=Path, required=True, help="folder of the 50 classes, with dataset.yaml")
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of the runs' checkpoints")
    parser.add_argument("--csv", type=Path, default=ROOT / "docs" / "data" / "photographs_attention.csv")
    parser.add_argument("--classes", type=int, default=CLASSES)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    arguments = parser.parse_args()
    dataset = take_classes(arguments.data, arguments.runs / "data", arguments.classes)
    comparison = Comparison(
        csv=arguments.csv,
        runs=arguments.runs,
        configurations=CONFIGURATIONS,
        common={
            **load_recipe("minibirds"),
            "epochs": arguments.epochs,
            "dataset": str(dataset),
            "model_args": {"pretrained_cfg_overlay": {"input_size": (3, SIDE, SIDE)}},
        },
        keep_results=True,
    )
    train_and_print(comparison, arguments)


if __name__ == "__main__":
    main()

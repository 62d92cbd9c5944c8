"""Does attention localize better on photographs? As attention_on_minibirds.py, on ten classes of Tiny-ImageNet.

python scripts/experiments/attention_on_photographs.py --data tiny50 --rounds 3   # finished runs are kept
python scripts/experiments/attention_on_photographs.py --data tiny50 --table      # the tables of what is there
python scripts/experiments/attention_on_photographs.py --data tiny50 --size resnet18 --rounds 3

--data is a folder with a dataset.yaml of 64 px images and boxes (the 50 classes of docs/real-photographs.md). Of them
every fifth class is taken, ten in all, chosen before any run. Recipe minibirds but for half its epochs: 4 epochs, batch
32, Muon, image labels only, 64 px input and so a map of 8 x 8. One row per run and step goes to
docs/data/photographs_attention.csv. With --classes or --epochs name another --csv and --runs: it is another experiment.

--size resnet18 trains networks of that size instead, with a map of 4 x 4, by AdamW: Muon takes longer than all the rest
of a step there. Their rows go to docs/data/photographs_attention_resnet18.csv. --size resnet18-fine: the same with a
map of 8 x 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cross_stage
import pandas as pd
import yaml
from comparison import Comparison, parser_of, train_and_print
from configurations import ATTENTION, JOINT

from wsol.data.custom import DESCRIPTION, read_description
from wsol.training import load_recipe

ROOT = Path(__file__).parents[2]
CLASSES = 10
SIDE = 64
EPOCHS = 4
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    **ATTENTION,
    "cross energy twice": {"model": cross_stage.NAME, "model_args": {"passes": 2}},
}
RESNET18: dict[str, dict[str, Any]] = {
    "plain": {"model": "resnet18"},
    "tdam t2 m1": {"model": "resnet18_tdam", "model_args": JOINT},
    "cross energy": {"model": cross_stage.NAME_18},
}


@dataclass(frozen=True)
class Size:
    """Networks of one size.

    Attributes:
        configurations: Name -> settings of training that differ.
        common: Settings of training over those of the recipe.
        name: Of the CSV and the folder of runs.
    """

    configurations: dict[str, dict[str, Any]]
    common: dict[str, Any]
    name: str


INPUT = {"pretrained_cfg_overlay": {"input_size": (3, SIDE, SIDE)}}


def of_resnet18(output_stride: int, name: str) -> Size:
    """Networks of ResNet-18's size whose maps are smaller than the images by `output_stride`."""
    model_args = {**INPUT, "output_stride": output_stride}
    return Size(RESNET18, {"optimizer": "adamw", "lr": 1e-3, "model_args": model_args}, name)


SIZES = {
    "thin": Size(CONFIGURATIONS, {"model_args": INPUT}, "photographs_attention"),
    "resnet18": of_resnet18(16, "photographs_attention_resnet18"),
    "resnet18-fine": of_resnet18(8, "photographs_attention_resnet18_fine"),
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
    parser.add_argument("--size", choices=SIZES, default="thin")
    parser.add_argument("--runs", type=Path, help="folder of the runs' checkpoints")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--classes", type=int, default=CLASSES)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.set_defaults(only=None)  # which those of the size take the place of
    arguments = parser.parse_args()
    size = SIZES[arguments.size]
    arguments.only = arguments.only or list(size.configurations)
    if unknown := set(arguments.only) - set(size.configurations):
        parser.error(
            f"--size {arguments.size} has no {', '.join(sorted(unknown))}, but: {', '.join(size.configurations)}"
        )
    runs = arguments.runs or ROOT / "runs" / size.name
    dataset = take_classes(arguments.data, runs / "data", arguments.classes)
    comparison = Comparison(
        csv=arguments.csv or ROOT / "docs" / "data" / f"{size.name}.csv",
        runs=runs,
        configurations=size.configurations,
        common={**load_recipe("minibirds"), "epochs": arguments.epochs, "dataset": str(dataset), **size.common},
        keep_results=True,
    )
    train_and_print(comparison, arguments)


if __name__ == "__main__":
    main()

r"""The runs of attention_on_photographs.py under other maps, without training anything again.

python scripts/experiments/maps_of_attention_runs.py --runs runs/photographs_attention
python scripts/experiments/maps_of_attention_runs.py --table
python scripts/experiments/maps_of_attention_runs.py --runs runs/photographs_attention_resnet18 \
    --csv docs/data/photographs_maps_resnet18.csv

The class activation map of the label, and the mean of all channels, which asks for no class: both of the last step, at
the best threshold of the test split. One row per run and map goes to docs/data/photographs_maps.csv; judged runs are
kept.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cross_stage  # noqa: F401 - its networks join timm's registry
import numpy as np
import pandas as pd
import torch
from comparison import gain, markdown, mean_and_interval
from kept_features import CHANNEL_MEAN, judge_features

import tdam
from eval.analysis.baselines import baselines
from eval.analysis.curves import count_split
from eval.analysis.figures import row_figures
from eval.analysis.object_sizes import object_size_figures
from eval.judging.hits import row_hits
from eval.judging.thresholds import Thresholds
from eval.protocols import get_protocol
from tdam.checkpoints import read_config
from tdam.files import replacing
from wsol.data import LocalizationDataset, load_dataset
from wsol.data.transforms import evaluation_transform
from wsol.opening import open_trained
from wsol.sweep import cam_thresholds

ROOT = Path(__file__).parents[2]
CSV = ROOT / "docs" / "data" / "photographs_maps.csv"
MAPS = ("cam", CHANNEL_MEAN)
FIGURES = ("max_box_acc", "max_box_acc_v2", "size_balanced", "centre_box_fails", "any_threshold")


def judge(checkpoint: Path, dataset: LocalizationDataset) -> list[dict[str, Any]]:
    """Figures of one run under every map."""
    network = open_trained(read_config(checkpoint)["model"], checkpoint=checkpoint)
    preprocessing = network.preprocessing
    dataset.transform = evaluation_transform(network.input_size, mean=preprocessing["mean"], std=preprocessing["std"])
    loader = torch.utils.data.DataLoader(dataset, batch_size=64)
    with torch.no_grad():
        features = torch.cat([tdam.forward_steps(network.model, images).features[-1] for images, _, _ in loader])
    protocol, (height, width) = get_protocol("wsolevaluation"), network.input_size
    box = baselines(dataset.ground_truth, protocol, (width, height))["centre_box"].box
    rows = []
    for method in MAPS:
        folder = checkpoint.parent / "records" / method.replace(" ", "_")
        judged = judge_features(
            features.numpy(), network, dataset, method, protocol, Thresholds(protocol.fixed_threshold), folder
        )
        figures = row_figures(judged, count_split(judged), "1")
        sizes = object_size_figures(judged, box, (width, height), replicates=0)["1"]
        records = np.concatenate(list(judged.records()))
        found = {
            "max_box_acc": figures["max_box_acc"],
            "max_box_acc_v2": figures["max_box_acc_v2"],
            **{figure: sizes[figure]["oracle"] for figure in ("size_balanced", "centre_box_fails")},
            # An oracle per image: as if its own best threshold were known.
            "any_threshold": 100.0 * row_hits(records, 0, cam_thresholds(), protocol)["gt_known_loc"].any(1).mean(),
            **{row["size"]: row["oracle"] for row in sizes["by_size"]},
            **{f"threshold {row['size']}": row["threshold"] for row in sizes["by_size"]},
        }
        rows.append({"map": method, **{key: round(float(value), 3) for key, value in found.items()}})
    return rows


def table(rows: pd.DataFrame) -> str:
    """Means over seeds, and what the mean of channels gains against the plain network's CAM."""
    plain = rows[(rows.configuration == "plain") & (rows["map"] == "cam")]
    lines = []
    for (name, method), runs in rows.groupby(["configuration", "map"], sort=False):
        means = [mean_and_interval(runs[figure]) for figure in FIGURES]
        named = runs.assign(configuration=f"{name}, {method}")
        gains = [gain(named, plain, figure) for figure in ("max_box_acc", "size_balanced")]
        lines.append([str(name), str(method), str(len(runs)), *means, *gains])
    against = [f"{figure} against plain's cam" for figure in ("max_box_acc", "size_balanced")]
    return markdown(["configuration", "map", "seeds", *FIGURES, *against], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "photographs_attention")
    parser.add_argument("--csv", type=Path, default=CSV, help="another one for --runs of another experiment")
    parser.add_argument("--table", action="store_true", help="print the table of judged runs and end")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    csv = arguments.csv
    rows = pd.read_csv(csv) if csv.exists() else pd.DataFrame({"configuration": [], "seed": []})
    done = set(zip(rows.configuration, rows.seed.astype(int), strict=True))
    for path in () if arguments.table else sorted(arguments.runs.glob("*/seed*/evaluation/results.json")):
        folder = path.parents[1]
        name, seed = folder.parent.name.replace("_", " "), int(folder.name.removeprefix("seed"))
        if (name, seed) not in done:
            judged = judge(folder / "last.safetensors", load_dataset(arguments.runs / "data", "test"))
            found = pd.DataFrame([{"configuration": name, "seed": seed, **row} for row in judged])
            rows = found if rows.empty else pd.concat([rows, found], ignore_index=True)
            rows = rows.sort_values(["configuration", "seed"], kind="stable")
            with replacing(csv) as part:
                rows.to_csv(part, index=False)
    print(table(pd.read_csv(csv)))


if __name__ == "__main__":
    main()

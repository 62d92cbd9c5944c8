"""Does attention localize better? Trains every configuration from scratch on minibirds, alike but for one thing.

python scripts/compare_attention.py --rounds 5                   # all, seed after seed; finished runs are kept
python scripts/compare_attention.py --only plain tdam --rounds 3
python scripts/compare_attention.py --table                      # the tables of what is there

Same recipe (wsol/recipes/minibirds.yaml), same data, same budget for all; the last checkpoint is judged, so nothing
is selected by boxes. One row per run and step (and fusion of steps) goes to docs/data/compare_attention.csv.
A run whose rows are in that file is not repeated, on whatever machine it was done. Several copies of the script may run
at once: each run is done by one of them.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from filelock import FileLock, Timeout
from scipy.stats import t, ttest_ind

from eval.evaluation import EvaluationOptions, evaluate
from eval.judging.process import Process
from tdam.macs import count_macs
from wsol.training import Trainer, TrainingConfig, load_recipe
from wsol.training.state import write_atomically

ROOT = Path(__file__).parents[1]
CSV = ROOT / "docs" / "data" / "compare_attention.csv"
RUNS = ROOT / "runs" / "compare_attention"
TDAM = "resnet_mini_tdam"
# The published module with reduction 16, whose growth of parameters is that of SE.
JOINT = {"distance": 1, "reduction": 16}


def tdam_settings(**options: Any) -> dict[str, Any]:
    """Settings of a TDAM network that differs from the first one by `options`."""
    return {"model": TDAM, "model_args": {**JOINT, **options}}


def attention_settings(layer: str) -> dict[str, Any]:
    """Settings of the plain network with one of timm's attention layers in every block."""
    return {"model": "resnet_mini", "model_args": {"block_args": {"attn_layer": layer}}}


PLAIN = {"model": "resnet_mini"}
EPOCHS = load_recipe("minibirds")["epochs"]
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "plain": PLAIN,
    "se": attention_settings("se"),
    "eca": attention_settings("eca"),
    "cbam": attention_settings("cbam"),
    "tdam t2 m1": tdam_settings(),
    "tdam t2 m2": tdam_settings(distance=2),
    "tdam t2 m1 identity start": tdam_settings(init="identity"),
    "tdam t2 m1 top": tdam_settings(attention="top"),
    "tdam t3 m1": tdam_settings(steps=3),
    "tdam t2 m1 deep supervision": {**tdam_settings(), "step_loss_weights": (0.5, 1.0)},
    "tdam t2 m1 diversity": {**tdam_settings(), "step_loss_weights": (0.5, 1.0), "step_diversity": 0.5},
    "tdam t3 m1 diversity": {
        **tdam_settings(steps=3),
        "step_loss_weights": (0.5, 0.5, 1.0),
        "step_diversity": 0.5,
    },
    "plain stage gate": {"model": TDAM, "model_args": {"steps": 1, "td_blocks": {}, "stage_gate": True}},
    "tdam t2 m1 stage gate": tdam_settings(stage_gate=True),
    "tdam t3 m1 stage gate": tdam_settings(stage_gate=True, steps=3),
    "tdam t2 m1 last stage": tdam_settings(td_blocks={4: "all"}),
    "tdam t2 m1 all stages": tdam_settings(td_blocks={1: "all", 2: "all", 3: "all", 4: "all"}),
    "tdam t2 m1 channel": tdam_settings(order="channel"),
    "tdam t2 m1 spatial": tdam_settings(order="spatial"),
    "plain stride 4": {**PLAIN, "model_args": {"output_stride": 4}},
    "tdam t2 m1 stride 4": tdam_settings(output_stride=4),
    "plain double epochs": {**PLAIN, "epochs": 2 * EPOCHS},
    "tdam t2 m1 double epochs": {**tdam_settings(), "epochs": 2 * EPOCHS},
}
# The six methods on both networks (cam is the default above). ACoL heads of 1024 channels would dwarf the thin network.
METHOD_ARGS = {"acol": {"width": 96}}
for method in ("has", "cutmix", "adl", "acol", "spg"):
    for name, settings in (("plain", PLAIN), ("tdam t2 m1", tdam_settings())):
        CONFIGURATIONS[f"{name} {method}"] = {
            **settings,
            "method": method,
            "method_args": METHOD_ARGS.get(method, {}),
        }
COLUMNS = ("top1_cls", "gt_known_loc", "top1_loc", "max_box_acc", "max_box_acc_v2", "pxap")


def run_folder(name: str, seed: int) -> Path:
    """Where a run lies."""
    return RUNS / name.replace(" ", "_") / f"seed{seed}"


def run(name: str, seed: int) -> list[dict[str, Any]]:
    """Train and judge one configuration with one seed; one row per step and fusion."""
    folder = run_folder(name, seed)
    settings = {**load_recipe("minibirds"), "dataset": "minibirds", **CONFIGURATIONS[name]}
    config = TrainingConfig.from_dict({**settings, "seed": seed, "output": str(folder), "tensorboard": False})
    began = time.perf_counter()
    trainer = Trainer(config)
    trainer.resume()
    trainer.fit()
    seconds = time.perf_counter() - began
    network = trainer.trained.network
    options = EvaluationOptions(
        dataset="minibirds", model=config.model, checkpoint=folder / "last.safetensors", attention_shift=False
    )
    results = evaluate(options, Process(), torch.device("cpu"))
    facts = {
        "configuration": name,
        "seed": seed,
        "epochs": config.epochs,
        "parameters": sum(parameter.numel() for parameter in trainer.trained.deployed.parameters()),
        "macs": count_macs(network, (3, 96, 96)).conv_linear,
        "seconds": round(seconds),
    }
    rows = {**results["steps"], **results["fusions"], "any step": results["any_step_oracle"]}
    return [{**facts, "row": row, **figures_of(figures)} for row, figures in rows.items() if figures is not None]


def figures_of(figures: dict[str, Any]) -> dict[str, float]:
    """The columns of one step or fusion; Loc at the threshold chosen on val."""
    values = {key: figures.get(key) for key in COLUMNS}
    return {
        key: round(value["val"] if isinstance(value, dict) else value, 3)
        for key, value in values.items()
        if value is not None
    }


def finished() -> pd.DataFrame:
    """Rows of all finished runs, one per run and step or fusion."""
    return pd.read_csv(CSV, dtype={"row": str}) if CSV.exists() else pd.DataFrame({"configuration": [], "seed": []})


def is_finished(name: str, seed: int) -> bool:
    """Whether the results of a run are in the CSV."""
    rows = finished()
    return bool(((rows.configuration == name) & (rows.seed == seed)).any())


def keep(rows: list[dict[str, Any]]) -> None:
    """Add the rows of a run to the CSV, which stays in the order of `CONFIGURATIONS`; other processes wait."""
    order = list(CONFIGURATIONS)
    with FileLock(RUNS / "csv.lock"):
        everything = pd.concat([finished(), pd.DataFrame(rows)], ignore_index=True)
        places = everything.configuration.map(order.index) * 1000 + everything.seed
        everything = everything.loc[places.sort_values(kind="stable").index]
        write_atomically(CSV, lambda path: everything.to_csv(path, index=False))


def train_all(names: list[str], seeds: range) -> None:
    """Do the runs that are not done, the first seed of all configurations first."""
    for seed in seeds:
        for name in names:
            claim = run_folder(name, seed).with_suffix(".lock")
            claim.parent.mkdir(parents=True, exist_ok=True)
            # A run that another process is at is left to it; the lock of one that died is free.
            with contextlib.suppress(Timeout), FileLock(claim, timeout=0):
                if not is_finished(name, seed):
                    keep(run(name, seed))


def mean_and_interval(values: pd.Series) -> str:
    """Mean ± half width of the 95 % interval over seeds (Student's t); the mean alone of fewer than two."""
    values = values.dropna()
    if values.empty:
        return "–"
    if len(values) < 2:
        return f"{values.mean():.1f}"
    return f"{values.mean():.1f} ± {t.ppf(0.975, len(values) - 1) * values.std() / len(values) ** 0.5:.1f}"


def gain(runs: pd.DataFrame, base: pd.DataFrame, column: str = "max_box_acc") -> str:
    """Difference of means ± half its 95 % interval (Welch's t, seeds as independent draws)."""
    if len(runs) < 2 or len(base) < 2 or runs.configuration.iloc[0] == base.configuration.iloc[0]:
        return "–"
    interval = ttest_ind(runs[column], base[column], equal_var=False).confidence_interval(0.95)
    return f"{(interval.low + interval.high) / 2:+.1f} ± {(interval.high - interval.low) / 2:.1f}"


def markdown(header: list[str], lines: list[list[str]]) -> str:
    """A table in Markdown."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, ["---"] * len(header), *lines])


def table(rows: pd.DataFrame) -> str:
    """Figures of the last step of every configuration."""
    last = rows[rows.row.str.isdigit()].sort_values("row").groupby(["configuration", "seed"], sort=False).tail(1)
    plain = last[last.configuration == "plain"]
    lines = []
    for name in CONFIGURATIONS:
        runs = last[last.configuration == name]
        if not runs.empty:
            facts = [str(len(runs)), f"{runs.parameters.iloc[0]:,}", f"{runs.macs.iloc[0] / 1e6:.1f}"]
            figures = [mean_and_interval(runs[column]) for column in COLUMNS]
            lines.append([name, *facts, *figures, gain(runs, plain)])
    header = ["configuration", "seeds", "parameters", "MMACs", *COLUMNS, "max_box_acc against plain"]
    return markdown(header, lines)


def table_of_steps(rows: pd.DataFrame, column: str = "max_box_acc") -> str:
    """One figure of every step, of the fusions and of the any-step oracle."""
    names = ["1", "2", "3", "mean", "max", "confidence", "any step"]
    lines = []
    for name in CONFIGURATIONS:
        runs = rows[rows.configuration == name]
        if runs.row.nunique() > 1:
            lines.append([name, *(mean_and_interval(runs[column][runs.row == row]) for row in names)])
    return markdown([column, *(f"step {row}" if row.isdigit() else row for row in names)], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="seeds 0 to ROUNDS - 1")
    parser.add_argument("--only", nargs="+", default=list(CONFIGURATIONS), choices=CONFIGURATIONS, metavar="NAME")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of this process")
    parser.add_argument("--table", action="store_true", help="print the tables of finished runs and end")
    arguments = parser.parse_args()
    if not arguments.table:
        torch.set_num_threads(arguments.threads)
        train_all(arguments.only, range(arguments.rounds))
    rows = finished()
    print(table(rows), table_of_steps(rows), sep="\n\n")


if __name__ == "__main__":
    main()

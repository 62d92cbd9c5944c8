"""Trains configurations that differ in one thing, seed after seed, and keeps what each run scores in a CSV.

What the experiments share. A run whose rows are in the CSV is not repeated, on whatever machine it was done; a killed
one continues from its last epoch. Several copies of a script may run at once: each run is done by one of them. The last
checkpoint is judged, so nothing is selected by boxes.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from filelock import FileLock, Timeout
from scipy.stats import t, ttest_ind

from eval.evaluation import evaluate
from eval.judging.process import Process
from eval.options import EvaluationOptions
from tdam.files import write_text
from tdam.macs import count_macs
from wsol.training import Trainer, TrainingConfig

FIGURES = ("top1_cls", "gt_known_loc", "top1_loc", "max_box_acc", "max_box_acc_v2", "pxap")


@dataclass(frozen=True)
class Comparison:
    """Configurations that are trained alike and judged alike.

    Attributes:
        csv: One row per run and step, fusion of steps or oracle.
        runs: Folder of the runs' checkpoints.
        configurations: Name -> settings of training that differ from `common`; the one called "plain" is the base.
        common: Settings of training, with the dataset.
        keep_results: Also write predictions, curves and results.json of every run into its folder.
    """

    csv: Path
    runs: Path
    configurations: Mapping[str, Mapping[str, Any]]
    common: Mapping[str, Any]
    keep_results: bool = False

    def folder(self, name: str, seed: int) -> Path:
        """Where a run lies."""
        return self.runs / name.replace(" ", "_") / f"seed{seed}"

    def config(self, name: str, seed: int) -> TrainingConfig:
        """All settings of a run; options of the network from `common` hold where a configuration names no other."""
        settings = {**self.common, **self.configurations[name]}
        settings["model_args"] = {
            **self.common.get("model_args", {}),
            **self.configurations[name].get("model_args", {}),
        }
        return TrainingConfig.from_dict(
            {**settings, "seed": seed, "output": str(self.folder(name, seed)), "tensorboard": False}
        )

    def run(self, name: str, seed: int) -> list[dict[str, Any]]:
        """Train and judge one configuration with one seed; one row per step, fusion and the any-step oracle."""
        config, folder = self.config(name, seed), self.folder(name, seed)
        began = time.perf_counter()
        trainer = Trainer(config)
        trainer.resume()
        trainer.fit()
        seconds = time.perf_counter() - began
        options = EvaluationOptions(
            dataset=config.dataset,
            data_root=None if config.data_root is None else Path(config.data_root),
            model=config.model,
            checkpoint=folder / "last.safetensors",
            output=folder / "evaluation" if self.keep_results else None,
            gallery=0,
            attention_shift=self.keep_results,
        )
        results = evaluate(options, Process(), torch.device("cpu"))
        facts = {
            "configuration": name,
            "seed": seed,
            "epochs": config.epochs,
            "parameters": sum(parameter.numel() for parameter in trainer.trained.deployed.parameters()),
            "macs": count_macs(trainer.trained.network, trainer.preprocessing["input_size"]).conv_linear,
            "seconds": round(seconds),
        }
        rows = {**results["steps"], **results["fusions"], "any step": results["any_step_oracle"]}
        return [{**facts, "row": row, **figures_of(figures)} for row, figures in rows.items() if figures is not None]

    def finished(self) -> pd.DataFrame:
        """Rows of all finished runs."""
        if self.csv.exists():
            return pd.read_csv(self.csv, dtype={"row": str})
        return pd.DataFrame({"configuration": [], "seed": [], "row": []})

    def is_finished(self, name: str, seed: int) -> bool:
        """Whether the results of a run are in the CSV."""
        rows = self.finished()
        return bool(((rows.configuration == name) & (rows.seed == seed)).any())

    def keep(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add the rows of a run to the CSV, which stays in the order of the configurations; other processes wait."""
        order = list(self.configurations)
        with FileLock(self.runs / "csv.lock"):
            earlier = [self.finished()] if self.csv.exists() else []
            everything = pd.concat([*earlier, pd.DataFrame(rows)], ignore_index=True)
            places = everything.configuration.map(order.index) * 1000 + everything.seed
            everything = everything.loc[places.sort_values(kind="stable").index]
            write_text(self.csv, everything.to_csv(index=False))

    def train_all(self, names: Sequence[str], seeds: range) -> None:
        """Do the runs that are not done, the first seed of all configurations first."""
        for seed in seeds:
            for name in names:
                claim = self.folder(name, seed).with_suffix(".lock")
                claim.parent.mkdir(parents=True, exist_ok=True)
                # A run that another process is at is left to it; the lock of one that died is free.
                with contextlib.suppress(Timeout), FileLock(claim, timeout=0):
                    if not self.is_finished(name, seed):
                        self.keep(self.run(name, seed))

    def table(self) -> str:
        """Figures of the last step of every configuration."""
        last = last_steps(self.finished())
        figures = [figure for figure in FIGURES if figure in last]
        plain = last[last.configuration == "plain"]
        lines = []
        for name in self.configurations:
            runs = last[last.configuration == name]
            if not runs.empty:
                facts = [str(len(runs)), f"{int(runs.parameters.iloc[0]):,}", f"{runs.macs.iloc[0] / 1e6:.1f}"]
                means = [mean_and_interval(runs[figure]) for figure in figures]
                lines.append([name, *facts, *means, gain(runs, plain), paired_gain(runs, plain)])
        against = ["max_box_acc against plain", "paired by seed"]
        header = ["configuration", "seeds", "parameters", "MMACs", *figures, *against]
        return markdown(header, lines)

    def table_of_steps(self, figure: str = "max_box_acc") -> str:
        """One figure of every step, of the fusions and of the any-step oracle."""
        rows = self.finished()
        names = ["1", "2", "3", "mean", "max", "confidence", "any step"]
        lines = []
        for name in self.configurations:
            runs = rows[rows.configuration == name]
            if runs.row.nunique() > 1:
                lines.append([name, *(mean_and_interval(runs[figure][runs.row == row]) for row in names)])
        return markdown([figure, *(f"step {row}" if row.isdigit() else row for row in names)], lines)


def last_steps(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of every run's last step."""
    return rows[rows.row.str.isdigit()].sort_values("row").groupby(["configuration", "seed"], sort=False).tail(1)


def figures_of(figures: Mapping[str, Any]) -> dict[str, float]:
    """The figures of one row; Loc at the threshold chosen on val."""
    values = {key: figures.get(key) for key in FIGURES}
    return {
        key: round(value["val"] if isinstance(value, dict) else value, 3)
        for key, value in values.items()
        if value is not None
    }


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


def paired_gain(runs: pd.DataFrame, base: pd.DataFrame, column: str = "max_box_acc") -> str:
    """Mean difference over common seeds ± half its 95 % interval (Student's t)."""
    values = runs.set_index("seed")[column] - base.set_index("seed")[column]
    values = values.dropna()
    if len(values) < 2 or runs.configuration.iloc[0] == base.configuration.iloc[0]:
        return "–"
    half = t.ppf(0.975, len(values) - 1) * values.std() / len(values) ** 0.5
    return f"{values.mean():+.1f} ± {half:.1f}"


def markdown(header: list[str], lines: list[list[str]]) -> str:
    """A table in Markdown."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, ["---"] * len(header), *lines])


def parser_of(description: str | None, configurations: Mapping[str, Any]) -> argparse.ArgumentParser:
    """The command line that every experiment has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="seeds 0 to ROUNDS - 1")
    parser.add_argument("--only", nargs="+", default=list(configurations), choices=configurations, metavar="NAME")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of this process")
    parser.add_argument("--table", action="store_true", help="print the tables of finished runs and end")
    return parser


def train_and_print(comparison: Comparison, arguments: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    if not arguments.table:
        torch.set_num_threads(arguments.threads)
        comparison.train_all(arguments.only, range(arguments.rounds))
    print(comparison.table(), comparison.table_of_steps(), sep="\n\n")

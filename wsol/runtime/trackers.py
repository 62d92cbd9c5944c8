"""Experiment trackers: TensorBoard, Weights & Biases and MLflow, through their own packages.

Each is imported when it is used; none is needed otherwise.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from tdam.errors import UserError
from tdam.files import write_text

TrackerName = Literal["tensorboard", "wandb", "mlflow"]
TRACKERS: tuple[TrackerName, ...] = get_args(TrackerName)
PROJECT = "wsol"  # the project of Weights & Biases, the experiment of MLflow
IDS = "trackers.json"  # ids of the runs at the services, so that a resumed run continues them


class Tracker(Protocol):
    """One run at one tracker."""

    id: str | None

    def log(self, values: Mapping[str, float], step: int, axis: str) -> None:
        """Record values.

        Args:
            values: Name, such as ``train/loss``, -> value.
            step: Where on the axis.
            axis: What the steps count, such as ``update`` or ``epoch``.
        """

    def close(self) -> None:
        """End the run."""


class TensorBoard:
    """Event files in ``tensorboard/`` of the run's folder."""

    id: str | None = None

    def __init__(self, package: Any, folder: Path, first_step: int) -> None:
        self.writer = package.SummaryWriter(str(folder / "tensorboard"), purge_step=first_step or None)

    def log(self, values: Mapping[str, float], step: int, axis: str) -> None:
        """Record values; see `Tracker.log`."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)
        if axis != "update":
            self.writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self.writer.close()


class WandB:
    """A run of Weights & Biases. Each axis is a value of its own: a run holds curves over updates and over epochs."""

    def __init__(self, package: Any, folder: Path, name: str, settings: Mapping[str, Any], run_id: str | None) -> None:
        self.run = package.init(
            project=PROJECT, name=name, dir=str(folder), config=dict(settings), id=run_id, resume="allow"
        )
        self.id: str | None = self.run.id
        self.axes: set[str] = set()

    def log(self, values: Mapping[str, float], step: int, axis: str) -> None:
        """Record values; see `Tracker.log`."""
        if axis not in self.axes:
            self.run.define_metric(axis)
            self.axes.add(axis)
        for name in values:
            self.run.define_metric(name, step_metric=axis)
        self.run.log({**values, axis: step})

    def close(self) -> None:
        """End the run."""
        self.run.finish()


class MLflow:
    """A run of MLflow, at the server that ``MLFLOW_TRACKING_URI`` names, else in ``mlruns/``."""

    def __init__(self, package: Any, name: str, settings: Mapping[str, Any], run_id: str | None) -> None:
        self.package = package
        package.set_experiment(PROJECT)
        self.id: str | None = package.start_run(run_id=run_id, run_name=name).info.run_id
        if run_id is None:
            package.log_params(dict(settings))

    def log(self, values: Mapping[str, float], step: int, axis: str) -> None:
        """Record values; see `Tracker.log`."""
        self.package.log_metrics(dict(values), step=step)

    def close(self) -> None:
        """End the run."""
        self.package.end_run()


def import_tracker(name: TrackerName) -> Any:
    """The package of a tracker.

    Raises:
        UserError: If it is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module("torch.utils.tensorboard" if name == "tensorboard" else name)
    except ImportError as error:
        raise UserError(f"--log {name} needs the package {name}: pip install {name}") from error


def open_trackers(
    names: Sequence[TrackerName], folder: Path, name: str, settings: Mapping[str, Any], first_step: int = 0
) -> list[Tracker]:
    """Begin a run at each tracker, or continue it.

    Args:
        names: Which trackers.
        folder: Folder of the run.
        name: Name of the run.
        settings: What the run was made with.
        first_step: Steps done before, of a run that is continued.

    Raises:
        UserError: If a package is not installed.
    """
    packages = {one: import_tracker(one) for one in names}
    ids: dict[str, str] = {}
    if first_step and (folder / IDS).is_file():
        ids = json.loads((folder / IDS).read_text(encoding="utf-8"))
    opened: list[Tracker] = []
    for one, package in packages.items():
        if one == "tensorboard":
            opened.append(TensorBoard(package, folder, first_step))
        elif one == "wandb":
            opened.append(WandB(package, folder, name, settings, ids.get(one)))
        else:
            opened.append(MLflow(package, name, settings, ids.get(one)))
    known = {one: tracker.id for one, tracker in zip(names, opened, strict=True) if tracker.id is not None}
    if known:
        write_text(folder / IDS, json.dumps(known))
    return opened

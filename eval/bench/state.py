"""What is done of a comparison, as the files say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from eval.bench.description import Description
from eval.bench.runs import Run
from tdam.errors import UserError
from tdam.files import write_text
from wsol.results import read_results
from wsol.runtime.runs import BEST
from wsol.training.config import OPERATIONAL
from wsol.training.state import STATE_FILE

RECORD, LOG, FAILURE = "run.json", "log.txt", "failure.txt"
SECONDS = "seconds.json"


class State(StrEnum):
    """How far a run is."""

    DONE = "done"
    TRAINED = "trained, not all judged"
    BEGUN = "begun"
    FAILED = "failed"
    WAITING = "waiting"


@dataclass(frozen=True)
class Record:
    """What a run keeps beside its checkpoints and results.

    Attributes:
        training: Settings that decide the weights; empty where they were given.
        evaluation: Options of all evaluations of the comparison.
        images: Images of one epoch.
        parameters: Parameters of the trained network as it is deployed.
        macs: Multiply-accumulates of one image in its convolutions and linear layers.
    """

    training: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    images: int | None = None
    parameters: int | None = None
    macs: int | None = None


def weight_settings(run: Run) -> dict[str, Any]:
    """All settings of a run that decide its weights; empty where they are given."""
    if run.checkpoint is not None:
        return {}
    settings = run.training_config().as_dict()
    # As JSON gives them back: tuples are lists, keys are text.
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    return {key: value for key, value in plain.items() if key not in OPERATIONAL}


def write_record(run: Run, record: Record) -> None:
    """Keep a record; the run is trained from now on."""
    write_text(run.folder / RECORD, json.dumps(asdict(record), indent=1) + "\n")


def read_record(run: Run, evaluation: Mapping[str, Any]) -> Record | None:
    """The record of a run that is trained; None where it is not.

    Raises:
        UserError: If it is damaged, or of a run with other settings; the message names them.
    """
    path = run.folder / RECORD
    if not path.is_file():
        return None
    try:
        record = Record(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}): delete {run.folder} to do this run again") from error
    wanted = {**weight_settings(run), **_plain(evaluation)}
    found = {**record.training, **record.evaluation}
    differences = [
        f"{key}: {found.get(key)} != {wanted.get(key)}"
        for key in sorted({*wanted, *found})
        if found.get(key) != wanted.get(key)
    ]
    if differences:
        raise UserError(
            f"{run.folder} holds a run with other settings ({'; '.join(differences)}): give another --output, "
            "or delete that folder"
        )
    return record


def missing_evaluations(run: Run, protocols: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Protocol -> map methods whose results are not there, or are damaged."""
    missing = {
        protocol: tuple(name for name in run.maps if not _has_results(run.evaluation_folder(protocol, name)))
        for protocol in protocols
    }
    return {protocol: names for protocol, names in missing.items() if names}


def write_seconds(run: Run, protocol: str, map_method: str, seconds: float | None) -> None:
    """Keep how long an evaluation took: its share of the pass over val and test; None where that is not known."""
    write_text(run.evaluation_folder(protocol, map_method) / SECONDS, json.dumps({"seconds": seconds}) + "\n")


def read_seconds(run: Run, protocol: str, map_method: str) -> float | None:
    """What `write_seconds` kept; None where there is nothing."""
    try:
        content = json.loads((run.evaluation_folder(protocol, map_method) / SECONDS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return None if content["seconds"] is None else float(content["seconds"])


def state_of(run: Run, description: Description) -> State:
    """How far a run is.

    Raises:
        UserError: If its folder holds a run with other settings.
    """
    record = read_record(run, description.evaluation)
    missing = missing_evaluations(run, description.protocols)
    if record is not None and not missing:
        return State.DONE
    if (run.folder / FAILURE).is_file():
        return State.FAILED
    if record is not None and (run.checkpoint is not None or (run.folder / BEST).is_file()):
        return State.TRAINED
    return State.BEGUN if (run.folder / STATE_FILE).is_file() else State.WAITING


def failure_of(run: Run) -> str:
    """Last words of a run that failed."""
    path = run.folder / FAILURE
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""


def _has_results(folder: Path) -> bool:
    try:
        read_results(folder)
    except UserError:
        return False
    return True


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(dict(values)))
    return plain

"""One run of a comparison, in a process of its own.

python -m eval.bench.worker FILE RUN DATASET DATA_ROOT OUTPUT

What it prints goes to the run's log. A run that was killed goes on: training from its saved state, evaluation from
its records; what is finished is not done again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from eval.bench.description import Description, read_description
from eval.bench.runs import Run, expand
from eval.bench.state import Record, missing_evaluations, read_record, weight_settings, write_record, write_seconds
from eval.evaluation import evaluate_methods
from eval.judging.process import Process
from eval.options import EvaluationOptions
from eval.run import PARTIAL
from tdam.errors import check_name, one_line_errors
from tdam.macs import count_macs
from wsol.command_line.settings import typed_settings
from wsol.runtime.runs import BEST
from wsol.training.session import train


def do(run: Run, description: Description) -> None:
    """Train, where that is not done, and judge by every protocol and map method whose results are not there.

    Raises:
        UserError: If anything of it cannot be done.
    """
    if read_record(run, description.evaluation) is None:
        write_record(run, _trained(run, description))
    for protocol, maps in missing_evaluations(run, description.protocols).items():
        each = [evaluation_options(run, description, protocol, name) for name in maps]
        continued = any((options.output / PARTIAL).exists() for options in each if options.output is not None)
        began = time.perf_counter()
        evaluate_methods(each, Process(), torch.device(each[0].device))
        # Of a pass that was killed and went on the time is not known.
        seconds = None if continued else (time.perf_counter() - began) / len(each)
        for name in maps:
            write_seconds(run, protocol, name, seconds)


def evaluation_options(run: Run, description: Description, protocol: str, map_method: str) -> EvaluationOptions:
    """Options of one evaluation of a run."""
    settings: dict[str, Any] = {
        "gallery": 0,
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        **typed_settings(description.evaluation, EvaluationOptions, "evaluation"),
    }
    return EvaluationOptions(
        dataset=description.dataset,
        data_root=description.data_root,
        model=run.settings["model"],
        checkpoint=run.checkpoint or run.folder / BEST,
        protocol=protocol,
        method=map_method,
        output=run.evaluation_folder(protocol, map_method),
        resume=True,
        **settings,
    )


def settable_options() -> list[str]:
    """Options of an evaluation that a comparison may set; the others follow from the run."""
    taken = {"dataset", "data_root", "model", "checkpoint", "protocol", "method", "output", "resume", "restart"}
    return [item.name for item in fields(EvaluationOptions) if item.name not in taken]


def _trained(run: Run, description: Description) -> Record:
    if run.checkpoint is not None:
        return Record({}, description.evaluation)
    trainer = train(run.training_config(), resume=True)
    deployed = trainer.trained.deployed
    return Record(
        training=weight_settings(run),
        evaluation=description.evaluation,
        images=len(trainer.batches) * trainer.config.batch_size,
        parameters=sum(parameter.numel() for parameter in deployed.parameters()),
        macs=count_macs(trainer.trained.network, trainer.preprocessing["input_size"]).conv_linear,
    )


def main(arguments: Sequence[str]) -> None:
    """Do one run.

    Args:
        arguments: The comparison's file; the run's name; dataset, data root and output in place of the file's, or "".
    """
    file, name, dataset, root, output = arguments
    description = read_description(
        Path(file), dataset or None, Path(root) if root else None, Path(output) if output else None
    )
    runs = {run.name: run for run in expand(description)}
    with one_line_errors():
        do(runs[check_name("run", name, runs)], description)


if __name__ == "__main__":
    main(sys.argv[1:])

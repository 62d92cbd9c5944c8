"""Shares of a job array, and runs in processes of their own."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import filelock
import pytest

from eval.bench.description import Description, Variant
from eval.bench.runs import Run, expand
from eval.bench.schedule import CLAIM, Outcome, Schedule, share_of_task
from eval.bench.state import State, failure_of, state_of
from tdam.errors import UsageError


@pytest.fixture
def description(tmp_path: Path) -> Description:
    networks = tuple(Variant(name, {"model": "resnet_mini"}) for name in "abcde")
    return Description("letters", "minibirds", networks, (Variant("cam", {}),), output=tmp_path)


def in_python(code: str):
    return lambda run: [sys.executable, "-c", f"name = {run.name!r}\n{code}"]


@pytest.mark.parametrize("tasks", [1, 2, 3, 7])
def test_the_tasks_of_an_array_share_out_all_runs(description: Description, tasks: int) -> None:
    runs = expand(description)
    shares = [share_of_task(runs, task, tasks, {}) for task in range(tasks)]
    assert sorted(run.name for share in shares for run in share) == sorted(run.name for run in runs)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_an_array_of_slurm_may_begin_anywhere(description: Description) -> None:
    runs = expand(description)
    array = {"SLURM_ARRAY_TASK_MIN": "3", "SLURM_ARRAY_TASK_STEP": "2", "SLURM_ARRAY_TASK_COUNT": "2"}
    shares = [share_of_task(runs, None, None, {**array, "SLURM_ARRAY_TASK_ID": number}) for number in ("3", "5")]
    assert shares == [runs[::2], runs[1::2]]
    assert share_of_task(runs, 1, 2, {**array, "SLURM_ARRAY_TASK_ID": "3"}) == runs[1::2], "the options win"
    assert share_of_task(runs, None, None, {}) == runs


@pytest.mark.parametrize(("task", "tasks"), [(0, None), (None, 2), (2, 2), (-1, 2), (0, 0)])
def test_half_a_task_is_refused(description: Description, task: int | None, tasks: int | None) -> None:
    with pytest.raises(UsageError, match="--task"):
        share_of_task(expand(description), task, tasks, {})


def test_a_failed_run_keeps_its_log_and_stops_no_other(description: Description) -> None:
    runs = expand(description)
    seen: list[Outcome] = []
    code = "print('begins', flush=True)\nif name.startswith('b'): raise SystemExit('error: no luck')"
    outcomes = Schedule(description, in_python(code), processes=2).do(runs, seen.append)
    assert {outcome.run.network for outcome in outcomes if outcome.done} == set("acde")
    assert sorted(map(str, seen)) == sorted(map(str, outcomes))
    (failed,) = [outcome for outcome in outcomes if not outcome.done]
    log = failed.run.folder / "log.txt"
    assert failed.words == f"error: no luck (log: {log})"
    assert log.read_text() == "begins\nerror: no luck\n"
    assert state_of(failed.run, description) is State.FAILED
    assert failure_of(failed.run) == failed.words


def test_a_killed_process_is_told_so(description: Description) -> None:
    code = "import os, signal\nprint('half way', flush=True)\nos.kill(os.getpid(), signal.SIGKILL)"
    (outcome,) = Schedule(description, in_python(code)).do(expand(description)[:1], lambda _: None)
    assert outcome.words.startswith("killed by signal 9 (log: ")


def test_a_run_that_another_process_is_at_is_left_to_it(description: Description) -> None:
    run, other, *_ = expand(description)
    run.folder.mkdir(parents=True)
    with filelock.FileLock(run.folder / CLAIM):
        outcomes = Schedule(description, in_python("")).do([run, other], lambda _: None)
    assert {outcome.run.name: (outcome.done, outcome.words) for outcome in outcomes} == {
        run.name: (False, "another process is at it"),
        other.name: (True, ""),
    }
    assert state_of(run, description) is State.WAITING


def test_processes_side_by_side_share_cores_and_gpus(
    description: Description, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    code = "import os\nprint(os.environ['OMP_NUM_THREADS'], os.environ['CUDA_VISIBLE_DEVICES'])"
    runs: list[Run] = expand(description)
    Schedule(description, in_python(code), processes=2, gpus=["4", "7"]).do(runs, lambda _: None)
    said = {(run.folder / "log.txt").read_text().strip() for run in runs}
    assert said == {"3 4", "3 7"}


def test_no_process_outlives_a_command_that_is_ended(description: Description, tmp_path: Path) -> None:
    pids: list[int] = []
    code = "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)"
    runs = expand(description)
    log = runs[0].folder / "log.txt"

    def end_when_it_runs() -> None:
        while not (log.is_file() and log.read_text().endswith("\n")):
            time.sleep(0.05)
        pids.append(int(log.read_text()))
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end_when_it_runs).start()
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        Schedule(description, in_python(code)).do(runs, lambda _: None)
    assert signal.getsignal(signal.SIGTERM) is before
    (pid,) = pids
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert [state_of(run, description) for run in runs] == [State.WAITING] * 5, "ended, not failed"

"""Which process does which run: shares of a job array, and several processes side by side."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import filelock

from eval.bench.description import Description
from eval.bench.runs import Run
from eval.bench.state import FAILURE, LOG, State, state_of
from tdam.errors import UsageError
from tdam.files import make_folder, write_text

CLAIM = ".claim"
BUSY = "another process is at it"


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes:
        run: The run.
        done: Whether it is done.
        words: Why it is not.
    """

    run: Run
    done: bool
    words: str = ""


def share_of_task(
    runs: Sequence[Run], task: int | None, tasks: int | None, variables: Mapping[str, str] = os.environ
) -> list[Run]:
    """The runs of one task of a job array; all of them outside of one.

    Args:
        runs: All runs.
        task: Number of this task from 0; None: that of SLURM's job array, where this is one.
        tasks: Number of tasks; None: SLURM's.
        variables: Environment variables.

    Raises:
        UsageError: If one of the two numbers is missing, or there is no such task.
    """
    if task is None and tasks is None:
        if "SLURM_ARRAY_TASK_ID" not in variables:
            return list(runs)
        first, step = (int(variables.get(f"SLURM_ARRAY_TASK_{name}", default)) for name, default in _FIRST_AND_STEP)
        task = (int(variables["SLURM_ARRAY_TASK_ID"]) - first) // step
        tasks = int(variables.get("SLURM_ARRAY_TASK_COUNT", 0)) or None
    if task is None or tasks is None:
        raise UsageError("give both --task I, from 0, and --tasks N")
    if tasks < 1:
        raise UsageError(f"--tasks must be at least 1, got {tasks}")
    if not 0 <= task < tasks:
        raise UsageError(f"--task must lie in 0 to {tasks - 1}, got {task}")
    return list(runs[task::tasks])


_FIRST_AND_STEP = (("MIN", "0"), ("STEP", "1"))


class Schedule:
    """Runs of a comparison in processes of their own, so that none can take another down.

    Args:
        description: The comparison.
        command: Gives the command line that does a run.
        processes: Runs at a time.
        gpus: Values of CUDA_VISIBLE_DEVICES, shared out to the processes; empty leaves it as it is.
    """

    def __init__(
        self,
        description: Description,
        command: Callable[[Run], list[str]],
        processes: int = 1,
        gpus: Sequence[str] = (),
    ) -> None:
        if processes < 1:
            raise UsageError(f"--processes must be at least 1, got {processes}")
        self.description = description
        self.command = command
        self.processes = processes
        self._places: SimpleQueue[int] = SimpleQueue()
        for place in range(processes):
            self._places.put(place)
        self._gpus = list(gpus)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._stopped = threading.Event()

    def do(self, runs: Sequence[Run], report: Callable[[Outcome], None]) -> list[Outcome]:
        """Do the runs that are not done; one that fails does not stop the others.

        Args:
            runs: The runs.
            report: Called with every outcome as it comes.
        """
        outcomes = []
        with _ended_by_sigterm(), ThreadPoolExecutor(self.processes) as pool:
            waiting = [pool.submit(self._one, run) for run in runs]
            try:
                for future in as_completed(waiting):
                    outcomes.append(future.result())
                    report(outcomes[-1])
            except BaseException:
                self._stop()
                raise
        return outcomes

    def _one(self, run: Run) -> Outcome:
        place = self._places.get()
        try:
            make_folder(run.folder)
            with filelock.FileLock(run.folder / CLAIM, timeout=0):
                if self._stopped.is_set():
                    return Outcome(run, False, "not begun")
                if state_of(run, self.description) is State.DONE:
                    return Outcome(run, True)
                return self._in_process(run, place)
        except filelock.Timeout:
            return Outcome(run, False, BUSY)
        finally:
            self._places.put(place)

    def _in_process(self, run: Run, place: int) -> Outcome:
        (run.folder / FAILURE).unlink(missing_ok=True)
        log = run.folder / LOG
        with log.open("ab") as file:
            child = subprocess.Popen(
                self.command(run), stdout=file, stderr=subprocess.STDOUT, env=self._environment(place)
            )
            self._children[run.name] = child
            code = child.wait()
        if code == 0:
            return Outcome(run, True)
        said = f"killed by signal {-code}" if code < 0 else last_words(log) or f"ended with code {code}"
        words = f"{said} (log: {log})"
        if not self._stopped.is_set():
            write_text(run.folder / FAILURE, words + "\n")
        return Outcome(run, False, words)

    def _environment(self, place: int) -> dict[str, str]:
        variables = {**os.environ, "COLUMNS": os.environ.get("COLUMNS", "120")}
        if self.processes > 1:
            # Processes side by side share the cores; each taking all of them would make all slow.
            variables.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // self.processes)))
        if self._gpus:
            variables["CUDA_VISIBLE_DEVICES"] = self._gpus[place % len(self._gpus)]
        return variables

    def _stop(self) -> None:
        """End the processes; what they have not saved is done again next time."""
        self._stopped.set()
        for child in self._children.values():
            if child.poll() is None:
                child.terminate()


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the work as Ctrl+C does, so that no process of a run outlives the command."""

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def last_words(log: Path) -> str:
    """The last line of a log that is not empty."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def worker_command(
    file: Path, dataset: str | None, data_root: Path | None, output: Path | None
) -> Callable[[Run], list[str]]:
    """Gives the command line of `eval.bench.worker` for each run.

    Args:
        file: The comparison's file.
        dataset: Dataset in its place.
        data_root: Data root in its place.
        output: Output in its place.
    """
    # -P keeps modules of the working directory, such as a user's own eval.py, out of the way.
    begin = [sys.executable, "-P", "-m", "eval.bench.worker", str(file)]
    end = [dataset or "", str(data_root or ""), str(output or "")]
    return lambda run: [*begin, run.name, *end]

"""Submits a suite to SLURM, as an array of tasks that share the cells of one results folder by claims.

Each task is a ``dvbench run`` of the whole suite, so tasks need no list of cells, and what one of them leaves undone
the others do. A task that is out of time, or preempted, stops its run and is queued again; the new run continues.
submitit writes the script, and pickles of our own commands beside the logs; nothing of a result is in them.
"""

from __future__ import annotations

import importlib
import io
import math
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvbench.errors import UserError, one_line
from dvbench.execution.costs import Estimate

LOGS = ".slurm"  # folder in a results folder
SLACK = 2.0  # estimates are wrong by a factor of 1.5 to 2 in half of the cells
GIGABYTE = 10**9
PACKAGES_MEMORY = 2e9  # bytes of a run and of the server of its workers, which import torch and OpenDataVal
STOPPING = 60.0  # seconds that a run has to stop, of the 90 that submitit lets SLURM announce the end before
SHORTEST = 300.0  # seconds of a task: one that is stopped before it has finished a cell is queued again for ever


@dataclass(frozen=True)
class Resources:
    """What each task gets, and how many tasks there are.

    Parameters
    ----------
    tasks : int
    jobs : int
        Cells that a task computes at a time; it gets as many cores.
    seconds : float
        Time limit of a task.
    memory : int
        Bytes; a whole number of GB.
    cuda : bool
        Whether a task gets a GPU.
    """

    tasks: int
    jobs: int
    seconds: float
    memory: int
    cuda: bool


def plan_tasks(
    costs: Sequence[Estimate | None], jobs: int, seconds: float, cuda: bool, tasks: int | None = None
) -> Resources:
    """Decide how many tasks are needed for cells, and how much memory.

    Parameters
    ----------
    costs : sequence of Estimate
        Of the cells to compute. One whose cost is not known counts as much as the mean of the others.
    jobs, seconds, cuda
        See `Resources`.
    tasks : int, optional
        By default twice as many as the estimates ask for, because they are rough.

    Raises
    ------
    UserError
        If no cost is known and no number of tasks is given, or tasks have too little time.
    """
    if seconds < SHORTEST:
        raise UserError(f"a task takes a while to start and to stop: its --time is {SHORTEST / 60:.0f}min or more")
    known = [cost for cost in costs if cost is not None]
    if tasks is None and not known:
        raise UserError("what these cells cost has not been measured; say how many tasks to submit with --tasks")
    largest = max((cost.memory for cost in known), default=0)
    memory = GIGABYTE * math.ceil((PACKAGES_MEMORY + jobs * SLACK * (largest + PACKAGES_MEMORY / 4)) / GIGABYTE)
    if tasks is None:
        total = len(costs) * sum(cost.seconds for cost in known) / len(known)
        tasks = min(math.ceil(SLACK * total / (jobs * seconds)), math.ceil(len(costs) / jobs))
    return Resources(max(tasks, 1), jobs, seconds, memory, cuda)


def check_installed() -> None:
    """Raise a `UserError` if submitit or SLURM is not installed."""
    try:
        importlib.import_module("submitit")
    except ImportError as error:
        raise UserError("--on slurm needs the package submitit: pip install 'dvbench[slurm]'") from error
    if not (shutil.which("sbatch") and shutil.which("srun")):
        raise UserError("there are no commands sbatch and srun here: submit from a machine of a SLURM cluster")


def submit(
    words: Sequence[str],
    results: Path,
    resources: Resources,
    options: Mapping[str, str | bool],
    cluster: str = "slurm",
) -> list[Any]:
    """Submit an array of tasks, each of which runs ``dvbench`` with the given words.

    Parameters
    ----------
    words : sequence of str
    results : Path
        Results folder, which all machines of the cluster share. Scripts and logs are written to a folder in it.
    resources : Resources
    options : mapping of str to str or bool
        Further options of ``sbatch``, such as the partition.
    cluster : {"slurm", "local"}
        With ``"local"`` tasks are processes of this machine, for tests.

    Returns
    -------
    list of submitit.Job

    Raises
    ------
    UserError
        If SLURM refuses the job.
    """
    from submitit import AutoExecutor
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    executor = AutoExecutor(folder=results.resolve() / LOGS, cluster=cluster)
    executor.update_parameters(
        name="dvbench",
        timeout_min=math.ceil(resources.seconds / 60),
        nodes=1,
        tasks_per_node=1,
        cpus_per_task=resources.jobs,
        mem_gb=resources.memory // GIGABYTE,
        slurm_array_parallelism=resources.tasks,
        stderr_to_stdout=True,
        slurm_srun_args=[f"--cpus-per-task={resources.jobs}"],  # which srun does not take from sbatch since 22.05
        slurm_additional_parameters={"requeue": True, **options},
        **({"gpus_per_node": 1} if resources.cuda else {}),  # clusters without GPUs may not know the option
    )
    try:
        with redirect_stderr(io.StringIO()), executor.batch():  # the error is repeated below
            return [executor.submit(Task(words)) for _ in range(resources.tasks)]
    except (FailedJobError, FailedSubmissionError, OSError) as error:
        raise UserError(f"SLURM did not take the job: {one_line(error)}") from error


class Task:
    """One ``dvbench run``, which submitit calls in a task, stops and queues again.

    SLURM sends its signals to every process of a task. The run and its workers ignore SIGUSR2, with which it announces
    the end of the time to submitit.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = list(words)
        self._run: subprocess.Popen[bytes] | None = None

    def __call__(self) -> None:
        """Run until all cells are done; raises `subprocess.CalledProcessError` if the run says that it failed."""
        before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        self._run = subprocess.Popen([sys.executable, "-m", "dvbench", *self.words])  # noqa: S603 the user's own command
        signal.signal(signal.SIGUSR2, before)
        while (code := self._run.poll()) is None:
            time.sleep(1)
        while code == 128 + signal.SIGTERM:  # SLURM ends the task; if it ended by itself, it would not be queued again
            signal.pause()
        if code:
            raise subprocess.CalledProcessError(code, ["dvbench", *self.words])

    def checkpoint(self) -> Any:
        """Stop the run, which keeps what is finished, and return what to queue again."""
        from submitit.helpers import DelayedSubmission

        if self._run is not None:
            self._run.terminate()
            try:
                self._run.wait(STOPPING)
            except subprocess.TimeoutExpired:
                self._run.kill()
        return DelayedSubmission(Task(self.words))

"""Tasks of a SLURM job share a results folder, and continue after they are stopped."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from ending_runs import MARK, arrays, processes_of, start_run, write_inputs
from living import pids_in, wait_until

from dvbench.errors import UserError
from dvbench.execution.costs import Estimate
from dvbench.execution.slurm import PACKAGES_MEMORY, Resources, plan_tasks, submit
from dvbench.results import Store

HOUR, GB = 3600.0, 10**9


def test_tasks_have_time_for_twice_the_estimate() -> None:
    costs = [Estimate(HOUR, GB, 0)] * 100
    assert plan_tasks(costs, jobs=4, seconds=5 * HOUR, cuda=False).tasks == 10
    assert plan_tasks([*costs, None], jobs=4, seconds=5 * HOUR, cuda=False).tasks == 11
    assert plan_tasks(costs, jobs=4, seconds=5 * HOUR, cuda=False, tasks=3).tasks == 3


def test_there_are_no_more_tasks_than_cells_keep_busy() -> None:
    assert plan_tasks([Estimate(HOUR, GB, 0)] * 6, jobs=4, seconds=300, cuda=False).tasks == 2
    assert plan_tasks([Estimate(0.1, GB, 0)], jobs=4, seconds=HOUR, cuda=False).tasks == 1


def test_memory_is_for_the_largest_cells_at_a_time() -> None:
    few, many = (plan_tasks([Estimate(1, GB, 0), Estimate(1, 3 * GB, 0)], n, HOUR, False).memory for n in (1, 4))
    assert few > PACKAGES_MEMORY + 3 * GB
    assert many - few > 3 * 3 * GB


def test_unknown_costs_need_a_number_of_tasks() -> None:
    with pytest.raises(UserError, match="--tasks"):
        plan_tasks([None], jobs=1, seconds=HOUR, cuda=False)
    assert plan_tasks([None], jobs=1, seconds=HOUR, cuda=False, tasks=2).tasks == 2


WAITING = """
class Waiting(Quick):
    def train_data_values(self, *args, **kwargs):
        if not os.path.exists("go"):
            with open("hanging", "a") as file: file.write(f"{os.getpid()}\\n")
            time.sleep(600)
        return self
"""


@pytest.mark.slow
def test_tasks_that_are_stopped_are_queued_again_and_the_values_are_those_of_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit", reason="submitit is not installed")
    write_inputs(tmp_path, ("loose_ending:Quick", "loose_ending:Waiting"))
    with (tmp_path / "loose_ending.py").open("a") as file:
        file.write(WAITING)
    shared, whole = tmp_path / "shared", tmp_path / "whole"
    monkeypatch.setenv(MARK, str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{Path.cwd()}:{tmp_path}")
    monkeypatch.chdir(tmp_path)
    words = ["run", "ending.toml", "--results", str(shared), "--jobs", "1"]
    jobs = submit(words, shared, Resources(2, 1, HOUR, GB, False), {}, cluster="local")
    try:
        wait_until(lambda: len(pids_in(tmp_path / "hanging")) == 2, 900)
        (tmp_path / "go").touch()
        for process in processes_of(tmp_path):  # SLURM signals all processes of a task
            if "submitit.local._local" not in process.cmdline():
                process.send_signal(signal.SIGUSR2)
        for job in jobs:
            job.wait()
            assert job.exception() is None, job.stdout()
    finally:
        for process in processes_of(tmp_path):
            process.kill()
    assert len(pids_in(tmp_path / "hanging")) == 2  # no cell that was interrupted is recorded, and none hung again
    assert all("Requeued" in log for log in (job.stdout() for job in jobs))
    results = list(Store(shared).results("ending"))
    assert [result.status for result in results] == ["ok"] * 4
    run = start_run(tmp_path, "--jobs", 1, "--results", whole)
    assert run.communicate(timeout=900)
    assert run.returncode == 0
    assert arrays(shared) == arrays(whole)
    assert not (shared / ".claims").exists()

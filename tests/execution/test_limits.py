"""Work that takes too long or too much memory is stopped, and what is around it goes on as before."""

from __future__ import annotations

import resource
import signal
import threading
import time
from contextlib import suppress

import numpy as np
import pytest
import torch
from loose_scripts import made_up_cell

from dvbench.execution.failures import error_line
from dvbench.execution.limits import Limits, TimedOutError, enforced, exceeded
from dvbench.execution.run import run_cells, score_saved_values
from dvbench.results import Store
from dvbench.suite import LONGEST_TIMEOUT

MEGABYTE = 2**20


@pytest.mark.parametrize(
    "allocate",
    [
        lambda: np.ones(64 * MEGABYTE),
        lambda: torch.ones(128 * MEGABYTE),
        lambda: bytearray(512 * MEGABYTE),
        lambda: [0] * (64 * MEGABYTE),
    ],
    ids=["numpy", "torch", "bytes", "list"],
)
def test_memory_beyond_the_limit_is_an_error_that_is_known(allocate) -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises((MemoryError, RuntimeError)) as caught, enforced(Limits(memory=200 * MEGABYTE)):
        allocate()
    assert exceeded(error_line(caught.value))
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert len(allocate())  # it is allowed again


def test_memory_within_the_limit_is_allowed() -> None:
    with enforced(Limits(memory=200 * MEGABYTE)):
        assert len(np.ones(8 * MEGABYTE)) == 8 * MEGABYTE


def test_a_narrower_limit_that_was_there_stays() -> None:
    with enforced(Limits(memory=200 * MEGABYTE)), enforced(Limits(memory=2**40)), pytest.raises(MemoryError):
        np.ones(64 * MEGABYTE)


def test_work_is_stopped_when_its_time_is_up() -> None:
    started, before = time.perf_counter(), signal.getsignal(signal.SIGALRM)
    with pytest.raises(TimedOutError) as caught, enforced(Limits(seconds=0.2)):
        time.sleep(30)
    assert time.perf_counter() - started < 10
    assert error_line(caught.value) == "timed out: it took longer than 0.2 s"
    assert exceeded(error_line(caught.value))
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_work_that_catches_the_exception_is_interrupted_again() -> None:
    started = time.perf_counter()
    with pytest.raises(TimedOutError), enforced(Limits(seconds=0.2)):  # noqa: PT012
        with suppress(Exception):
            time.sleep(30)
        time.sleep(30)
    assert time.perf_counter() - started < 20


def test_work_that_ends_in_time_is_not_interrupted_later() -> None:
    with enforced(Limits(seconds=0.2)):
        pass
    time.sleep(0.4)


def test_another_thread_is_not_interrupted() -> None:
    ended = []

    def work() -> None:
        with enforced(Limits(seconds=0.05)):
            time.sleep(0.2)
            ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [True]


def test_the_time_of_a_job_is_that_of_all_of_its_cells() -> None:
    assert Limits(10, 5).times(3) == Limits(30, 5)
    assert Limits().times(3) == Limits()


@pytest.mark.parametrize(
    "error", [None, "", "ValueError: timed out", "MemoryErrors: none", "FloatingPointError: diverged"]
)
def test_other_errors_are_no_limits(error: str | None) -> None:
    assert not exceeded(error)


GREEDY = """
import time
@task(version=1, headline="score", higher_is_better=True)
def greedy(problem, valuation, utilities):
    return Outcome({"score": np.ones(2**27)[0]})
@task(version=1, headline="score", higher_is_better=True)
def endless(problem, valuation, utilities):
    time.sleep(500)
@task(version=1, headline="score", higher_is_better=True)
def modest(problem, valuation, utilities):
    return Outcome({"score": 1.0})
"""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "error"), [("greedy", "MemoryError: Unable"), ("endless", "timed out")])
def test_worker_processes_keep_to_the_limits_of_scoring(install_tasks, store: Store, name: str, error: str) -> None:
    install_tasks("loose_greedy", GREEDY)
    cells = [made_up_cell(tasks=("modest",)), made_up_cell(seed=1, tasks=("modest",))]
    assert [result.status for result in run_cells(cells, store, "cpu", 0)] == ["ok", "ok"]
    again = [cell.model_copy(update={"tasks": ("modest", name)}) for cell in cells]
    scored = list(score_saved_values(again, store, "cpu", 1, Limits(20, 2**29)))
    assert len(scored) == 2
    for result in scored:
        assert exceeded(result.scores[name].error)
        assert str(result.scores[name].error).startswith(error)
        assert result.scores["modest"].value == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [LONGEST_TIMEOUT, None])
def test_a_process_may_take_longer_than_the_system_waits_at_a_time(store: Store, seconds: float | None) -> None:
    cells = [made_up_cell("random", seed=seed) for seed in (0, 1)]
    assert [result.status for result in run_cells(cells, store, "cpu", 1, limits=Limits(seconds))] == ["ok", "ok"]

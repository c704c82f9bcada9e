"""Evaluators that do what no evaluator should: it concerns their own cell, nothing of it stays, and the run goes on."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from living import alive, pids_in, wait_until
from loose_scripts import made_up_cell

from dvbench.execution.failures import failure_reasons
from dvbench.execution.limits import NO_LIMITS, Limits
from dvbench.execution.run import run_cells
from dvbench.execution.workers import DONE, ERROR, _messages, start_server
from dvbench.results import Cell, Result, Store

HOSTILE = """
import subprocess, threading, time

def note(pid):
    with open(TRACE, "a") as file: file.write(f"{pid}\\n")

class Odd(BaseException): pass

class Lazy:
    def __init__(self, compute): self.compute = compute
    def __array__(self, dtype=None, copy=None): return self.compute()

def loud():
    print("lazy talk", flush=True)
    return np.arange(30.0)

def unwilling(): raise LookupError("not today")

class Hostile(Base):
    def train_data_values(self, *args, **kwargs): return self

class RaisesBaseException(Hostile):
    def answer(self, n): raise Odd("odd")
class RaisesKeyboardInterrupt(Hostile):
    def answer(self, n): raise KeyboardInterrupt
class RaisesGeneratorExit(Hostile):
    def answer(self, n): raise GeneratorExit
class Segfaults(Hostile):
    def answer(self, n):
        import ctypes
        ctypes.string_at(0)
class Aborts(Hostile):
    def answer(self, n): os.abort()
class Recurses(Hostile):
    def answer(self, n): return self.answer(n)
class SignalsItsGroup(Hostile):
    def answer(self, n): os.kill(0, signal.SIGTERM); time.sleep(60)
class SignalsWithoutName(Hostile):
    def answer(self, n): os.kill(os.getpid(), 40); time.sleep(60)
class KillsItsKeeper(Hostile):
    def answer(self, n): note(os.getpid()); os.kill(os.getppid(), signal.SIGKILL); time.sleep(60)
class ClosesEverything(Hostile):
    def answer(self, n): os.closerange(0, 256); return np.arange(n)
class ReturnsWhatRefuses(Hostile):
    def evaluate_data_values(self): return Lazy(unwilling)

class FindsTheDiskFull(Hostile):
    def answer(self, n):
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        return np.arange(n)

class ReplacesStdout(Hostile):
    def answer(self, n): sys.stdout = sys.stderr = sys.__stdout__ = None; return np.arange(n)
class ClosesStdout(Hostile):
    def answer(self, n): sys.stdout.close(); sys.stderr.close(); return np.arange(n)
class FloodsStdout(Hostile):
    def answer(self, n):
        for _ in range(200): os.write(1, b"flood " * 1000); os.write(2, b"flood " * 1000)
        subprocess.run(["echo", "child talk"])
        return np.arange(n)
class ReturnsLazily(Hostile):
    def evaluate_data_values(self): return Lazy(loud)
class ReadsStdin(Hostile):
    def answer(self, n): sys.stdin.read(); os.read(0, 1); return np.arange(n)
class LeavesThreads(Hostile):
    def answer(self, n): threading.Thread(target=time.sleep, args=(60,)).start(); return np.arange(n)
class ForksAndComesBackTwice(Hostile):
    def answer(self, n): copy = os.fork() == 0; note(os.getpid()); time.sleep(0.2 * copy); return np.arange(n) + copy
class LeavesProcesses(Hostile):
    def answer(self, n):
        note(subprocess.Popen(["sleep", "60"]).pid)
        note(subprocess.Popen(["sleep", "60"], start_new_session=True).pid)
        if not os.fork():
            os.setsid()
            if not os.fork():
                signal.signal(signal.SIGTERM, signal.SIG_IGN); note(os.getpid()); time.sleep(60)
            os._exit(0)
        os.wait()
        while len(open(TRACE).readlines()) < 3: time.sleep(0.01)
        return np.arange(n)
class Hangs(LeavesProcesses):
    def answer(self, n): super().answer(n); signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)
class HangsWithoutTimer(Hostile):
    def answer(self, n): signal.setitimer(signal.ITIMER_REAL, 0); time.sleep(600)
class HangsAndCatchesAll(Hostile):
    def answer(self, n):
        while True:
            try: time.sleep(600)
            except BaseException: pass
class StopsItsKeeper(Hostile):
    def answer(self, n): os.kill(os.getppid(), signal.SIGSTOP); time.sleep(600)
"""
FAILING = {
    "RaisesBaseException": "Odd: odd (",
    "RaisesKeyboardInterrupt": "KeyboardInterrupt: no message (",
    "RaisesGeneratorExit": "GeneratorExit: no message (",
    "Segfaults": "the worker process was killed by SIGSEGV",
    "Aborts": "the worker process was killed by SIGABRT",
    "Recurses": "RecursionError: ",
    "SignalsItsGroup": "the worker process was killed by SIGTERM",
    "SignalsWithoutName": "the worker process was killed by signal 40",
    "KillsItsKeeper": "the worker process was killed by SIGKILL",
    "ClosesEverything": "",
    "FindsTheDiskFull": "cannot write ",
    "ReturnsWhatRefuses": "LookupError: not today (",
}
WORKING = (
    "ReplacesStdout", "ClosesStdout", "FloodsStdout", "ReturnsLazily", "ReadsStdin", "LeavesThreads", "LeavesProcesses",
    "ForksAndComesBackTwice",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _server() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        start_server(2)
        yield


@pytest.fixture(autouse=True)
def _hostile(script) -> None:
    script("loose_hostile", HOSTILE)


def run(store: Store, *names: str, limits: Limits = NO_LIMITS) -> dict[str, Result]:
    """Run hostile evaluators and a good one after each."""
    cells: list[Cell] = []
    for seed, name in enumerate(names):
        cells += [made_up_cell(f"loose_hostile:{name}"), made_up_cell("random", seed=seed)]
    results = list(run_cells(cells, store, "cpu", 2, limits=limits))
    assert len(results) == len(cells)
    assert all(result.status == "ok" for result in results if result.cell.evaluator.name == "random")
    return {result.cell.evaluator.name.rpartition(":")[2]: result for result in results}


@pytest.mark.slow
def test_what_ends_an_evaluator_is_recorded_as_its_failure(
    store: Store, trace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    results = run(store, *FAILING)
    for name, error in FAILING.items():
        reasons = failure_reasons(results[name])
        assert reasons, name
        assert reasons[0].startswith(error), (name, reasons)
    wait_until(lambda: not any(map(alive, pids_in(trace))))
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_what_an_evaluator_does_besides_reaches_neither_the_terminal_nor_other_cells(
    store: Store, trace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    results = run(store, *WORKING)
    for name in WORKING:
        assert results[name].error is None, (name, results[name].error)
        np.testing.assert_array_equal(store.array(results[name], "values"), np.arange(30.0), name)
    left = pids_in(trace)
    assert len(left) >= 4
    assert not any(map(alive, left))
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_a_cell_that_takes_too_long_has_failed_and_leaves_nothing(
    store: Store, trace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dvbench.execution.workers.PATIENCE", 0.5)  # for a keeper that is stopped
    monkeypatch.setattr("dvbench.execution.workers.GRACE", 2.0)
    names = ("Hangs", "HangsWithoutTimer", "HangsAndCatchesAll", "StopsItsKeeper")
    results = run(store, *names, limits=Limits(seconds=15))
    for name in names:
        assert results[name].error == "timed out: it took longer than 15 s"
        assert store.read(results[name].cell.key) == results[name]
    assert len(pids_in(trace)) == 3
    assert not any(map(alive, pids_in(trace)))


@pytest.mark.slow
def test_scoring_that_takes_too_long_leaves_the_values_and_the_other_cells(install_tasks, store: Store) -> None:
    install_tasks(
        "loose_slow",
        "import time\n@task(version=1, headline='score', higher_is_better=True)\n"
        "def slow(problem, valuation, utilities):\n"
        "    if valuation.values[0] == 0: time.sleep(600)\n    return Outcome({'score': 1.0})\n",
    )
    cells = [made_up_cell("loose_hostile:ReadsStdin", tasks=("slow",)), made_up_cell("random", 1, tasks=("slow",))]
    slow, other = sorted(
        run_cells(cells, store, "cpu", 2, limits=Limits(seconds=15)), key=lambda result: result.cell.key.seed
    )
    assert (slow.status, slow.scores["slow"].error) == ("ok", "timed out: it took longer than 15 s")
    assert other.scores["slow"].value == 1


def test_what_is_written_into_the_pipe_of_a_worker_is_no_message() -> None:
    for junk in (b"", b"\xff" * 100, b"\x7f" * 100, b"\0\0\0\5junk", b"\0\0\0\4\xff\xff\xff\xff"):
        reader, writer = multiprocessing.Pipe(duplex=False)
        os.write(writer.fileno(), junk)
        writer.close()
        assert not any(kind in (DONE, ERROR) for kind, _ in _messages(reader))


@pytest.mark.slow
def test_a_server_that_is_killed_is_started_again(store: Store) -> None:
    from multiprocessing import forkserver

    stream = run_cells([made_up_cell("random", seed=seed) for seed in range(3)], store, "cpu", 1)
    first = next(stream)
    os.kill(forkserver._forkserver._forkserver_pid, 9)  # type: ignore[attr-defined]
    assert [first.status, *(result.status for result in stream)].count("ok") >= 2

"""Runs that are ended by signals: finished cells are kept, and no process stays."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
from ending_runs import arrays, processes_of, start_run, write_inputs
from living import pids_in, wait_until

from dvbench.results import Store


def hanging_run(folder: Path, **options: object) -> subprocess.Popen[str]:
    """Start a run whose only cell hangs, and wait until it does."""
    write_inputs(folder, ("loose_ending:Hanging",), seeds=1)
    run = start_run(folder, "--jobs", 2, **options)
    wait_until(lambda: pids_in(folder / "hanging") or run.poll() is not None, 300)
    assert run.poll() is None, run.communicate()
    return run


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_signal_ends_a_run_and_its_processes(tmp_path: Path, number: signal.Signals, code: int) -> None:
    run = hanging_run(tmp_path)
    assert len(processes_of(tmp_path)) >= 4  # the run, its server, a keeper and a worker
    run.send_signal(number)
    _, said = run.communicate(timeout=120)
    assert run.returncode == code
    assert said == (
        "interrupted: 0 of 1 cells are done and 0 more valued, in runs; the same command continues from there\n"
    )
    wait_until(lambda: not processes_of(tmp_path))


def test_a_run_that_is_killed_takes_its_processes_with_it(tmp_path: Path) -> None:
    run = hanging_run(tmp_path)
    run.kill()
    run.communicate(timeout=120)
    wait_until(lambda: not processes_of(tmp_path))


def test_a_run_that_is_killed_while_its_server_starts_takes_it_along(tmp_path: Path) -> None:
    write_inputs(tmp_path, ("random",), seeds=1)
    run = start_run(tmp_path, "--jobs", 1)
    wait_until(lambda: len(processes_of(tmp_path)) > 2, 120)
    run.kill()
    run.communicate(timeout=120)
    wait_until(lambda: not processes_of(tmp_path))


def test_a_signal_that_is_ignored_from_the_start_stays_ignored(tmp_path: Path) -> None:
    run = hanging_run(tmp_path, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))  # as nohup does
    run.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        run.communicate(timeout=2)
    run.terminate()
    run.communicate(timeout=120)
    assert run.returncode == 143


def test_what_is_done_when_a_run_is_ended_is_kept_and_the_rest_is_the_same_to_the_bit(tmp_path: Path) -> None:
    names = ("loose_ending:Quick", "chg_shapley")
    write_inputs(tmp_path, names)
    folder = tmp_path / "ended"
    for number in (signal.SIGTERM, signal.SIGKILL):
        before = len(arrays(folder))
        run = start_run(tmp_path, "--jobs", 1, "--results", folder)
        wait_until(lambda before=before, run=run: len(arrays(folder)) > before or run.poll() is not None, 300)
        run.send_signal(number)
        run.communicate(timeout=120)
    kept = arrays(folder)
    assert kept
    for results in (folder, tmp_path / "whole"):
        run = start_run(tmp_path, "--jobs", 2, "--results", results)
        run.communicate(timeout=600)
        assert run.returncode == 0
    assert arrays(folder) == arrays(tmp_path / "whole")
    assert len(arrays(folder)) == 4
    assert kept.items() <= arrays(folder).items()
    results = [list(Store(each).results("ending")) for each in (folder, tmp_path / "whole")]
    assert [result.scores for result in results[0]] == [result.scores for result in results[1]]


def test_two_runs_in_one_folder_write_the_same_results(tmp_path: Path) -> None:
    write_inputs(tmp_path, ("loose_ending:Quick", "chg_shapley"))
    runs = [start_run(tmp_path, "--jobs", 1) for _ in range(2)]
    for run in runs:
        _, said = run.communicate(timeout=600)
        assert (run.returncode, said) == (0, "")
    results = list(Store(tmp_path / "runs").results("ending"))
    assert [result.status for result in results] == ["ok"] * 4
    for result in results:
        assert len(Store(tmp_path / "runs").array(result, "values")) == 30
    assert not list((tmp_path / "runs").rglob(".*"))  # no temporary files

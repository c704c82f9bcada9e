"""Runs that are ended by signals: finished cells are kept, and no process stays."""

from __future__ import annotations

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


@pytest.mark.slow
def test_a_signal_ends_a_run_and_its_processes(tmp_path: Path) -> None:
    run = hanging_run(tmp_path)
    assert len(processes_of(tmp_path)) >= 4  # the run, its server, a keeper and a worker
    run.terminate()
    _, said = run.communicate(timeout=120)
    assert run.returncode == 143
    assert said == (
        "interrupted: 0 of 1 cells are done and 0 more valued, in runs; the same command continues from there\n"
    )
    wait_until(lambda: not processes_of(tmp_path))


@pytest.mark.slow
def test_a_run_that_is_killed_takes_its_processes_with_it(tmp_path: Path) -> None:
    run = hanging_run(tmp_path)
    run.kill()
    run.communicate(timeout=120)
    wait_until(lambda: not processes_of(tmp_path))


@pytest.mark.slow
def test_a_run_that_is_killed_while_its_server_starts_takes_it_along(tmp_path: Path) -> None:
    write_inputs(tmp_path, ("random",), seeds=1)
    run = start_run(tmp_path, "--jobs", 1)
    wait_until(lambda: len(processes_of(tmp_path)) > 2, 120)
    run.kill()
    run.communicate(timeout=120)
    wait_until(lambda: not processes_of(tmp_path))


@pytest.mark.slow
def test_what_is_done_when_a_run_is_killed_is_kept_and_the_rest_is_the_same_to_the_bit(tmp_path: Path) -> None:
    write_inputs(tmp_path, ("loose_ending:Quick", "chg_shapley"))
    ended, whole = tmp_path / "ended", tmp_path / "whole"
    run = start_run(tmp_path, "--jobs", 1, "--results", ended)
    wait_until(lambda: arrays(ended) or run.poll() is not None, 300)
    run.kill()
    run.communicate(timeout=120)
    wait_until(lambda: not processes_of(tmp_path))  # so that nothing of it writes any more
    kept = arrays(ended)
    assert kept
    for results, jobs in ((ended, 2), (whole, 0)):
        run = start_run(tmp_path, "--jobs", jobs, "--results", results)
        run.communicate(timeout=600)
        assert run.returncode == 0
    assert arrays(ended) == arrays(whole)
    assert len(arrays(ended)) == 4
    assert kept.items() <= arrays(ended).items()
    scores = [[result.scores for result in Store(folder).results("ending")] for folder in (ended, whole)]
    assert scores[0] == scores[1]


@pytest.mark.slow
def test_two_runs_in_one_folder_write_the_same_results(tmp_path: Path) -> None:
    write_inputs(tmp_path, ("loose_ending:Quick", "chg_shapley"))
    runs = [start_run(tmp_path, "--jobs", 1) for _ in range(2)]
    for run in runs:
        _, said = run.communicate(timeout=600)
        assert (run.returncode, said) == (0, "")
    assert [result.status for result in Store(tmp_path / "runs").results("ending")] == ["ok"] * 4
    assert not list((tmp_path / "runs").rglob(".*"))  # no temporary files
    alone = start_run(tmp_path, "--jobs", 0, "--results", "alone")
    alone.communicate(timeout=600)
    assert arrays(tmp_path / "runs") == arrays(tmp_path / "alone")

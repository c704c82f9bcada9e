"""Faults of machines, disks and clocks while a suite is run in each of the ways there are; see docs/clusters.md."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from ending_runs import arrays, start_run
from faults import CELLS, WRONG_CLOCK, assert_all_are_as, finish, small_disk, start_merge, undisturbed, write_all
from living import pids_in, wait_until

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("runs", [1, 3])
def test_a_full_disk_ends_runs_in_a_line_and_they_continue_when_there_is_space(tmp_path: Path, runs: int) -> None:
    with small_disk(tmp_path / "runs") as (code, make_space):
        write_all(tmp_path, code)
        for run in [start_run(tmp_path, "--jobs", 1) for _ in range(runs)]:
            returned, _, err = finish(run)
            assert returned == 2
            assert "No space left on device; choose a folder you can write to" in err
            assert len(err.strip().splitlines()) == 1
        before = arrays(tmp_path / "runs")
        make_space()
        for run in [start_run(tmp_path, "--jobs", 1) for _ in range(runs)]:
            returned, _, err = finish(run)
            assert returned == 0, err
        whole = undisturbed(tmp_path)
        assert_all_are_as(whole, tmp_path / "runs")
        assert before.items() <= whole.items()


@pytest.mark.parametrize("hours", [["1"], ["1", "-1"]])
def test_clocks_that_are_wrong_by_an_hour_change_nothing(
    tmp_path: Path, hours: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_all(tmp_path, WRONG_CLOCK, evaluators=("loose_ending:Slow", "random"))
    runs = []
    for each in hours:
        monkeypatch.setenv("WRONG_HOURS", each)
        runs.append(start_run(tmp_path, "--jobs", 1))
    for run in runs:
        returned, _, err = finish(run)
        assert returned == 0, err
    assert len(pids_in(tmp_path / "slow")) == CELLS // 2  # no claim was taken from a run that held it
    monkeypatch.setenv("WRONG_HOURS", "0")
    assert_all_are_as(undisturbed(tmp_path), tmp_path / "runs")


def test_a_run_that_is_cut_off_for_longer_than_its_claims_hold_does_no_damage(tmp_path: Path) -> None:
    write_all(tmp_path, evaluators=("loose_ending:Slow", "random"))
    cut = start_run(tmp_path, "--jobs", 1)
    wait_until(lambda: pids_in(tmp_path / "slow") or cut.poll() is not None, 900)
    halted = [cut.pid, *pids_in(tmp_path / "slow")]
    for pid in halted:
        os.kill(pid, signal.SIGSTOP)  # its claims are not touched any more
    returned, out, err = finish(start_run(tmp_path, "--jobs", 1))
    assert returned == 0, err
    assert "waiting for 1 cell that other runs" in out
    whole = undisturbed(tmp_path)
    assert_all_are_as(whole, tmp_path / "runs")
    for pid in reversed(halted):
        os.kill(pid, signal.SIGCONT)
    returned, _, err = finish(cut)  # it writes what the other run has written too
    assert returned == 0, err
    assert_all_are_as(whole, tmp_path / "runs")


def test_a_shard_that_dies_is_missing_until_it_is_run_again(tmp_path: Path) -> None:
    write_all(tmp_path, evaluators=("loose_ending:Slow", "random"))
    other = start_run(tmp_path, "--jobs", 1, "--shard", "2/2", "--results", "part2")
    dying = start_run(tmp_path, "--jobs", 1, "--shard", "1/2", "--results", "part1")
    wait_until(lambda: list((tmp_path / "part1").rglob("values.npy")) or dying.poll() is not None, 900)
    dying.kill()
    dying.communicate()
    assert finish(other)[0] == 0
    returned, out, _ = finish(start_merge(tmp_path))
    assert returned == 0
    assert " missing" in out
    assert finish(start_run(tmp_path, "--jobs", 1, "--shard", "1/2", "--results", "part1"))[0] == 0
    returned, out, _ = finish(start_merge(tmp_path))
    assert (returned, " 0 missing" in out) == (0, True)
    assert_all_are_as(undisturbed(tmp_path), tmp_path / "united")


def test_shards_with_wrong_clocks_are_merged_by_two_at_once_on_a_disk_that_was_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "united") as (code, make_space):
        write_all(tmp_path, WRONG_CLOCK + code)
        for number, hours in ((1, "-1"), (2, "1"), (1, "0")):  # one of them is run twice
            monkeypatch.setenv("WRONG_HOURS", hours)
            words = ("--jobs", 1, "--shard", f"{number}/2", "--results", f"part{number}")
            assert finish(start_run(tmp_path, *words))[0] == 0
        fill = tmp_path / "united/other"
        if not code:
            fill.write_bytes(b"0" * (40 * 1024))
        returned, _, err = finish(start_merge(tmp_path))
        assert (returned, "No space left on device" in err, len(err.strip().splitlines())) == (2, True, 1)
        make_space()
        fill.unlink(missing_ok=True)
        for returned, _, err in [finish(merge) for merge in [start_merge(tmp_path), start_merge(tmp_path)]]:
            assert returned == 0, err
        assert_all_are_as(undisturbed(tmp_path), tmp_path / "united")

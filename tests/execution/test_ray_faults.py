"""Faults of drivers, disks, clocks and the network while a suite is run on a Ray cluster; see docs/clusters.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ending_runs import arrays, start_run
from faults import WRONG_CLOCK, assert_all_are_as, finish, small_disk, undisturbed, write_all
from living import pids_in, wait_until
from ray_clusters import start_cluster

pytestmark = pytest.mark.slow


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster of one node with two cores, on this machine; drivers connect to it from processes of their own."""
    # A driver that cannot reach the head tries again for so long; by default for a minute.
    nodes = start_cluster(monkeypatch, cores=(2,), RAY_gcs_rpc_server_reconnect_timeout_s="5")
    yield nodes
    nodes.shutdown()


def test_two_drivers_with_wrong_clocks_on_a_disk_that_was_full(
    head: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--on", "ray", "--address", head.address, "--device", "cpu")

    def two_runs() -> list[tuple[int, str, str]]:
        runs = []
        for hours in ("1", "-1"):
            monkeypatch.setenv("WRONG_HOURS", hours)
            runs.append(start_run(tmp_path, *words))
        return [finish(run) for run in runs]

    with small_disk(tmp_path / "runs") as (code, make_space):
        write_all(tmp_path, WRONG_CLOCK + code)
        for returned, _, err in two_runs():
            assert returned == 2, err
            assert "No space left on device; choose a folder you can write to" in err
            assert len(err.strip().splitlines()) == 1
        before = arrays(tmp_path / "runs")
        make_space()
        for returned, _, err in two_runs():
            assert returned == 0, err
        monkeypatch.setenv("WRONG_HOURS", "0")
        whole = undisturbed(tmp_path)
        assert_all_are_as(whole, tmp_path / "runs")
        assert before.items() <= whole.items()


def test_a_driver_that_is_cut_off_from_the_head_loses_nothing_that_it_wrote(head: Any, tmp_path: Path) -> None:
    write_all(tmp_path, evaluators=("random", "loose_ending:Slow"))
    cut = start_run(tmp_path, "--on", "ray", "--address", head.address, "--device", "cpu")
    wait_until(lambda: pids_in(tmp_path / "slow") or cut.poll() is not None, 900)
    assert cut.poll() is None, cut.communicate()
    head.head_node.kill_gcs_server()
    returned, _, err = finish(cut)
    assert returned not in (0, None), err
    before = arrays(tmp_path / "runs")
    returned, _, err = finish(start_run(tmp_path, "--jobs", 1, "--device", "cpu"))
    assert returned == 0, err
    whole = undisturbed(tmp_path)
    assert_all_are_as(whole, tmp_path / "runs")
    assert before.items() <= whole.items()

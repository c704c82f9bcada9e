"""``run --dry-run`` says what a suite will cost, and ``run --budget`` ends in time."""

from __future__ import annotations

from pathlib import Path

import pytest

from dvbench.results import Store

RUN = ("run", "tiny.toml", "--seeds", "0-2", "--jobs", 0, "--results", "r")


def test_a_dry_run_computes_and_writes_nothing(dvbench, here: Path) -> None:
    said = dvbench(*RUN, "--dry-run")
    assert (said.code, said.err) == (0, "")
    assert "0 done before" in said.out
    assert "core hours" in said.out
    assert not (here / "r").exists()


def test_a_dry_run_knows_what_is_done_and_what_it_took(dvbench) -> None:
    assert dvbench(*RUN).code == 0
    said = dvbench(*RUN, "--dry-run")
    assert " 0 to do: 0.0000 core hours" in said.out
    more = dvbench("run", "tiny.toml", "--seeds", "0-4", "--results", "r", "--dry-run", "--jobs", 3)
    assert "3 at a time" in more.out
    assert "?" not in more.out.split("\n? means")[0].rpartition("MB on disk")[0]
    fresh = dvbench(*RUN, "--dry-run", "--fresh")
    assert "0 done before" in fresh.out


@pytest.mark.parametrize("where", ["ray", "slurm"])
def test_a_cluster_decides_how_many_cells_are_computed_at_a_time(dvbench, where: str) -> None:
    said = dvbench(*RUN, "--dry-run", "--on", where)
    assert said.code == 0
    assert "core hours" in said.out
    assert "at a time" not in said.out


def test_what_fits_into_a_budget_is_said(dvbench, here: Path) -> None:
    assert "about 6 of 6 cells fit" in dvbench(*RUN, "--dry-run", "--budget", "1h").out
    assert "about 0 of 6 cells fit" in dvbench(*RUN, "--dry-run", "--budget", "0.000001s").out
    assert " fit into" not in dvbench(*RUN, "--dry-run").out
    assert not (here / "r").exists()


def test_small_suites_have_hours_that_are_not_all_zero(dvbench) -> None:
    said = dvbench("run", "quick", "--evaluator", "data_shapley", "--dry-run")
    (row,) = [line.split() for line in said.out.splitlines() if line.startswith("data_shapley")]
    assert 0 < float(row[3]) < 1


def test_a_machine_without_a_gpu_plans_for_one_that_has_it(dvbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    said = dvbench(*RUN, "--dry-run", "--device", "cuda")
    assert (said.code, "GPU hours" in said.out) == (0, True)
    assert dvbench(*RUN, "--device", "cuda").code == 2


def test_a_shard_is_counted_alone(dvbench) -> None:
    parts = [dvbench(*RUN, "--dry-run", "--shard", f"{number}/2").out for number in (1, 2)]
    counts = [int(part.rpartition("tiny: ")[2].split()[0]) for part in parts]
    assert sum(counts) == int(dvbench(*RUN, "--dry-run").out.rpartition("tiny: ")[2].split()[0])


def test_a_budget_that_is_over_leaves_cells_out_and_a_later_run_computes_them(dvbench, here: Path) -> None:
    said = dvbench(*RUN, "--budget", "0.000001s")
    assert said.code == 0
    assert "did not fit into the time" in said.out
    assert not list(Store(here / "r").results("tiny"))
    whole = dvbench(*RUN, "--budget", "1h")
    assert whole.code == 0
    assert "did not fit" not in whole.out
    assert " 0 to do" in dvbench(*RUN).out


@pytest.mark.parametrize("text", ["2", "h", "-1h", "0s", "2 weeks", "1e3s", ""])
def test_what_is_no_time_is_refused(refused, here: Path, text: str) -> None:
    assert "a time is a number with a unit" in refused("run", "tiny.toml", "--budget", text)
    assert not (here / "runs").exists()


def test_a_time_that_is_too_long_is_refused(refused) -> None:
    for more in (["--jobs", 0], ["--dry-run"]):
        assert "the time budget of a run is above 0" in refused("run", "tiny.toml", "--budget", "99999999d", *more)

"""``run --shard`` computes a part of a suite, and ``merge`` unites results folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvbench.errors import UserError
from dvbench.execution.shards import Shard
from dvbench.results import CellKey, Store


def key(seed: int, problem: str = "p") -> CellKey:
    return CellKey(suite="s", problem=problem, evaluator="e", seed=seed)


@given(st.integers(1, 40), st.integers(0, 10**9))
def test_every_cell_is_in_one_shard(count: int, seed: int) -> None:
    assert sum(key(seed) in Shard(number, count) for number in range(1, count + 1)) == 1


def test_shards_are_about_equal_and_stay_as_they_are() -> None:
    sizes = [sum(key(seed) in Shard(number, 8) for seed in range(4000)) for number in range(1, 9)]
    assert min(sizes) > 400
    assert max(sizes) < 600
    # A part of a suite that was computed by an earlier version has the same cells.
    assert [seed for seed in range(20) if key(seed) in Shard(2, 4)] == [11, 17, 18]


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/3", "1/3/4", "", "１/３"])
def test_what_is_no_shard_is_refused(dvbench, text: str) -> None:
    with pytest.raises(UserError, match="a shard is NUMBER/COUNT"):
        Shard.parse(text)
    said = dvbench("run", "tiny.toml", "--shard", text)
    assert (said.code, said.out) == (2, "")


def files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*.npy")
    }  # fmt: skip


def test_shards_that_are_merged_are_the_whole_suite_to_the_bit(dvbench, here: Path) -> None:
    assert dvbench("run", "tiny.toml", "--seeds", "0-3", "--jobs", 0, "--results", "whole").code == 0
    for number in (1, 2, 3):
        said = dvbench(
            "run", "tiny.toml", "--seeds", "0-3", "--jobs", 0, "--results", f"p{number}", "--shard", f"{number}/3"
        )
        assert said.code == 0
    two = dvbench("merge", "p1", "p2", "--into", "united")
    missing = len(list((here / "p3/tiny").glob("*/*/seed-*")))
    assert 0 < missing < 8
    assert f"{missing} missing" in two.out
    assert two.out.count("missing: ") == min(missing, 10)
    three = dvbench("merge", "p3", "p1", "--into", "united")
    assert f"{missing} copied, 0 missing" in three.out
    assert files(here / "united") == files(here / "whole")
    theirs, ours = Store(here / "united"), Store(here / "whole")
    assert {r.cell.key: r.scores for r in theirs.results("tiny")} == {
        r.cell.key: r.scores for r in ours.results("tiny")
    }
    again = dvbench("run", "tiny.toml", "--seeds", "0-3", "--jobs", 0, "--results", "united")
    assert "done before" in again.out


def test_fresh_removes_only_results_of_the_shard(dvbench, here: Path) -> None:
    run = ("run", "tiny.toml", "--seeds", "0-3", "--jobs", 0, "--results", "r")
    dvbench(*run)
    before = {path: path.stat().st_mtime_ns for path in (here / "r/tiny").rglob("values.npy")}
    assert dvbench(*run, "--fresh", "--shard", "1/2").code == 0
    after = {path: path.stat().st_mtime_ns for path in (here / "r/tiny").rglob("values.npy")}
    part = Shard(1, 2)
    for result in Store(here / "r").results("tiny"):
        path = here / "r" / result.cell.key.folder / "values.npy"
        assert (before[path] != after[path]) == (result.cell.key in part)


def test_folders_that_contradict_each_other_are_refused_by_name(dvbench, here: Path) -> None:
    for folder in ("a", "b"):
        dvbench("run", "tiny.toml", "--seeds", "0", "--jobs", 0, "--results", folder)
    store = Store(here / "b")
    result = next(iter(store.results("tiny")))
    store.write(result, {name: store.array(result, name) + (name == "values") for name in result.arrays})
    said = dvbench("merge", "a", "b", "--into", "c")
    assert said.code == 2
    assert f"have other values of {result.cell.key}" in said.err
    assert not (here / "c").exists()


def test_another_version_of_the_suite_is_refused(dvbench, here: Path) -> None:
    dvbench("run", "tiny.toml", "--seeds", "0", "--jobs", 0, "--results", "a")
    text = (here / "tiny.toml").read_text()
    (here / "tiny.toml").write_text(text.replace("version = 1", "version = 2"))
    dvbench("run", "tiny.toml", "--seeds", "0", "--jobs", 0, "--results", "b")
    said = dvbench("merge", "a", "b", "--into", "c")
    assert (said.code, "b has version 2: run the older one again" in said.err) == (2, True)


def test_a_valuation_that_worked_is_kept_rather_than_one_that_failed(dvbench, here: Path) -> None:
    for folder in ("a", "b"):
        dvbench("run", "tiny.toml", "--seeds", "0", "--jobs", 0, "--results", folder)
    store = Store(here / "a")
    result = next(iter(store.results("tiny")))
    failed = result.model_copy(update={"status": "failed", "error": "no power", "scores": {}, "arrays": {}})
    store.write(failed, {})
    assert "1 failed" in dvbench("merge", "a", "--into", "c").out
    said = dvbench("merge", "b", "--into", "c")
    assert "1 copied, 0 missing" in said.out
    assert "failed" not in said.out
    assert np.isfinite(Store(here / "c").array(result, "values")).all()


def test_a_score_that_worked_is_kept_rather_than_one_that_failed(dvbench, here: Path) -> None:
    for folder in ("a", "b"):
        dvbench("run", "tiny.toml", "--seeds", "0", "--jobs", 0, "--results", folder)
    store = Store(here / "a")
    result = next(iter(store.results("tiny")))
    nothing = {"error": "no power", "metrics": {}, "curves": {}, "axes": {}, "ceiling": None}
    failed = {name: score.model_copy(update=nothing) for name, score in result.scores.items()}
    store.write(result.model_copy(update={"scores": failed}))
    assert dvbench("merge", "a", "b", "--into", "c").code == 0
    assert Store(here / "c").read(result.cell.key).scores == result.scores


def test_what_is_no_results_folder_is_refused(refused, dvbench, here: Path) -> None:
    dvbench("run", "tiny.toml", "--seeds", "0", "--jobs", 0, "--results", "a")
    assert "there is no results folder nowhere" in refused("merge", "nowhere", "--into", "c")
    assert "a/tiny has no plan of a suite" in refused("merge", "a", "a/tiny", "--into", "c")
    assert not (here / "c").exists()

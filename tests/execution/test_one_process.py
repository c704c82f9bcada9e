"""Cells in this process, for debugging: what one does to the process does not reach the next one."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from loose_scripts import made_up_cell

from dvbench.execution.run import run_cells
from dvbench.results import Cell, Store

MEDDLING = """
import torch

class Meddling(Base):
    def answer(self, n):
        torch.set_num_threads(3); torch.set_default_dtype(torch.float64); torch.set_grad_enabled(False)
        torch.use_deterministic_algorithms(True); torch.set_float32_matmul_precision("medium")
        np.seterr(all="raise"); os.environ["MEDDLED"] = "1"; os.environ.pop("HOME", None); os.chdir("/")
        sys.path.insert(0, "/nowhere"); sys.setrecursionlimit(555)
        np.mean = np.random.default_rng = len
        torch.nn.functional.cross_entropy = torch.optim.AdamW.step = lambda *a, **k: 1 / 0
        torch.nn.Linear.__call__ = lambda *a, **k: 1 / 0
        import builtins, random, dvbench.randomness
        builtins.ascii = random.random = dvbench.randomness.integer_seed = lambda *a, **k: 1 / 0
        return np.arange(n)

class MeddlingAndFailing(Meddling):
    def answer(self, n): super().answer(n); raise ValueError("after all that")
"""


def state() -> list[object]:
    """What the meddling evaluator changes."""
    settings = (
        torch.get_num_threads, torch.get_default_dtype, torch.is_grad_enabled, torch.get_float32_matmul_precision,
        torch.are_deterministic_algorithms_enabled, np.geterr, os.getcwd,
        lambda: (os.environ.get("MEDDLED"), os.environ.get("HOME")),
    )  # fmt: skip
    functions = [np.mean, np.random.default_rng, torch.nn.functional.cross_entropy, torch.optim.AdamW.step]
    return [*(get() for get in settings), *functions, torch.nn.Linear.__call__, ascii, random.random]


@pytest.fixture
def cells(script) -> list[Cell]:
    """Two evaluators that meddle, and two that are sensitive to it."""
    script("loose_meddling", MEDDLING)
    names = ("loose_meddling:Meddling", "chg_shapley", "loose_meddling:MeddlingAndFailing", "data_banzhaf")
    params = {"data_banzhaf": {"models": 20}}
    return [made_up_cell(name, tasks=("point_removal",), **params.get(name, {})) for name in names]


def test_what_a_cell_changes_is_put_back(cells: list[Cell], tmp_path: Path) -> None:
    before = state()
    results = list(run_cells(cells, Store(tmp_path), "cpu", 0))
    assert state() == before
    errors = {result.cell.key.evaluator: result.error for result in results}
    failed = errors.pop("loose_meddling.MeddlingAndFailing")
    assert (failed or "").startswith("ValueError: after all that (")
    assert set(errors.values()) == {None}
    assert not any(score.error for result in results for score in result.scores.values())


@pytest.mark.slow
def test_values_and_scores_are_those_of_worker_processes_to_the_bit(cells: list[Cell], tmp_path: Path) -> None:
    found = []
    for jobs in (0, 1, 2):
        store = Store(tmp_path / str(jobs))
        results = {result.cell.key: result for result in run_cells(cells, store, "cpu", jobs)}
        ok = [results[cell.key] for cell in cells if results[cell.key].status == "ok"]
        found.append([(store.array(result, "values").tobytes(), result.scores) for result in ok])
    assert len(found[0]) == 3
    assert found[0] == found[1] == found[2]


def test_one_thread_computes_in_this_process_and_its_settings_stay(script, tmp_path: Path) -> None:
    script(
        "loose_counting",
        "class Counting(Base):\n    def answer(self, n):\n"
        "        import torch; from threadpoolctl import threadpool_info\n"
        "        self.diagnostics_ = {'threads': max([torch.get_num_threads()] + "
        "[pool['num_threads'] for pool in threadpool_info()])}\n        return np.arange(n)\n",
    )
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        (result,) = run_cells([made_up_cell("loose_counting:Counting")], Store(tmp_path), "cpu", 0)
        assert result.diagnostics["threads"] == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_copy_of_the_process_that_an_evaluator_forks_does_not_go_on_with_the_run(script, tmp_path: Path) -> None:
    script("loose_forking", "class Forking(Base):\n    def answer(self, n): os.fork(); return np.arange(n)\n")
    said = tmp_path / "said"
    for _ in run_cells([made_up_cell("loose_forking:Forking")], Store(tmp_path), "cpu", 0):
        with said.open("a") as file:
            file.write(f"{os.getpid()}\n")
    assert said.read_text().split() == [str(os.getpid())]

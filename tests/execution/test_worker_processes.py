"""Cells in processes of their own: the same values to the bit, and nothing that dies takes the others with it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from loose_scripts import made_up_cell

from dvbench.execution.workers import run_here, run_in_workers
from dvbench.results import Cell, Store

DYING = """
class Killed(Base):
    def train_data_values(self, *args, **kwargs): os.kill(os.getpid(), signal.SIGKILL)
class Exiting(Base):
    def train_data_values(self, *args, **kwargs): os._exit(3)
class Leaving(Base):
    def train_data_values(self, *args, **kwargs): sys.exit(4)
class Well(Base):
    def train_data_values(self, *args, **kwargs):
        print("talk"); print("more", file=sys.stderr)
        return self
class Endless(Base):
    def train_data_values(self, *args, **kwargs):
        import time
        with open(TRACE, "w") as file:
            file.write(str(os.getpid()))
        time.sleep(600)
"""


def contents(store: Store, cells: Sequence[Cell]) -> list[bytes]:
    return [(store.folder(cell.key) / "values.npy").read_bytes() for cell in cells]


def test_values_are_the_same_to_the_bit_here_and_in_any_number_of_workers(tmp_path: Path) -> None:
    cells = [
        made_up_cell(name, seed=seed, **params)
        for seed in (0, 1)
        for name, params in (("random", {}), ("chg_shapley", {}), ("data_banzhaf", {"models": 10}))
    ]
    stores = [Store(tmp_path / name) for name in ("here", "one", "two")]
    list(run_here(cells, stores[0], "cpu"))
    list(run_in_workers(cells, stores[1], "cpu", jobs=1))
    assert {result.cell.key for result in run_in_workers(cells, stores[2], "cpu", jobs=2)} == {c.key for c in cells}
    here, one, two = (contents(store, cells) for store in stores)
    assert here == one == two
    assert len(set(here)) == len(cells)


def test_a_worker_that_dies_is_recorded_and_the_others_finish(
    script, store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    script("loose_dying", DYING)
    names = ("Killed", "Well", "Exiting", "Leaving")
    cells = [made_up_cell(f"loose_dying:{name}") for name in names] + [made_up_cell("random")]
    results = {result.cell.key.evaluator: result for result in run_in_workers(cells, store, "cpu", jobs=2)}
    leaving = results["loose_dying.Leaving"].error
    assert leaving is not None
    assert leaving.startswith("SystemExit: 4 (")
    assert {name: result.error for name, result in results.items() if name != "loose_dying.Leaving"} == {
        "loose_dying.Killed": "the worker process was killed by SIGKILL (out of memory?)",
        "loose_dying.Exiting": "the worker process ended with exit code 3",
        "loose_dying.Well": None,
        "random": None,
    }
    assert {result.cell.key.evaluator: result for result in store.results("small")} == results
    assert capfd.readouterr() == ("", "")


def test_a_worker_killed_while_scoring_keeps_its_values(script, store: Store, tmp_path: Path) -> None:
    script(
        "loose_deadly",
        "from dvbench.tasks.contract import task\n"
        "@task(version=1, headline='score', higher_is_better=True)\n"
        "def deadly(problem, valuation, retrain): os.kill(os.getpid(), signal.SIGKILL)\n",
    )
    info = tmp_path / "scripts" / "loose_deadly-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: loose_deadly\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[dvbench.tasks]\ndeadly = loose_deadly:deadly\n")
    cell = made_up_cell(tasks=("deadly",))
    (result,) = run_in_workers([cell], store, "cpu", jobs=1)
    assert result.status == "ok"
    assert len(store.array(result, "values")) == 30
    assert result.scores["deadly"].error == "the worker process was killed by SIGKILL (out of memory?)"
    assert store.read(cell.key) == result


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "zombie" not in Path(f"/proc/{pid}/status").read_text() if Path("/proc").is_dir() else True


def test_stopping_early_ends_the_processes_and_keeps_what_is_finished(script, store: Store, trace: Path) -> None:
    script("loose_dying", DYING)
    cells = [made_up_cell("random"), made_up_cell("loose_dying:Endless"), made_up_cell("random", seed=1)]
    stream = run_in_workers(cells, store, "cpu", jobs=1)
    first = next(stream)
    stream.close()
    assert list(store.results("small")) == [first]

    stream = run_in_workers(cells[1:], store, "cpu", jobs=2)
    second = next(stream)
    while not trace.read_text():
        time.sleep(0.05)
    pid = int(trace.read_text())
    assert alive(pid)
    stream.close()
    assert not alive(pid)
    assert list(store.results("small")) == [first, second]
    assert store.read(cells[1].key) is None


def test_nothing_to_do(store: Store) -> None:
    assert list(run_in_workers([], store, "cpu", jobs=2)) == []

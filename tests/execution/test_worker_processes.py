"""Cells in processes of their own: the same values to the bit, and nothing that dies takes the others with it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from loose_scripts import made_up_cell, run_cell

from dvbench.execution.run import run_cells
from dvbench.execution.workers import start_server
from dvbench.results import Cell, Result, Score, Store

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


@pytest.fixture(scope="module", autouse=True)
def _server() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # puts it back
        start_server(2)
        yield


def contents(store: Store, cells: Sequence[Cell]) -> list[bytes]:
    return [(store.folder(cell.key) / "values.npy").read_bytes() for cell in cells]


def scores(store: Store, cells: Sequence[Cell]) -> list[dict[str, Score]]:
    return [result.scores for cell in cells if (result := store.read(cell.key))]


@pytest.mark.slow
def test_results_are_the_same_to_the_bit_here_and_in_any_number_of_workers(tmp_path: Path) -> None:
    tasks = ("noisy_label_detection", "point_removal", "rank_stability")
    cells = [
        made_up_cell(name, seed=seed, tasks=tasks, **params)
        for seed in (0, 1)
        for name, params in (("random", {}), ("chg_shapley", {}), ("data_banzhaf", {"models": 20}))
    ]
    stores = [Store(tmp_path / name) for name in ("here", "one", "two")]
    list(run_cells(cells, stores[0], "cpu", 0))
    list(run_cells(cells, stores[1], "cpu", jobs=1))
    assert {result.cell.key for result in run_cells(cells, stores[2], "cpu", jobs=2)} == {c.key for c in cells}
    here, one, two = (contents(store, cells) for store in stores)
    assert here == one == two
    assert len(set(here)) == len(cells)
    here, one, two = (scores(store, cells) for store in stores)
    assert here == one == two
    assert all(set(each) == set(tasks) for each in here)
    assert not any(score.error for each in here for score in each.values())


def test_progress_bars_in_workers_leave_no_semaphore_behind(script, store: Store) -> None:
    """Of the system, which Python warns of at the end of a run."""
    script(
        "loose_bars",
        "from multiprocessing import synchronize\nfrom tqdm import tqdm\nclass Bars(Base):\n"
        "  def answer(self, n):\n"
        "    made = []\n"
        "    real = synchronize.SemLock.__init__\n"
        "    synchronize.SemLock.__init__ = lambda *given, **named: (made.append(1), real(*given, **named))[1]\n"
        "    list(tqdm(range(3)))\n"
        "    return np.arange(n) + 100.0 * len(made)\n",
    )
    (result,) = run_cells([made_up_cell("loose_bars:Bars", tasks=())], store, "cpu", jobs=1)
    assert result.error is None
    assert store.array(result, "values").max() < 100


def test_a_worker_that_dies_is_recorded_and_the_others_finish(
    script, store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    script("loose_dying", DYING)
    names = ("Killed", "Well", "Exiting", "Leaving")
    cells = [made_up_cell(f"loose_dying:{name}") for name in names] + [made_up_cell("random")]
    results = {result.cell.key.evaluator: result for result in run_cells(cells, store, "cpu", jobs=2)}
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


@pytest.mark.slow
def test_a_worker_killed_while_scoring_keeps_values_and_what_is_scored(script, install_tasks, store: Store) -> None:
    install_tasks(
        "loose_deadly",
        "@task(version=1, headline='score', higher_is_better=True)\n"
        "def deadly(problem, valuation, utilities):\n"
        "    if valuation.values[0] == -1: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return Outcome({'score': 1.0})\n",
    )
    script("loose_marked", "class Marked(Base):\n    def answer(self, n): return np.full(n, -1.0)\n")
    tasks = ("noisy_label_detection", "deadly")
    names = ("knn_shapley", "loose_marked:Marked", "random")
    cells = [made_up_cell(name, tasks=tasks) for name in names] + [made_up_cell("random", seed=1, tasks=tasks)]
    results = {result.cell.key: result for result in run_cells(cells, store, "cpu", jobs=1)}
    assert len(results) == 4
    for cell, ended in zip(cells, (True, False, True, True), strict=True):
        result = results[cell.key]
        assert store.read(cell.key) == result
        assert result.status == "ok"
        assert len(store.array(result, "values")) == 30
        errors = {score.error for score in result.scores.values()}
        assert errors == {None if ended else "the worker process was killed by SIGKILL (out of memory?)"}
        assert set(result.scores) == set(tasks)


def test_a_worker_killed_while_valuing_again_is_scored_as_far_as_it_goes(script, store: Store) -> None:
    code = (
        "class Mortal(Base):\n    def answer(self, n):\n"
        "        if len(open(TRACE).readlines()) > 1: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return np.arange(n)\n"
    )
    script("loose_mortal", code)
    cell = made_up_cell("loose_mortal:Mortal", tasks=("noisy_label_detection", "rank_stability"))
    (result,) = run_cells([cell], store, "cpu", jobs=1)
    assert result.scores["noisy_label_detection"].value is not None
    assert result.scores["rank_stability"].error == "the worker process was killed by SIGKILL (out of memory?)"


def test_a_result_of_an_earlier_run_is_not_taken_for_one_of_this(script, store: Store) -> None:
    code = (
        "class Quitter(Base):\n    def answer(self, n):\n"
        "        if self.params: os._exit(0)\n        return np.arange(n)\n"
    )
    script("loose_quitter", code)
    before = run_cell(made_up_cell("loose_quitter:Quitter"), store)
    (result,) = run_cells([made_up_cell("loose_quitter:Quitter", k=2)], store, "cpu", jobs=1)
    assert before.status == "ok"
    assert (result.status, result.error) == ("failed", "the worker process ended with exit code 0")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "zombie" not in Path(f"/proc/{pid}/status").read_text() if Path("/proc").is_dir() else True


def test_stopping_early_ends_the_processes_and_keeps_what_is_finished(script, store: Store, trace: Path) -> None:
    script("loose_dying", DYING)
    cells = [made_up_cell("random"), made_up_cell("loose_dying:Endless", seed=1), made_up_cell("random", seed=2)]
    stream = run_cells(cells, store, "cpu", jobs=1)
    first = next(stream)
    stream.close()
    assert list(store.results("small")) == [first]

    stream = run_cells(cells[1:], store, "cpu", jobs=2)
    second = next(stream)
    while not trace.read_text():
        time.sleep(0.05)
    pid = int(trace.read_text())
    assert alive(pid)
    stream.close()
    assert not alive(pid)
    assert list(store.results("small")) == [first, second]
    assert store.read(cells[1].key) is None


def test_stopping_early_keeps_what_is_valued(script, store: Store, trace: Path) -> None:
    script("loose_dying", DYING)
    cells = [made_up_cell("loose_dying:Endless"), made_up_cell("random"), made_up_cell("random", seed=1)]
    valued: list[Result] = []
    stream = run_cells(cells, store, "cpu", 2, valued.append)
    finished = next(stream)
    stream.close()
    assert [result.cell.key for result in (*valued[:1], finished)] == [cell.key for cell in cells[1:]]
    assert store.read(cells[1].key) == valued[0]
    assert (valued[0].status, valued[0].scores) == ("ok", {})


def test_nothing_to_do(store: Store) -> None:
    assert list(run_cells([], store, "cpu", jobs=2)) == []

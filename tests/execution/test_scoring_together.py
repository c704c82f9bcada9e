"""All evaluators of a problem are scored with models that are trained together, and are scored as if alone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from changed_cells import with_problem
from loose_scripts import made_up_cell, run_cell

from dvbench.errors import UserError
from dvbench.execution import scoring
from dvbench.execution.job_queue import Job
from dvbench.execution.resume import unfinished
from dvbench.execution.run import run_cells, score_saved_values
from dvbench.execution.scoring import score_cells
from dvbench.execution.suite_checks import check_suite
from dvbench.execution.valuation import value_cell
from dvbench.execution.workers import start_server
from dvbench.problems.build import build_from_settings
from dvbench.results import Cell, Result, Store
from dvbench.scoring.player_orders import ascending, random_order, removal_counts
from dvbench.scoring.retraining import Retraining
from dvbench.suite import Suite

CURVES = ("noisy_label_detection", "point_removal", "point_addition")
NAMES = ("knn_shapley", "random", "lava")


@pytest.fixture
def retrainings(monkeypatch: pytest.MonkeyPatch) -> list[Retraining]:
    """Those that scoring makes."""
    made: list[Retraining] = []

    class Seen(Retraining):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)
            self.calls: list[int] = []
            made.append(self)

        def __call__(self, coalitions):
            self.calls.append(len(coalitions))
            return super().__call__(coalitions)

    monkeypatch.setattr(scoring, "Retraining", Seen)
    return made


def run(cells: Iterable[Cell], store: Store) -> dict[str, Result]:
    return {result.cell.key.evaluator: result for result in run_cells(list(cells), store, "cpu", 0)}


def values(store: Store, result: Result) -> np.ndarray:
    return store.array(result, "values")


def test_each_subset_is_trained_once_for_all_evaluators(retrainings: list[Retraining], store: Store) -> None:
    cells = [made_up_cell(name, tasks=CURVES) for name in NAMES]
    results = run(cells, store)
    (retrain,) = retrainings
    problem, subsets, n, counts = retrain.problem, set(), 30, removal_counts(30)
    orders = [ascending(problem, values(store, result)) for result in results.values()]
    for order in (*orders, *(order[::-1] for order in orders), random_order(problem)):
        subsets |= {frozenset(order[gone:]) for gone in counts} | {frozenset(order[: n - gone]) for gone in counts}
    assert retrain.model.fits.count == len(subsets)
    assert retrain.calls[0] == 3 * 2 * 60  # all at once; later calls only look up
    assert len({tuple(result.scores["point_removal"].curves["random"]) for result in results.values()}) == 1


def test_evaluators_are_scored_as_if_alone(store: Store, tmp_path: Path) -> None:
    cells = [made_up_cell(name, tasks=CURVES) for name in NAMES]
    together, other = run(cells, store), Store(tmp_path / "alone")
    for cell in cells:
        alone, result = run_cell(cell, other), together[cell.key.evaluator]
        for name in CURVES:
            for curve, points in alone.scores[name].curves.items():
                assert result.scores[name].curves[curve] == pytest.approx(points, abs=1 / 40)
    gaps = {result.scores["point_removal"].value for result in together.values()}
    assert len(gaps) == len(NAMES)


def test_what_is_scored_is_not_trained_again(retrainings: list[Retraining], store: Store) -> None:
    run([made_up_cell("random", tasks=CURVES)], store)
    run([made_up_cell(name, tasks=(*CURVES, "noisy_feature_detection")) for name in ("random", "lava")], store)
    assert retrainings[1].calls[0] == 2 * 60


NOTING = """
def note(name):
    with open(TRACE, "a") as file: file.write(name + "\\n")
@task(version=1, headline="score", higher_is_better=True)
def silent(problem, valuation, utilities):
    note("silent")
    return Outcome({"score": float(len(utilities))})
def everyone(problem, valuation):
    note("asked")
    return [np.arange(30)]
@task(version=1, headline="score", higher_is_better=True, coalitions=everyone)
def asking(problem, valuation, utilities):
    note("asking")
    return Outcome({"score": float(utilities[0])})
"""


def test_tasks_are_run_once_and_train_nothing_that_they_do_not_ask_for(
    install_tasks, retrainings: list[Retraining], store: Store, trace: Path
) -> None:
    install_tasks("loose_noting", NOTING)
    run([made_up_cell(name, tasks=("silent",)) for name in NAMES], store)
    assert trace.read_text().split() == ["silent"] * 3
    assert retrainings[0].model.fits.count == 0
    results = run([made_up_cell(name, tasks=("asking", "silent")) for name in NAMES[:2]], store)
    assert trace.read_text().split()[3:] == ["asked", "asked", "asking", "asking"]
    assert retrainings[1].model.fits.count == 1
    assert all(result.scores["silent"].value == 0 for result in results.values())
    assert all(result.scores["asking"].value > 0 for result in results.values())


NESTED = """
def growing(problem, valuation): return [np.argsort(valuation.values)[:size] for size in (20, 1, 10, 20)]
@task(version=1, headline="score", higher_is_better=True, coalitions=growing)
def nested(problem, valuation, utilities):
    return Outcome({"score": float(utilities[0])}, {"seen": utilities.tolist()}, x="coalition")
def nobody(problem, valuation): return iter([])
@task(version=1, headline="score", higher_is_better=True, coalitions=nobody)
def empty(problem, valuation, utilities): return Outcome({"score": float(len(utilities))})
"""


def test_utilities_are_in_the_order_of_the_coalitions(install_tasks, store: Store) -> None:
    install_tasks("loose_nested", NESTED)
    cells = [made_up_cell(name, tasks=("nested", "empty", "point_removal")) for name in NAMES]
    results, first = run(cells, store), cells[0]
    problem = build_from_settings(first.problem, 0)
    retrain = Retraining(problem, first.problem.model, first.problem.training)
    for result in results.values():
        order = np.argsort(values(store, result))
        expected = [retrain([order[:size]])[0] for size in (20, 1, 10, 20)]
        assert result.scores["nested"].curves["seen"] == pytest.approx(expected)
        assert result.scores["nested"].axes == {"seen": "coalition"}
        assert result.scores["empty"].value == 0
        assert result.scores["point_removal"].value is not None


WRONG = """
def raising(problem, valuation): raise RuntimeError("nothing to ask for")
@task(version=1, headline="score", higher_is_better=True, coalitions=raising)
def unasked(problem, valuation, utilities): return Outcome({"score": 1.0})
def nothing(problem, valuation): pass
@task(version=1, headline="score", higher_is_better=True, coalitions=nothing)
def unsaid(problem, valuation, utilities): return Outcome({"score": 1.0})
def one(problem, valuation): return [np.arange(5)]
@task(version=1, headline="score", higher_is_better=True, coalitions=one)
def leaving(problem, valuation, utilities): sys.exit(3)
@task(version=1, headline="score", higher_is_better=True)
def headless(problem, valuation, utilities): return Outcome({"gap": 1.0, "area": 2.0})
@task(version=1, headline="score", higher_is_better=True)
def silent(problem, valuation, utilities): pass
"""


def test_what_is_wrong_with_a_task_is_one_line_in_its_score(install_tasks, store: Store) -> None:
    install_tasks("loose_wrong", WRONG)
    tasks = ("unasked", "unsaid", "leaving", "headless", "silent", "point_removal")
    result = run_cell(made_up_cell("random", tasks=tasks), store)
    errors = {name: score.error for name, score in result.scores.items()}
    assert errors.pop("point_removal") is None
    for name, start in {
        "unasked": "RuntimeError: nothing to ask for (scripts/loose_wrong.py:",
        "unsaid": "TypeError: 'NoneType' object is not iterable",
        "leaving": "SystemExit: 3 (",
        "headless": "task returned no metric 'score', its headline; it returned 'gap', 'area'",
        "silent": "TypeError: the task must return an Outcome; it returned a NoneType",
    }.items():
        assert errors[name].startswith(start)


EARLIER = """
@task(version=1, headline="score", higher_is_better=True)
def earlier(problem, valuation, retrain): return Outcome({"score": float(retrain([np.arange(30)])[0])})
"""


HEADLESS = """
@task(version=1, headline="score", higher_is_better=True)
def headless(problem, valuation, utilities):
    metrics = {"score": 1.0}
    return Outcome(metrics) if len(utilities) else Outcome({"area": 1.0, "mean": 0.5})
"""


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("earlier", EARLIER, r"^the parameters of task 'earlier' must be \(problem, valuation, utilities\), "),
        ("headless", HEADLESS, "^task 'headless' returns no metric 'score', its headline; it returns 'area', 'mean'$"),
    ],
)
def test_a_wrong_task_is_refused_before_anything_runs(install_tasks, name: str, code: str, message: str) -> None:
    install_tasks(f"loose_{name}", code)
    problem = {
        "dataset": "digits", "sizes": {"train": 30, "validation": 20, "test": 40}, "model": "logistic_regression",
        "tasks": [name],
    }  # fmt: skip
    suite = {
        "name": "small", "version": 1, "description": "Small.", "seeds": [0], "problems": [problem],
        "evaluators": [{"name": "random"}],
    }  # fmt: skip
    with pytest.raises(UserError, match=message):
        check_suite(Suite.model_validate(suite))


FRAGILE = """
def first_ten(problem, valuation):
    players = np.arange(10) + 10**6 * (valuation.values[0] == -1)
    valuation.values[:] = -1
    return [players]
@task(version=1, headline="score", higher_is_better=True, coalitions=first_ten)
def fragile(problem, valuation, utilities):
    first = float(valuation.values[0])
    valuation.values[:] = -1
    return Outcome({"score": float(utilities[0]), "first": first})
"""
MARKED = "class Marked(Base):\n    def answer(self, n): return np.full(n, -1.0)\n"


def test_a_failure_stays_with_its_cell(install_tasks, script, store: Store, tmp_path: Path) -> None:
    """Here one asks for players that do not exist, and with it the models of all cannot be trained together."""
    install_tasks("loose_fragile", FRAGILE)
    script("loose_marked", MARKED)
    tasks = ("fragile", "point_removal")
    cells = [made_up_cell(name, tasks=tasks) for name in ("random", "loose_marked:Marked", "knn_shapley")]
    results = run(cells, store)
    error = results["loose_marked.Marked"].scores["fragile"].error
    assert error is not None
    assert "whole numbers from 0 to 29" in error
    for cell in cells:
        scores = results[cell.key.evaluator].scores
        alone = run_cell(cell, Store(tmp_path / "alone")).scores
        assert scores["point_removal"].value == pytest.approx(alone["point_removal"].value, abs=1 / 40)
        if "Marked" not in cell.key.evaluator:  # the task spoils the values that it is given, and no others
            assert scores["fragile"].error is None
            assert scores["fragile"].metrics["first"] == values(store, results[cell.key.evaluator])[0]
            assert scores["fragile"] == alone["fragile"]


def test_training_that_diverges_is_an_error_of_the_tasks_that_train(store: Store) -> None:
    cells = [
        with_problem(cell, training=cell.problem.training.model_copy(update={"lr": 1e38}))
        for cell in (made_up_cell(name, tasks=CURVES) for name in ("random", "lava"))
    ]
    for result in run(cells, store).values():
        assert result.status == "ok"
        assert result.scores["noisy_label_detection"].value is not None
        for name in ("point_removal", "point_addition"):
            error = result.scores[name].error
            assert error is not None
            assert error.startswith("FloatingPointError: training diverged")


def test_stopped_between_valuation_and_scores_only_scores(script, store: Store, trace: Path) -> None:
    script("loose_counted", "class Counted(Base): pass\nclass Other(Base): pass\n")
    tasks = (*CURVES, "rank_stability")
    cells = [made_up_cell(f"loose_counted:{name}", tasks=tasks) for name in ("Counted", "Other")]

    def interrupt(result: Result) -> None:
        if result.cell.key == cells[1].key:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run_cells(cells, store, "cpu", 0, interrupt))
    before = [store.read(cell.key) for cell in cells]
    assert [(result.status, result.scores) for result in before if result] == [("ok", {})] * 2
    assert all(unfinished(cell, store) for cell in cells)
    after = run(cells, store)
    assert trace.read_text().split() == ["Counted", "Counted", "Other", "Other"]
    assert all(set(result.scores) == set(tasks) for result in after.values())
    assert [result.arrays for result in before if result] == [result.arrays for result in after.values()]
    assert not any(unfinished(cell, store) for cell in cells)


STALE = "there are no values for the data set as it is now; run the cell again"


def test_values_of_other_data_are_not_scored(store: Store) -> None:
    cell = made_up_cell()
    valued = value_cell(cell, store)
    assert valued.dataset is not None
    dataset = valued.dataset.model_copy(update={"revision": "0" * 64})
    store.write(valued.model_copy(update={"dataset": dataset}))
    (result,) = score_cells([cell], store)
    assert (result.status, result.arrays) == ("ok", valued.arrays)
    assert result.scores["noisy_label_detection"].error == STALE
    assert run_cell(cell, store).dataset == valued.dataset


def test_values_of_a_table_that_has_changed_are_not_scored(store: Store, tmp_path: Path) -> None:
    def write(seed: int) -> None:
        x = np.random.default_rng(seed).normal(size=(90, 2))
        (tmp_path / "t.csv").write_text("\n".join(["x,z,y", *(f"{a},{b},{'ab'[int(a > 0)]}" for a, b in x)]))

    write(0)
    cell = with_problem(made_up_cell(), dataset=f"csv:{tmp_path / 't.csv'}?label=y")
    assert value_cell(cell, store).status == "ok"
    write(1)
    (result,) = score_cells([cell], store)
    assert (result.status, result.error) == ("failed", STALE)
    assert run_cell(cell, store).scores["noisy_label_detection"].value is not None


@pytest.mark.parametrize("jobs", [0, 1], ids=["here", "in workers"])
def test_scores_are_recomputed_from_values_without_the_evaluator(script, store: Store, trace: Path, jobs: int) -> None:
    script("loose_gone", "class Gone(Base): pass\n")
    cell = made_up_cell("loose_gone:Gone", tasks=("noisy_label_detection", "point_removal", "rank_stability"))
    result = run_cell(cell, store)
    arrays = {name: store.array(result, name) for name in result.arrays}
    store.write(result.model_copy(update={"scores": {}}), arrays)
    script("loose_gone", "raise ImportError('it must not be imported')\n")
    if jobs:
        start_server(jobs)
    stream = score_saved_values([cell], store, "cpu", jobs)
    (again,) = stream
    assert again.scores == result.scores
    assert again.evaluator_version == result.evaluator_version
    assert len(trace.read_text().splitlines()) == 2  # a valuation and its repetition, both before


def test_what_cannot_be_scored_keeps_its_values_without_the_evaluator(script, store: Store) -> None:
    script("loose_gone", "class Gone(Base): pass\n")
    cell = made_up_cell("loose_gone:Gone")
    result = run_cell(cell, store)
    script("loose_gone", "raise ImportError('it must not be imported')\n")
    data = result.dataset.model_copy(update={"test": 41})
    store.write(result.model_copy(update={"scores": {}, "dataset": data}))
    (again,) = score_saved_values([cell], store, "cpu", 0)
    assert (again.status, again.arrays) == ("ok", result.arrays)
    assert "there are no values for the data set as it is now" in again.scores["noisy_label_detection"].error
    failed = Job("score", (cell,)).record_failure(cell, store, "it died")
    assert failed.scores["noisy_label_detection"].error == "it died"

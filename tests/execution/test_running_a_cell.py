"""One cell: what is computed is what the evaluator says, and whatever goes wrong is recorded."""

from __future__ import annotations

import gc
from pathlib import Path
from types import FunctionType, ModuleType

import numpy as np
import pytest
from loose_scripts import made_up_cell, run_cell

from dvbench.execution.failures import error_line
from dvbench.execution.run import run_cells
from dvbench.execution.valuation import valuate_cell
from dvbench.problems.build import build_problem
from dvbench.problems.problem import Problem
from dvbench.registry import find
from dvbench.results import Cell, Result, Store
from dvbench.scoring.contract import Valuation
from dvbench.tasks.noisy_label_detection import noisy_label_detection
from dvbench.training.build import build_model


def problem_of(cell: Cell) -> Problem:
    return build_problem(cell.problem.dataset, cell.problem.sizes, cell.problem.noise, cell.key.seed)


def values(store: Store, result: Result) -> np.ndarray:
    return store.array(result, "values")


def test_a_cell_is_the_evaluator_called_by_hand(store: Store) -> None:
    cell = made_up_cell("knn_shapley", k_neighbors=3)
    problem, how = problem_of(cell), cell.problem.training
    model = build_model(cell.problem.model, problem.shape, problem.outputs, problem.kind, seed=1)
    evaluator = find("evaluators", "knn_shapley").load()(k_neighbors=3)
    evaluator.train(problem.fetcher(), model, problem.metric, epochs=how.epochs, batch_size=how.batch_size, lr=how.lr)
    expected = evaluator.evaluate_data_values()

    result = run_cell(cell, store)
    np.testing.assert_array_equal(values(store, result), expected)
    outcome = noisy_label_detection(problem, Valuation(expected), np.empty(0))
    assert result.scores["noisy_label_detection"].metrics == outcome.metrics
    assert result.scores["noisy_label_detection"].curves == outcome.curves


def test_what_is_returned_is_what_is_on_disk(store: Store) -> None:
    cell = made_up_cell()
    result = run_cell(cell, store)
    assert store.read(cell.key) == result
    assert (result.status, result.error, result.cell) == ("ok", None, cell)


def test_a_result_says_what_it_was_run_on(store: Store) -> None:
    cell = made_up_cell("leave_one_out")
    result = run_cell(cell, store)
    problem = problem_of(cell)
    assert result.dataset is not None
    assert result.dataset.revision == problem.revision
    assert (result.dataset.train, result.dataset.validation, result.dataset.test) == (30, 20, 40)
    assert result.evaluator_object == "evaluators.baselines.leave_one_out:LeaveOneOut"
    assert result.cost is not None
    assert result.cost.fits == 31
    assert result.diagnostics["distinct_values"] == len(np.unique(values(store, result)))
    assert result.environment.packages["opendataval"] == "1.3.0"


@pytest.mark.parametrize("evaluator", ["random", "chg_shapley", "data_banzhaf"])
def test_the_same_cell_has_the_same_values_and_another_seed_or_purpose_has_others(evaluator: str) -> None:
    params = {"data_banzhaf": {"models": 20}}.get(evaluator, {})
    cell = made_up_cell(evaluator, **params)
    problem = problem_of(cell)
    first, again = (valuate_cell(cell, problem).arrays["values"] for _ in range(2))
    assert first.tobytes() == again.tobytes()
    other = valuate_cell(made_up_cell(evaluator, seed=1, **params), problem).arrays["values"]
    repeat = valuate_cell(cell, problem, purpose="repeat").arrays["values"]
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, repeat)


def test_all_evaluators_see_the_same_problem(script, store: Store) -> None:
    script(
        "loose_seeing",
        "class A(Base):\n    def answer(self, n): return self.x_train.sum(1) + self.y_train.argmax(1)\n"
        "class B(A): pass\n",
    )
    seen = [
        values(store, run_cell(made_up_cell(f"loose_seeing:{name}", seed=seed), store))
        for name in "AB"
        for seed in (0, 1)
    ]
    np.testing.assert_array_equal(seen[0], seen[2])
    np.testing.assert_array_equal(seen[1], seen[3])
    assert not np.array_equal(seen[0], seen[1])


def test_standard_errors_are_kept(script, store: Store) -> None:
    script(
        "loose_errors",
        "class Sure(Base):\n    def answer(self, n):\n        self.standard_errors_ = np.full(n, 0.5)\n"
        "        self.diagnostics_ = {'unlearned': 7, 'rounds': 2}\n        return np.arange(n)\n"
        "class Unsure(Base):\n    def answer(self, n):\n        self.standard_errors_ = np.full(n, np.nan)\n"
        "        return np.arange(n)\n",
    )
    sure = run_cell(made_up_cell("loose_errors:Sure"), store)
    np.testing.assert_array_equal(store.array(sure, "standard_errors"), np.full(30, 0.5))
    assert sure.diagnostics == {"unlearned": 7, "rounds": 2, "distinct_values": 30}
    assert sure.cost is not None
    assert sure.cost.unlearned == 7
    assert set(run_cell(made_up_cell("loose_errors:Unsure"), store).arrays) == {"values"}


# The hidden test set

SPY = """
class Spy(Base):
    caught = []
    def train(self, fetcher, pred_model=None, metric=None, *args, **kwargs):
        self.given = fetcher, pred_model, metric, args, kwargs
        Spy.caught.append(self)
        return super().train(fetcher, pred_model, metric, *args, **kwargs)
"""


def everything_in(root: object) -> list[object]:
    """All that can be had from an object by following references; classes, modules and globals left out."""
    seen: dict[int, object] = {}
    queue = [root]
    while queue:
        one = queue.pop()
        if id(one) not in seen and not isinstance(one, type | ModuleType):
            seen[id(one)] = one
            queue += list(one.__closure__ or ()) if isinstance(one, FunctionType) else gc.get_referents(one)
    return list(seen.values())


def rows_in(root: object) -> set[bytes]:
    """Every row of every two-dimensional array or tensor that can be had from an object."""
    objects = [one for one in everything_in(root) if type(one).__name__ in ("Tensor", "Parameter", "ndarray")]
    arrays = [np.asarray(one.detach() if hasattr(one, "detach") else one) for one in objects]
    return {row.astype(np.float32).tobytes() for a in arrays if a.ndim == 2 and a.dtype.kind == "f" for row in a}


def test_waiting_is_no_cost(script, store: Store) -> None:
    script(
        "loose_waiting",
        "import time\nclass Waiting(Base):\n    def answer(self, n):\n"
        "        time.sleep(0.5)\n        return np.arange(n)\n",
    )
    result = run_cell(made_up_cell("loose_waiting:Waiting"), store)
    assert result.cost is not None
    assert result.cost.processor_seconds is not None
    assert result.cost.seconds > 0.5 > result.cost.processor_seconds == result.seconds
    on_gpu = result.model_copy(update={"environment": result.environment.model_copy(update={"device": "cuda"})})
    assert on_gpu.seconds == result.cost.seconds
    earlier = result.model_copy(update={"cost": result.cost.model_copy(update={"processor_seconds": None})})
    assert earlier.seconds == result.cost.seconds


def test_no_evaluator_can_reach_the_test_set(script, store: Store) -> None:
    script("loose_spy", SPY)
    cell = made_up_cell("loose_spy:Spy")
    assert run_cell(cell, store).status == "ok"
    (spy,) = find("evaluators", "loose_spy:Spy").load().caught
    problem, rows = problem_of(cell), rows_in(spy)
    part = {
        name: {row.tobytes() for row in getattr(problem, name).x.numpy()} for name in ("train", "validation", "test")
    }
    assert part["train"] <= rows
    assert part["validation"] <= rows
    assert not part["test"] & rows
    masks = [one for one in everything_in(spy) if isinstance(one, np.ndarray) and one.dtype == bool]
    assert not any(np.array_equal(mask, problem.corrupted) for mask in masks)


# What goes wrong

WRONG = """
class Raising(Base):
    def train_data_values(self, *args, **kwargs): raise ZeroDivisionError("two\\nlines")
class Exiting(Base):
    def train_data_values(self, *args, **kwargs): sys.exit(3)
class Nan(Base):
    def answer(self, n): return np.where(np.arange(n) < 2, np.nan, 1.0)
class Infinite(Base):
    def answer(self, n): return np.full(n, np.inf)
class Short(Base):
    def answer(self, n): return np.zeros(n - 1)
class Column(Base):
    def answer(self, n): return np.zeros((n, 1))
class Nothing(Base):
    def answer(self, n): return None
class Text(Base):
    def answer(self, n): return ["high"] * n
class Ragged(Base):
    def answer(self, n): return [[0.0]] + [0.0] * (n - 1)
class Complex(Base):
    def answer(self, n): return np.zeros(n) + 1j
class Needy(Base):
    def __init__(self, more, random_state=None): pass
class NoEvaluator:
    def __init__(self, random_state=None): pass
"""
OF_SHAPE = "the evaluator returned values of shape {}; it must return one a player, (30,)"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("Raising", "ZeroDivisionError: two lines (scripts/loose_wrong.py:"),
        ("Exiting", "SystemExit: 3"),
        ("Nan", "2 of the evaluator's 30 values are NaN or infinite"),
        ("Infinite", "30 of the evaluator's 30 values are NaN or infinite"),
        ("Short", OF_SHAPE.format("(29,)")),
        ("Column", OF_SHAPE.format("(30, 1)")),
        ("Nothing", "the evaluator returned values that are no real numbers: their type is object"),
        ("Text", "the evaluator returned"),
        ("Ragged", "the evaluator returned"),
        ("Complex", "the evaluator returned"),
        ("Needy", "cannot make loose_wrong:Needy: "),
        ("NoEvaluator", "AttributeError: 'NoEvaluator' object has no attribute 'train'"),
        ("NotThere", "cannot load evaluator 'loose_wrong:NotThere': "),
    ],
)
def test_what_an_evaluator_does_wrong_is_recorded(script, store: Store, name: str, error: str) -> None:
    script("loose_wrong", WRONG)
    cell = made_up_cell(f"loose_wrong:{name}")
    try:
        result = run_cell(cell, store)
    except SystemExit as exit_:
        pytest.fail(f"SystemExit({exit_}) was not recorded")
    assert store.read(cell.key) == result
    assert result.status == "failed"
    assert result.error is not None
    assert result.error.startswith(error)
    assert "\n" not in result.error
    assert not result.scores
    assert not result.arrays


def test_a_wrong_parameter_is_recorded(store: Store) -> None:
    result = run_cell(made_up_cell("knn_shapley", neighbours=3), store)
    assert result.error is not None
    assert result.error.startswith("cannot make knn_shapley: ")
    assert "'neighbours'" in result.error


def test_a_failure_does_not_stop_the_others(script, store: Store) -> None:
    script("loose_wrong", WRONG)
    cells = [made_up_cell("loose_wrong:Raising"), made_up_cell("random"), made_up_cell("loose_wrong:Nan", seed=1)]
    assert [result.status for result in run_cells(cells, store, "cpu", 0)] == ["failed", "ok", "failed"]
    assert [result.status for result in store.results("small")] == ["failed", "failed", "ok"]


TASKS = """
@task(version=1, headline="score", higher_is_better=True)
def broken(problem, valuation, utilities): raise RuntimeError("no score")
@task(version=1, headline="score", higher_is_better=True)
def endless(problem, valuation, utilities): return Outcome({"score": float("inf")})
@task(version=1, headline="score", higher_is_better=True)
def headless(problem, valuation, utilities): return Outcome({"other": 1.0})
"""


def test_a_failing_task_leaves_values_and_other_scores(install_tasks, store: Store) -> None:
    install_tasks("loose_tasks", TASKS)
    tasks = ("broken", "noisy_label_detection", "endless", "headless")
    result = run_cell(made_up_cell(tasks=tasks), store)
    assert result.status == "ok"
    assert result.scores["noisy_label_detection"].error is None
    assert result.scores["broken"].error is not None
    assert result.scores["broken"].error.startswith("RuntimeError: no score (scripts/loose_tasks.py:")
    assert result.scores["endless"].error is not None
    assert result.scores["endless"].error.startswith("ValueError: score is not finite")
    assert result.scores["headless"].error == "task returned no metric 'score', its headline; it returned 'other'"
    assert result.scores["headless"].value is None
    expected = run_cell(made_up_cell(label="alone"), store)
    np.testing.assert_array_equal(values(store, result), values(store, expected))


def test_a_second_valuation_that_fails_leaves_the_first(script, store: Store, trace: Path) -> None:
    code = (
        "class Once(Base):\n    def answer(self, n):\n"
        "        if len(open(TRACE).readlines()) > 1: raise RuntimeError('only once')\n        return np.arange(n)\n"
    )
    script("loose_once", code)
    result = run_cell(made_up_cell("loose_once:Once", tasks=("noisy_label_detection", "rank_stability")), store)
    assert result.status == "ok"
    np.testing.assert_array_equal(values(store, result), np.arange(30))
    assert result.scores["noisy_label_detection"].value is not None
    error = result.scores["rank_stability"].error
    assert error is not None
    assert error.startswith("second valuation: RuntimeError: only once (")


def test_an_evaluator_need_not_take_a_random_state(script, store: Store, trace: Path) -> None:
    script(
        "loose_plain",
        "class Plain(Base):\n    def __init__(self): pass\n    def answer(self, n): return np.arange(n)\n",
    )
    assert run_cell(made_up_cell("loose_plain:Plain"), store).status == "ok"


@pytest.mark.parametrize(
    ("error", "text"),
    [(ValueError("a\n  b"), "ValueError: a b"), (KeyError(), "KeyError: no message")],
    ids=["two lines", "no message"],
)
def test_an_exception_in_one_line(error: Exception, text: str) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        fail()
    assert error_line(caught.value).startswith(f"{text} (execution/test_running_a_cell.py:")

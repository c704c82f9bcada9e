"""What cells are expected to cost, and which of them fit into the time of a run."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from loose_scripts import made_up_cell

from dvbench.execution import costs, time_budget
from dvbench.execution.costs import Measured, estimate, published_costs
from dvbench.execution.time_budget import fit_together, fits_until, most_informative_first
from dvbench.results import Cell
from dvbench.settings import DatasetSettings, EvaluatorSettings, Groups, ModelSettings, Sizes

ROW = Measured("evaluators", "e", "{}", "logistic_regression", "digits", 100, 100, 500, 1, False, 1, 0, 2.0, 5_000, 900)


def cell(points: int = 100, players: int | None = None, model: str = "logistic_regression", **params: object) -> Cell:
    made = made_up_cell("random")
    settings = EvaluatorSettings(name="e", params=params)
    problem = made.problem.model_copy(
        update={
            "dataset": DatasetSettings(name="digits"),
            "sizes": Sizes(train=points, validation=10, test=10),
            "groups": None if players is None else Groups(by="random", count=players),
            "model": ModelSettings(name=model),
        }
    )
    return made.model_copy(update={"evaluator": settings, "problem": problem})


def seconds(cell: Cell, *rows: Measured, cuda: bool = False) -> float | None:
    expected = estimate(cell, rows, cuda)
    return None if expected is None else expected.seconds


@pytest.fixture(autouse=True)
def _steps_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model takes no time besides its steps."""
    monkeypatch.setattr(costs, "MODEL_OVERHEAD", 0.0)
    monkeypatch.setattr(costs, "STEP_OVERHEAD", 0.0)


def test_models_with_few_steps_take_about_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "MODEL_OVERHEAD", 50 * 500)
    assert seconds(cell(200), ROW) == pytest.approx(3.0)
    assert seconds(cell(), replace(ROW, epochs=3)) == pytest.approx(1.0)


def test_time_grows_with_the_points() -> None:
    assert seconds(cell(), ROW) == pytest.approx(2.0)
    assert seconds(cell(400), ROW) == pytest.approx(8.0)


def test_a_step_of_dvrl_trains_on_as_many_points_as_it_draws() -> None:
    row = replace(ROW, points=400, players=400, fits=11, params='{"rl_batch_size": 50, "rl_epochs": 10}')
    assert seconds(cell(400, rl_epochs=10, rl_batch_size=50), row) == pytest.approx(2.0)
    assert seconds(cell(400, rl_epochs=20, rl_batch_size=100), row) == pytest.approx(8.0)
    assert seconds(cell(400, rl_epochs=10), row) == pytest.approx(8.0)


def test_models_for_every_player_are_as_many_as_players() -> None:
    row = replace(ROW, fits=1000)
    assert seconds(cell(200), row) == pytest.approx(8.0)
    assert seconds(cell(200, players=20), row) == pytest.approx(0.8)
    fixed = replace(row, params='{"models": 1000}')
    assert seconds(cell(200, models=1000), fixed) == pytest.approx(4.0)
    assert seconds(cell(200, models=100), fixed) == pytest.approx(0.4)


def test_unlearned_models_take_the_same_time_for_all_sizes() -> None:
    row = replace(ROW, unlearned=101, params='{"sampling": {"permutations": 1}}')
    assert seconds(cell(200, sampling={"permutations": 1}), row) == pytest.approx(4.0)  # twice as many models
    assert seconds(cell(100, sampling={"permutations": 10}), row) == pytest.approx(20.0)


def test_the_most_similar_cell_decides() -> None:
    other = replace(ROW, points=10_000, players=10_000, seconds=1.0)
    assert seconds(cell(200), ROW, other) == pytest.approx(4.0)
    assert seconds(cell(20_000), ROW, other) == pytest.approx(2.0)
    assert seconds(cell(), ROW, replace(ROW, cuda=True, seconds=0.1), cuda=True) == pytest.approx(0.1)
    assert seconds(cell(), ROW, cuda=True) == pytest.approx(2.0)
    steep = replace(ROW, params='{"lr": 1.0}', seconds=7.0)
    assert seconds(cell(lr=1.0), ROW, steep) == pytest.approx(7.0)


def test_an_evaluator_or_a_model_that_was_not_measured_has_no_estimate() -> None:
    assert seconds(cell(), replace(ROW, name="other")) is None
    assert seconds(cell(model="resnet18"), ROW) is None


def test_time_grows_with_the_weights() -> None:
    weights = 50 * 512 + 512 * 10  # of a table of 50 columns
    assert seconds(cell(model="mlp"), ROW) == pytest.approx(2.0 * weights / 500)
    row = replace(ROW, name="unlearning_shapley", unlearned=101, model="mlp", weights=weights)
    head = {"method": {"name": "gradient_ascent", "parameters": "head"}}
    made = cell(model="mlp", **head)
    made = made.model_copy(update={"evaluator": made.evaluator.model_copy(update={"name": "unlearning_shapley"})})
    assert seconds(made, row) == pytest.approx(2.0 * 5120 / weights)


def test_parameters_that_are_not_given_have_their_defaults() -> None:
    row = replace(ROW, name="unlearning_shapley", unlearned=101)
    method = {"name": "gradient_ascent", "steps": 50, "batch_size": 64}
    made = cell(method=method, sampling={"permutations": 30})
    made = made.model_copy(update={"evaluator": made.evaluator.model_copy(update={"name": "unlearning_shapley"})})
    assert seconds(made, row) == pytest.approx(6.0)  # of 100 steps, 32 points and 10 permutations
    assert seconds(made, replace(row, params='{"method": "no_such_method"}')) is not None


def test_every_evaluator_and_problem_comes_early() -> None:
    cells = [
        made.model_copy(update={"key": made.key.model_copy(update={"problem": problem, "evaluator": evaluator})})
        for problem, seed, evaluator in itertools.product("pqr", (0, 1), "abcde")
        for made in [made_up_cell("random", seed=seed)]
    ]
    order = most_informative_first(cells)
    assert sorted(map(str, [each.key for each in order])) == sorted(map(str, [each.key for each in cells]))
    assert [each.key.seed for each in order] == [0] * 15 + [1] * 15
    assert {each.key.problem for each in order[:5]} == set("pqr")
    assert {each.key.evaluator for each in order[:5]} == set("abcde")


def test_what_fits_is_started_and_nothing_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time_budget.time, "monotonic", lambda: now[0])
    fits = fits_until(10.0, [ROW], cuda=False)
    assert fits(cell())
    assert not fits(cell(1000))
    unknown = cell(model="resnet18")
    assert fits(unknown)
    now[0] = 109.0
    assert not fits(cell())
    assert fits(unknown)
    now[0] = 110.0
    assert not fits(unknown)


def test_what_will_fit_depends_on_how_many_run_at_a_time() -> None:
    cells = [cell(), cell(150), cell(), cell()]  # of 2, 3, 2 and 2 seconds
    assert fit_together(cells, 1.9, 1, [ROW], cuda=False) == []
    assert fit_together(cells, 4.5, 1, [ROW], cuda=False) == [cells[0], cells[2]]
    assert fit_together(cells, 4.5, 2, [ROW], cuda=False) == cells[:3]
    unknown = cell(model="resnet18")
    assert fit_together([unknown, *cells], 1.9, 1, [ROW], cuda=False) == [unknown]


def test_costs_that_come_with_the_package_are_read() -> None:
    rows = published_costs()
    assert len(rows) > 100
    assert {row.kind for row in rows} == {"evaluators", "unlearning", "selection"}
    assert all(row.seconds > 0 and row.memory >= 0 and row.points > 1 for row in rows)

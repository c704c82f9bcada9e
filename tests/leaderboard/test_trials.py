"""What trials of settings cost is a part of the cost of the suite whose settings they chose."""

from __future__ import annotations

import pandas as pd
from made_up import a_cell, a_result, a_score, scores_of

from dvbench.results import Plan
from dvbench.settings import EvaluatorSettings
from leaderboard.published_gains import gains_of_results


def write_trials(store, suite: str = "trials") -> None:
    """Two trials of A, of 2 and 4 s, on each of two problems, and random values, which are no trial."""
    cells = []
    for problem in ("q", "r"):
        for label, name, seconds in (("A-trial1", "A", 2.0), ("A-trial2", "A", 4.0), ("random", "random", 50.0)):
            cell = a_cell(problem, label, 7, ("f",), suite)
            cells.append(cell.model_copy(update={"evaluator": EvaluatorSettings(name=name, label=label)}))
            store.write(a_result(cells[-1], {"f": a_score(0.5)}, seconds=seconds), {"values": [0.0] * 20})
    store.write_plan(Plan(suite=suite, suite_version=1, description="Trials.", cells=tuple(cells)))


def test_costs_include_those_of_the_trials_on_one_problem(write):
    store = write({("p", name, seed): {"f": 0.5} for name in ("A", "random") for seed in (0, 1)})
    plain = scores_of(store)
    store.write_plan(store.plan("small").model_copy(update={"trials": "trials"}))
    lacking = scores_of(store)
    assert any("are not counted: it has no results here" in remark for remark in lacking.remarks)
    pd.testing.assert_frame_equal(lacking.cells, plain.cells)
    write_trials(store)
    tuned = scores_of(store)
    assert [remark for remark in tuned.remarks if "include the trials on one problem of trials" in remark]
    added = (
        tuned.cells.set_index(["evaluator", "seed"])["seconds"]
        - plain.cells.set_index(["evaluator", "seed"])["seconds"]
    )
    assert added.to_dict() == {("A", 0): 6.0, ("A", 1): 6.0, ("random", 0): 0.0, ("random", 1): 0.0}
    fits = tuned.cells.groupby("evaluator")["fits"].first()
    assert fits.to_dict() == {"A": 3 + 2 * 3, "random": 3}
    assert "trials" not in "".join(scores_of(store, "trials").remarks)


def test_a_suite_that_names_itself_ends(write):
    store = write({("p", "A", 0): {"f": 0.5}})
    store.write_plan(store.plan("small").model_copy(update={"trials": "small"}))
    assert scores_of(store).cells["seconds"].tolist() == [2.0]


def test_advice_leaves_out_trials_and_tuned_settings(write):
    task, scores = "noisy_label_detection", {"knn_shapley": 0.9, "random": 0.5}
    table = {
        ("p", name, seed): {task: a_score(value, headline="auroc")} for name, value in scores.items() for seed in (0, 1)
    }
    for suite in ("small", "tried", "tuned"):
        store = write(table, (task,), suite)
    assert {row.suite for row in gains_of_results(store.root, {})} == {"small", "tried", "tuned"}
    store.write_plan(store.plan("tuned").model_copy(update={"trials": "tried"}))
    assert {row.suite for row in gains_of_results(store.root, {})} == {"small"}


def test_advice_leaves_out_problems_of_a_suite_that_has_more_seeds(write):
    task, scores = "noisy_label_detection", {"knn_shapley": 0.9, "random": 0.5}
    for suite, problems, seeds in (("board", "pq", (0, 1)), ("budgets", "q", (0,)), ("other", "qr", (0,))):
        table = {
            (problem, name, seed): {task: a_score(value, headline="auroc")}
            for problem in problems
            for name, value in scores.items()
            for seed in seeds
        }
        store = write(table, (task,), suite)
    assert {row.suite for row in gains_of_results(store.root, {})} == {"board", "other"}

"""Variants of a problem are valued and saved with it, apart from the problem too, and what fails is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from changed_cells import with_problem
from loose_scripts import made_up_cell, run_cell

from dvbench.execution.isolation import value_isolated
from dvbench.execution.run import score_saved_values
from dvbench.problems.build import build_from_settings
from dvbench.problems.variants import provider
from dvbench.results import Store
from dvbench.settings import Groups

PAYOUT, SANITY = ("replication", "symmetry"), ("randomised_model", "planted_shortcut", "null_labels")
GROUPS = Groups(by="random", count=5)


def providers(evaluator="data_shapley", tasks=PAYOUT, **params):
    return with_problem(made_up_cell(evaluator, tasks=tasks, **params), groups=GROUPS)


def test_values_of_variants_are_saved_and_scored(store: Store) -> None:
    cell = providers("leave_one_out", (*PAYOUT, *SANITY, "utility_robustness", "lds"))
    result = run_cell(cell, store)
    assert {name: score.error for name, score in result.scores.items() if score.error} == {}
    lengths = {name: array.length for name, array in result.arrays.items()}
    five = dict.fromkeys(("values", "untrained", "shortcut", "null", "other_null"), 5)
    assert lengths == five | {"copied": 6, "split": 6}
    arrays, number = store.arrays(result), provider(build_from_settings(cell.problem, 0))
    gain = (arrays["copied"][[number, -1]].sum() - arrays["values"][number]) / np.abs(arrays["values"]).mean()
    assert result.scores["replication"].metrics["copy_gain"] == pytest.approx(gain)
    assert not arrays["untrained"].any()  # an untrained model does not miss a player
    assert -1 <= result.scores["lds"].ceiling <= 1
    # Scoring needs no evaluator, and no other valuation.
    again = store.write(result.model_copy(update={"scores": {}}))
    (rescored,) = score_saved_values([again.cell], store, "cpu", 0)
    assert rescored.scores == result.scores


def test_the_provider_with_two_names_has_data_that_are_not_disturbed() -> None:
    problems = [build_from_settings(providers().problem, seed) for seed in range(12)]
    assert not any(problem.corrupted[provider(problem)] for problem in problems)
    assert len({provider(problem) for problem in problems}) > 2
    everybody = replace(problems[0], corrupted=np.ones(5, dtype=bool))
    assert 0 <= provider(everybody) < 5


def test_sums_over_points_pay_nothing_for_a_split(store: Store) -> None:
    """TracIn trains in minibatches, which are the same in both problems."""
    result = run_cell(providers("trac_in"), store)
    assert result.scores["replication"].metrics["split_gain"] == pytest.approx(0, abs=1e-5)


def test_values_are_those_of_a_run_where_the_problem_is_out_of_reach(tmp_path: Path) -> None:
    cell = providers(tasks=(*PAYOUT, "planted_shortcut"), permutations=2)
    expected = run_cell(cell, Store(tmp_path / "within"))
    (actual,) = value_isolated([cell], Store(tmp_path / "apart"), "cpu", 1)
    assert {"copied", "split", "shortcut"} < actual.arrays.keys()
    assert actual.arrays == expected.arrays


@pytest.mark.parametrize("apart", [False, True])
def test_a_variant_that_a_problem_has_not_fails_the_tasks_that_need_it(store: Store, apart: bool) -> None:
    cell = made_up_cell("random", tasks=("replication", "null_labels"))
    if apart:
        (result,) = value_isolated([cell], store, "cpu", 1)
        (result,) = score_saved_values([result.cell], store, "cpu", 0)
    else:
        result = run_cell(cell, store)
    assert result.status == "ok"
    assert "give the problem groups" in str(result.scores["replication"].error)
    assert result.scores["null_labels"].error is None
    assert {"null", "other_null"} < result.arrays.keys()
    assert "copied" not in result.arrays

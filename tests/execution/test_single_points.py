"""Players are valued for single points of the validation set: run, resumed, verified, and declined."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from changed_cells import with_problem
from loose_scripts import made_up_cell, run_cell

from dvbench.execution import costs
from dvbench.execution.resume import unfinished
from dvbench.problems.build import build_from_settings
from dvbench.problems.variants import FAMILIES
from dvbench.results import Cell, Result, Store
from dvbench.scoring.coalitions import hundred_halves
from dvbench.scoring.correlation import rank_correlation
from dvbench.scoring.retraining import Retraining
from dvbench.submission.recompute import differences
from dvbench.submission.rerun import Comparison, value_and_score

POINTS = FAMILIES["points"]
TASKS = ("lds", "lds_per_point")


def small(evaluator: str = "knn_shapley", tasks: tuple[str, ...] = TASKS, **params: object) -> Cell:
    cell = made_up_cell(evaluator, tasks=tasks, **params)
    return with_problem(cell, sizes=cell.problem.sizes.model_copy(update={"train": 12}))


def test_models_are_trained_once_for_both_tasks_and_once_more_for_ceilings(
    store: Store, retrainings: list[Retraining]
) -> None:
    result = run_cell(small(), store)
    assert {name: score.error for name, score in result.scores.items()} == dict.fromkeys(TASKS)
    assert [retraining.model.fits.count for retraining in retrainings] == [100, 100]
    assert {*POINTS} < result.arrays.keys()
    problem = build_from_settings(result.cell.problem, 0)
    first, again = (each.measured(hundred_halves(problem), ["points"]) for each in retrainings)
    expected = [rank_correlation(*pair)[0] for pair in zip(first, again, strict=True)]
    assert result.scores["lds_per_point"].ceiling == pytest.approx(np.mean(expected))
    assert not np.array_equal(first, again)


def test_a_run_that_was_cut_off_values_the_points_that_are_left(script, store: Store, trace: Path) -> None:
    script(
        "loose_slow",
        """class Slow(Base):
    def answer(self, n):
        if len(open(TRACE).readlines()) == 5:
            raise KeyboardInterrupt
        return self.x_valid[0].sum().item() * np.arange(n, dtype=float)
""",
    )
    cell = small("loose_slow:Slow")
    with pytest.raises(KeyboardInterrupt):
        run_cell(cell, store)
    before = store.read(cell.key)
    assert before.arrays.keys() == {"values", *POINTS[:3]}
    assert unfinished(cell, store)
    result = run_cell(cell, store)
    assert len(trace.read_text().splitlines()) == 5 + 17
    assert result.arrays.items() > before.arrays.items()
    assert result.scores["lds_per_point"].error is None
    assert not unfinished(cell, store)


def test_who_declines_one_point_has_no_score_per_point_and_is_not_asked_for_others(
    script, store: Store, trace: Path
) -> None:
    script(
        "loose_whole",
        """from dvbench.errors import DeclinedError
class Whole(Base):
    def train_data_values(self, *args, **kwargs):
        super().train_data_values()
        if len(self.x_valid) == 1:
            raise DeclinedError("Whole needs two points")
        return self
""",
    )
    result = run_cell(small("loose_whole:Whole"), store)
    assert result.scores["lds_per_point"].error == "variant 'point_0': Whole needs two points"
    assert result.scores["lds"].error is None
    assert len(trace.read_text().splitlines()) == 2


def test_a_validation_set_of_few_points_is_refused(store: Store) -> None:
    cell = small()
    few = with_problem(cell, sizes=cell.problem.sizes.model_copy(update={"validation": 19}))
    scores = run_cell(few, store).scores
    assert scores["lds_per_point"].error.endswith("it has 19: make it larger")
    assert scores["lds"].error is None


@pytest.mark.slow
def test_what_was_claimed_is_computed_again_apart_from_the_problem(store: Store, tmp_path: Path) -> None:
    cell = small("data_shapley", ("lds_per_point",), permutations=2)
    scratch = Store(tmp_path / "scratch")
    # Both in worker processes: numbers of this process can differ from theirs in the last bits.
    (claimed,), (result,) = (value_and_score([cell], each, "cpu", 1).values() for each in (store, scratch))

    def mismatches(claimed: Result) -> list[str]:
        comparison = Comparison(claimed, result, 0.0)
        comparison.compare(store, scratch)
        return [each.what for each in (*comparison.mismatches, *differences(claimed, result, 0.0))]

    assert mismatches(claimed) == []
    arrays = store.arrays(claimed)
    arrays["point_7"] = arrays["point_7"] + np.eye(12)[3]
    assert mismatches(store.write(claimed, arrays)) == ["point_7 of player 3"]


def test_estimates_count_all_valuations() -> None:
    known = costs.published_costs()
    alone, single = (small(tasks=tasks) for tasks in (("lds",), TASKS))
    one, many = (costs.estimate(cell, known, False).seconds for cell in (alone, single))
    assert many == pytest.approx(21 * one)

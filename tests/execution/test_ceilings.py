"""Agreement tasks report what exact values of another training reach, from an exact table if there is one."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from changed_cells import with_problem
from loose_scripts import made_up_cell, run_cell

from dvbench.exact.compute import compute_table
from dvbench.exact.tables import TableSettings
from dvbench.execution import scoring
from dvbench.execution.environment import current_environment
from dvbench.execution.planning import make_plan
from dvbench.execution.run import run_cells
from dvbench.games import tabulated_shapley_values
from dvbench.problems.build import build_from_settings
from dvbench.randomness import integer_seed
from dvbench.results import Cell, Result, Score, Store
from dvbench.scoring.correlation import rank_correlation
from dvbench.scoring.retraining import Retraining
from dvbench.settings import Groups, Noise
from dvbench.submission.recompute import differences
from dvbench.suite import Suite, SuiteProblem
from dvbench.tasks import exact_agreement, group_lds, partial_agreement

TASKS = ("exact_agreement", "group_lds", "partial_agreement")


@pytest.fixture
def cell() -> Cell:
    return with_problem(made_up_cell("random", tasks=TASKS), groups=Groups(by="random", count=6), noise=Noise())


def utilities(cell: Cell, module, training: int) -> np.ndarray:
    problem = build_from_settings(cell.problem, 0)
    retrain = Retraining(problem, cell.problem.model, cell.problem.training, "cpu", training)
    return retrain(module.coalitions(problem))


def test_ceilings_are_correlations_of_two_trainings(cell: Cell, store: Store) -> None:
    scores = run_cell(cell, store).scores
    exact = [tabulated_shapley_values(utilities(cell, exact_agreement, training)) for training in (1, 0)]
    assert scores["exact_agreement"].ceiling == pytest.approx(rank_correlation(*exact)[0])
    lds = [utilities(cell, group_lds, training) for training in (1, 0)]
    assert scores["group_lds"].ceiling == pytest.approx(rank_correlation(*lds)[0])
    pairs = [utilities(cell, partial_agreement, training) for training in (1, 0)]
    expected = rank_correlation(*((u[1:7] + u[0] - u[7:]) / 2 for u in pairs))[0]
    assert scores["partial_agreement"].ceiling == pytest.approx(expected)
    assert len({score.ceiling for score in scores.values()}) > 1
    assert not np.array_equal(*lds)


def test_evaluators_share_the_other_training(cell: Cell, store: Store, retrainings: list[Retraining]) -> None:
    other = made_up_cell("knn_shapley", tasks=TASKS).model_copy(update={"problem": cell.problem})
    first, second = run_cells([cell, other], store, "cpu", 0)
    assert [retraining.model.fits.count for retraining in retrainings] == [64, 64]
    assert [score.ceiling for score in first.scores.values()] == [score.ceiling for score in second.scores.values()]


def test_a_table_spares_the_other_training(cell: Cell, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    without = run_cell(cell, store).scores
    settings = TableSettings(name="small", problem=cell.problem, seeds=(3, 0), trainings=2)
    compute_table(settings, store.root / "exact", current_environment("cpu"))
    trained = []

    class Seen(Retraining):
        def _train(self, unknown):
            trained.extend([self] * len(unknown))
            super()._train(unknown)

    monkeypatch.setattr(scoring, "Retraining", Seen)
    store.remove(cell.key)
    again = run_cell(cell, store).scores
    assert len(trained) == 64  # the coalitions that the tasks score with
    for name, score in without.items():
        assert again[name].ceiling == pytest.approx(score.ceiling, abs=1e-6)
        assert again[name].metrics == score.metrics


def test_a_damaged_table_is_not_used(cell: Cell, store: Store) -> None:
    expected = run_cell(cell, store).scores["group_lds"].ceiling
    folder = store.root / "exact"
    compute_table(
        TableSettings(name="small", problem=cell.problem, seeds=(0,), trainings=2), folder, current_environment("cpu")
    )
    (folder / "small.npy").write_bytes(b"other")
    store.remove(cell.key)
    assert run_cell(cell, store).scores["group_lds"].ceiling == expected


def test_large_models_are_not_trained_once_more(cell: Cell, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "MOST_PARAMETERS", 100)
    assert {score.ceiling for score in run_cell(cell, store).scores.values()} == {None}


def test_unlearned_models_have_the_ceiling_of_retrained_ones(store: Store) -> None:
    problem = with_problem(made_up_cell(), groups=Groups(by="classes"), noise=Noise()).problem
    large = problem.model_copy(update={"sizes": problem.sizes.model_copy(update={"train": 100})})
    suite = Suite(
        name="small",
        version=1,
        description="-",
        seeds=(0,),
        problems=(SuiteProblem(**large.model_dump(), tasks=("retrained_agreement",)),),
        evaluators=({"name": "plain_ascent", "kind": "unlearning", "params": {"steps": 2}},),
    )
    (cell,) = make_plan(suite).cells
    score = run_cell(cell, store).scores["retrained_agreement"]
    assert score.error is None
    everyone, both = np.arange(10), []
    for training in (1, 0):
        retrain = Retraining(build_from_settings(large, 0), large.model, large.training, "cpu", training)
        both.append(retrain([np.delete(everyone, player) for player in everyone]))
    np.testing.assert_allclose(both[1], score.curves["retrained"])
    assert score.ceiling == pytest.approx(rank_correlation(*both)[0])


def changed(result: Result, **update: object) -> Result:
    name = "group_lds"
    return result.model_copy(update={"scores": {name: result.scores[name].model_copy(update=update)}})


def test_claims_without_a_ceiling_are_confirmed_and_wrong_ones_are_not(cell: Cell, store: Store) -> None:
    result = run_cell(cell, store)
    assert not list(differences(changed(result, ceiling=None), result, 0.01))
    assert not list(differences(changed(result), result, 0.01))
    (mismatch,) = differences(changed(result, ceiling=5.0), result, 0.01)
    assert mismatch.what == "group_lds.ceiling"


def test_results_without_ceilings_are_read(cell: Cell, store: Store) -> None:
    path = store.folder(cell.key) / "result.json"
    run_cell(cell, store)
    content = json.loads(path.read_bytes())
    for score in content["scores"].values():
        assert isinstance(score.pop("ceiling"), float)
    path.write_text(json.dumps(content))
    assert {score.ceiling for score in store.read(cell.key).scores.values()} == {None}


def test_a_failed_score_has_no_ceiling() -> None:
    with pytest.raises(ValueError, match="a failed score has an error"):
        Score(version=1, headline="lds", higher_is_better=True, error="no", ceiling=0.5)


def test_a_seed_names_each_training(cell: Cell) -> None:
    """The first training has the seed of before there were others, so that published scores stay what they are."""
    hashes = {hashlib.sha256(utilities(cell, group_lds, training).tobytes()).hexdigest() for training in (0, 1, 2)}
    assert len(hashes) == 3
    problem = build_from_settings(cell.problem, 0)
    first = Retraining(problem, cell.problem.model, cell.problem.training)
    assert first.model.seed == integer_seed("digits", 0, "scoring")

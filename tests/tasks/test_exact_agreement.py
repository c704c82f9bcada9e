"""Agreement with exact Shapley values, on games that are solved by hand."""

from __future__ import annotations

import numpy as np
import pytest
from small_problems import Worths, a_problem, never, scored

from dvbench.errors import UserError
from dvbench.scoring.contract import Valuation
from dvbench.scoring.retraining import Retraining
from dvbench.settings import ModelSettings, Training
from dvbench.tasks.exact_agreement import exact_agreement

WORTH = np.array([3.0, -1.0, 4.0, 1.5, -5.0, 9.0])


def run(values, retrain):
    return scored(exact_agreement, a_problem(len(values)), Valuation(np.asarray(values, dtype=float)), retrain)


def game(utility):
    """Retraining whose utility is a function of the set of players."""
    return lambda coalitions: np.array([float(utility(set(players.tolist()))) for players in coalitions])


def gloves(players):
    """Worth something is a pair: of player 0's left glove and one of the right ones of 1 and 2; 3 has none."""
    return 0 in players and bool(players & {1, 2})


def test_worths_agree_and_their_opposites_do_not():
    retrain = Worths(WORTH)
    outcome = run(WORTH, retrain)
    assert outcome.metrics == pytest.approx({"spearman": 1.0, "p_spearman": 2 / 720, "pearson": 1.0})
    assert outcome.curves["value"] == WORTH.tolist()
    assert outcome.curves["exact"] == pytest.approx(WORTH / 6)
    assert retrain.calls == 1
    assert len(retrain.asked) == len(set(retrain.asked)) == 64
    assert frozenset() in retrain.asked
    opposite = run(-WORTH, Worths(WORTH)).metrics
    assert opposite == pytest.approx({"spearman": -1.0, "p_spearman": 2 / 720, "pearson": -1.0})


def test_hand_computed_correlations():
    """Ranks 1 2 3 4 against 4 2.5 2.5 1."""
    outcome = run([1, 2, 3, 4], game(gloves))
    assert outcome.curves["exact"] == pytest.approx([2 / 3, 1 / 6, 1 / 6, 0])
    assert outcome.metrics["spearman"] == pytest.approx(-4.5 / np.sqrt(5 * 4.5))
    assert outcome.metrics["p_spearman"] == pytest.approx(4 / 24)  # orders in which 1 and 4 are at the ends
    assert outcome.metrics["pearson"] == pytest.approx(-2 / np.sqrt(5))


def test_pearson_asks_for_proportions():
    metrics = run(np.exp(WORTH), Worths(WORTH)).metrics
    assert metrics["spearman"] == pytest.approx(1.0)
    assert metrics["pearson"] == pytest.approx(np.corrcoef(np.exp(WORTH), WORTH)[0, 1])
    assert metrics["pearson"] < 0.9


@pytest.mark.parametrize(
    ("values", "utility"),
    [
        (np.full(6, 0.1), lambda players: WORTH[list(players)].sum()),
        (WORTH, lambda players: 0.3),
        (WORTH, lambda players: np.sqrt(0.1 + len(players))),  # all players are alike
    ],
)
def test_what_is_constant_is_chance(values, utility):
    assert run(values, game(utility)).metrics == {"spearman": 0.0, "p_spearman": 1.0, "pearson": 0.0}


def test_retrained_models_share_out_what_training_brings():
    problem = a_problem(6, kind="regression")
    retrain = Retraining(problem, ModelSettings(name="logistic_regression"), Training(epochs=3, batch_size=2, lr=0.05))
    exact = scored(exact_agreement, problem, Valuation(WORTH), retrain).curves["exact"]
    untrained, trained = retrain([np.arange(0), np.arange(6)])
    assert sum(exact) == pytest.approx(trained - untrained)
    assert len(set(exact)) == 6
    assert retrain.model.fits.count == 64


@pytest.mark.parametrize("n", [3, 12])
def test_the_fewest_and_the_most(n):
    assert run(np.arange(n), Worths(np.arange(n))).metrics["spearman"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("n", "message"),
    [
        (2, "^2 players are too few: at least 3 are needed"),
        (13, "^13 players are too many: at most 12; make fewer groups$"),
        (5000, "^5000 players are too many"),
    ],
)
def test_other_numbers_are_refused_before_anything_is_trained(n, message):
    with pytest.raises(UserError, match=message):
        run(np.arange(n), never)

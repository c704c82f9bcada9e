"""Agreement of partial values with retraining, on models whose utility is known."""

from __future__ import annotations

import numpy as np
import pytest
from small_problems import Worths, a_problem, scored

from dvbench.errors import UserError
from dvbench.scoring.contract import Valuation
from dvbench.tasks.partial_agreement import partial_agreement

WORTH = np.array([3.0, -1.0, 4.0, 1.5, -5.0, 9.0])


def test_worths_agree_and_their_opposites_do_not():
    retrain = Worths(WORTH)
    outcome = scored(partial_agreement, a_problem(6), Valuation(WORTH), retrain)
    assert outcome.metrics == pytest.approx(
        {"spearman_exact": 1.0, "p_exact": 2 / 720, "spearman_without": -1.0, "p_without": 2 / 720}
    )
    # Of an additive game the exact values are the worths, up to what is common to all.
    total = WORTH.sum() / 6
    np.testing.assert_allclose(outcome.curves["exact"], (WORTH / 6 + total - (total - WORTH / 6)) / 2)
    assert retrain.calls == 1
    assert set(retrain.asked) == {
        frozenset(range(6)), *(frozenset({i}) for i in range(6)), *(frozenset(range(6)) - {i} for i in range(6)),
    }  # fmt: skip
    opposite = scored(partial_agreement, a_problem(6), Valuation(-WORTH), Worths(WORTH)).metrics
    assert (opposite["spearman_exact"], opposite["spearman_without"]) == pytest.approx((-1.0, 1.0))


def test_a_hand_computed_correlation():
    """Ranks 1 2 3 4 against 2 1 4 3: 1 - 6 * 4 / (4 * 15) = 0.6."""
    outcome = scored(partial_agreement, a_problem(4), Valuation(np.array([1.0, 2, 3, 4])), Worths([2, 1, 4, 3]))
    assert outcome.metrics["spearman_exact"] == pytest.approx(0.6)


def test_constant_values_are_chance():
    metrics = scored(partial_agreement, a_problem(6), Valuation(np.ones(6)), Worths(WORTH)).metrics
    assert metrics == {"spearman_exact": 0.0, "p_exact": 1.0, "spearman_without": 0.0, "p_without": 1.0}


def test_too_few_players_are_refused():
    with pytest.raises(UserError, match="2 players are too few: at least 3 are needed"):
        scored(partial_agreement, a_problem(2), Valuation(np.arange(2.0)), Worths([1, 2]))

"""Agreement of a partial valuation with retraining."""

from __future__ import annotations

import numpy as np

from dvbench.problems.problem import Problem
from dvbench.scoring.contract import Outcome, Retrain, Valuation, task
from dvbench.scoring.correlation import rank_correlation


@task(version=1, headline="spearman_exact", higher_is_better=True, fewest=3)
def partial_agreement(problem: Problem, valuation: Valuation, retrain: Retrain) -> Outcome:
    """Partial agreement: does the value of each player's data agree with models retrained with and without them?

    Player and rest are the two players of a game, whose exact Shapley value is, up to a constant,
    ``phi_exact = (u(player) + u(all) - u(rest)) / 2`` with u the test performance of a model trained from scratch.
    Headline: ``spearman_exact``, Spearman's correlation of values with it; higher is better, 0 is chance and also what
    constant values get. Besides: ``spearman_without``, that with the performance without the player, u(rest), which
    should be negative, and two-sided p-values of both.

    References
    ----------
    L. Ma, S. Yang, Z. Wang, Y. Wang, L. Wang, T. Wei, K. Zhang. Losing is for cherishing: data valuation based on
    machine unlearning and Shapley value. arXiv:2505.16147, 2025. Table 1.
    """
    n = problem.players
    everybody = np.arange(n)
    asked = [everybody, *everybody[:, np.newaxis], *(np.delete(everybody, player) for player in everybody)]
    found = retrain(asked)
    everything, alone, without = found[0], found[1 : n + 1], found[n + 1 :]
    exact = (alone + everything - without) / 2
    metrics: dict[str, float] = {}
    for name, reference in (("exact", exact), ("without", without)):
        metrics[f"spearman_{name}"], metrics[f"p_{name}"] = rank_correlation(valuation.values, reference)
    curves = {"value": valuation.values, "exact": exact, "without": without}
    return Outcome(metrics, {name: curve.tolist() for name, curve in curves.items()}, x="player")

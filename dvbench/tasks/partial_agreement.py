"""Agreement of a partial valuation with retraining."""

from __future__ import annotations

import numpy as np

from dvbench.problems.problem import Problem
from dvbench.scoring.contract import Outcome, Reference, Valuation, task
from dvbench.scoring.correlation import rank_correlation


def coalitions(problem: Problem, valuation: Valuation | None = None) -> list[np.ndarray]:
    """All players, then each player alone, then all players but each."""
    everyone = np.arange(problem.players)
    return [everyone, *everyone[:, np.newaxis], *(np.delete(everyone, player) for player in everyone)]


def exact_values(utilities: np.ndarray) -> np.ndarray:
    """Exact Shapley values of each player against all others, up to a constant, from utilities of the coalitions."""
    n = len(utilities) // 2
    everything, alone, without = utilities[0], utilities[1 : n + 1], utilities[n + 1 :]
    exact: np.ndarray = (alone + everything - without) / 2
    return exact


@task(
    version=1,
    headline="spearman_exact",
    higher_is_better=True,
    goal="pay",
    ranges={"spearman_exact": (-1, 1), "p_exact": (0, 1), "spearman_without": (-1, 1), "p_without": (0, 1)},
    coalitions=coalitions,
    reference=Reference("exact", coalitions, exact_values),
    min_players=3,
)
def partial_agreement(problem: Problem, valuation: Valuation, utilities: np.ndarray) -> Outcome:
    """Partial agreement: does the value of each player's data agree with models retrained with and without them?

    The player and all others together are the two players of a game, whose exact Shapley value is, up to a constant,
    ``phi_exact = (u(player) + u(all) - u(others)) / 2``, where u is the test utility of a model trained from scratch.
    Headline: ``spearman_exact``, Spearman's correlation of values with phi_exact; higher is better, 0 is chance and the
    score of constant values. Its ceiling is the correlation of phi_exact with that of other initial weights and
    minibatches. Further metrics: ``spearman_without``, the correlation with the utility without the
    player, u(others), which should be negative, and the two-sided p-values of both.

    References
    ----------
    L. Ma, S. Yang, Z. Wang, Y. Wang, L. Wang, T. Wei, K. Zhang. Losing is for cherishing: data valuation based on
    machine unlearning and Shapley value. arXiv:2505.16147, 2025. Table 1.
    """
    exact, without = exact_values(utilities), utilities[problem.players + 1 :]
    metrics: dict[str, float] = {}
    for name, reference in (("exact", exact), ("without", without)):
        metrics[f"spearman_{name}"], metrics[f"p_{name}"] = rank_correlation(valuation.values, reference)
    curves = {"value": valuation.values, "exact": exact, "without": without}
    return Outcome(metrics, {name: curve.tolist() for name, curve in curves.items()}, x="player")

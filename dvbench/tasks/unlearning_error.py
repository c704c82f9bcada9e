"""The unlearning error, and what it does to values that are computed by unlearning."""

from __future__ import annotations

import numpy as np

from dvbench.games import tabulated_shapley_values
from dvbench.problems.problem import Problem
from dvbench.scoring.contract import Outcome, Valuation, task
from dvbench.scoring.correlation import rank_correlation


@task(
    version=1,
    headline="eps_u",
    higher_is_better=False,
    goal="unlearn",
    ranges={
        "eps_u": "distance",
        "eps_u_full": "distance",
        "eps_u_one": "distance",
        "value_error": "distance",
        "spearman": (-1, 1),
        "explained": (0, 1),
    },
    judges_unlearning=True,
    min_players=3,
    max_players=10,
)
def unlearning_error(problem: Problem, valuation: Valuation, utilities: np.ndarray) -> Outcome:
    """Unlearning error: how far is the utility of models that unlearned a coalition from that of retrained ones?

    Every coalition of players is unlearned from the full model, and a model is trained without it; both are tested on
    the validation set, which values are computed from. Headline: ``eps_u``, the mean absolute difference of both
    utilities over all coalitions but the empty one; lower is better, 0 is retraining. Further metrics: ``eps_u_full``,
    that of the full model, which is the score of doing nothing, and ``eps_u_one``, over coalitions of one player;
    ``value_error``, the mean absolute difference of exact Shapley values from unlearning and from retraining, and
    ``spearman``, the rank correlation of both; and ``explained``, the squared correlation over players of their
    differences with those predicted from the gaps of four coalitions for each player: that of the player, of all
    others, of all players and the empty one. (The gaps of all coalitions explain everything: Shapley values are linear,
    so the error of values is the Shapley value of the gaps.) Curves: the ``error`` of each player's value and the
    ``predicted`` one.

    References
    ----------
    L. Ma, S. Yang, Z. Wang, Y. Wang, L. Wang, T. Wei, K. Zhang. Losing is for cherishing: data valuation based on
    machine unlearning and Shapley value. arXiv:2505.16147, 2025. Its later version bounds the bias of values by it.
    """
    without = valuation.coalition_utilities()
    gaps = without.unlearned - without.retrained
    full = without.unlearned[0] - without.retrained
    by_unlearning, by_retraining = (
        tabulated_shapley_values(each[0] - each) for each in (without.unlearned, without.retrained)
    )
    error, predicted = by_unlearning - by_retraining, _predicted(gaps, problem.players)
    singles = 2 ** np.arange(problem.players)
    metrics = {
        "eps_u": np.abs(gaps[1:]).mean(),
        "eps_u_full": np.abs(full[1:]).mean(),
        "eps_u_one": np.abs(gaps[singles]).mean(),
        "value_error": np.abs(error).mean(),
        "spearman": rank_correlation(by_unlearning, by_retraining)[0],
        "explained": _squared_correlation(error, predicted),
    }
    curves = {"error": error.tolist(), "predicted": predicted.tolist()}
    return Outcome({name: float(metric) for name, metric in metrics.items()}, curves, x="player")


def _predicted(gaps: np.ndarray, players: int) -> np.ndarray:
    """Mean of a player's first and last marginal contribution in the game of the gaps; less utility is more value."""
    singles, everyone = 2 ** np.arange(players), 2**players - 1
    first, last = gaps[0] - gaps[singles], gaps[everyone - singles] - gaps[everyone]
    return np.asarray((first + last) / 2)


def _squared_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Squared Pearson correlation; 0 where one of the arrays is constant."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1] ** 2)

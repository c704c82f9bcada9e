"""Linear datamodeling score over groups of players."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np

from dvbench.problems.problem import Problem
from dvbench.randomness import generator
from dvbench.scoring.contract import Outcome, Retrain, Valuation, task
from dvbench.scoring.correlation import rank_correlation

COALITIONS = 50


@task(version=1, headline="lds", higher_is_better=True, fewest=3)
def group_lds(problem: Problem, valuation: Valuation, retrain: Retrain) -> Outcome:
    """Group LDS: do values summed over half of the players predict how a model trained on these performs?

    The linear datamodeling score, with test performance as the model's output. Coalitions of half of the players are
    drawn, 50 distinct ones or all if there are no more, the same for all evaluators, and a model is trained from
    scratch on each. Headline: ``lds``, Spearman's correlation of summed values with test performance; higher is better,
    0 is chance and also what constant values get. Besides: ``p_lds``, its two-sided p-value, which takes coalitions for
    independent though they share players.

    References
    ----------
    S. M. Park, K. Georgiev, A. Ilyas, G. Leclerc, A. Madry. TRAK: attributing model behavior at scale. ICML 2023,
    arXiv:2303.14186. Section 2.
    """
    coalitions = _halves(problem)
    performance = retrain(coalitions)
    # Exactly rounded: sums of the same values tie, in whatever order they are added.
    summed = np.array([math.fsum(valuation.values[coalition]) for coalition in coalitions])
    lds, p = rank_correlation(summed, performance)
    curves = {"summed": summed.tolist(), "performance": performance.tolist()}
    return Outcome({"lds": lds, "p_lds": p}, curves, x="coalition")


def _halves(problem: Problem) -> list[np.ndarray]:
    """Coalitions of half of the players, rounded down: random ones without repetition, or all where there are few."""
    n = problem.players
    half = n // 2
    if math.comb(n, half) <= COALITIONS:
        return [np.array(players) for players in combinations(range(n), half)]
    rng = generator(problem.dataset, problem.seed, "lds")
    found: dict[tuple[int, ...], None] = {}  # a set that keeps its order
    while len(found) < COALITIONS:
        found[tuple(np.sort(rng.permutation(n)[:half]).tolist())] = None
    return [np.array(players) for players in found]

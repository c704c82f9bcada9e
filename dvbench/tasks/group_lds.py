"""Linear datamodeling score over groups of players."""

from __future__ import annotations

import numpy as np

from dvbench.problems.problem import Problem
from dvbench.scoring.coalitions import half_coalitions, summed
from dvbench.scoring.contract import Outcome, Reference, Valuation, task
from dvbench.scoring.correlation import rank_correlation

COALITIONS = 50


def coalitions(problem: Problem, valuation: Valuation | None = None) -> list[np.ndarray]:
    """Coalitions of half of the players, rounded down: random ones without repetition, or all where there are few."""
    return half_coalitions(problem, COALITIONS)


@task(
    version=1,
    headline="lds",
    higher_is_better=True,
    goal="pay",
    ranges={"lds": (-1, 1), "p_lds": (0, 1)},
    coalitions=coalitions,
    reference=Reference("utility", coalitions, np.asarray),
    min_players=3,
)
def group_lds(problem: Problem, valuation: Valuation, utilities: np.ndarray) -> Outcome:
    """Group LDS: do values summed over half of the players predict the utility of a model trained on that half?

    The linear datamodeling score, with the test utility as the model's output. Coalitions of half of the players are
    drawn, 50 distinct ones or all if there are no more, the same for all evaluators, and a model is trained from
    scratch on each. Headline: ``lds``, Spearman's correlation of summed values with test utilities; higher is better,
    0 is chance and the score of constant values. Its ceiling is the correlation of the test utilities with those of
    other initial weights and minibatches. Further metric: ``p_lds``, its two-sided p-value, which treats coalitions as
    independent although they have players in common. Curves over coalitions: ``summed`` values and the test
    ``utility``.

    References
    ----------
    S. M. Park, K. Georgiev, A. Ilyas, G. Leclerc, A. Madry. TRAK: attributing model behavior at scale. ICML 2023,
    arXiv:2303.14186. Section 2.
    """
    sums = summed(valuation.values, coalitions(problem, valuation))
    lds, p = rank_correlation(sums, utilities)
    curves = {"summed": sums.tolist(), "utility": utilities.tolist()}
    return Outcome({"lds": lds, "p_lds": p}, curves, x="coalition")

"""Linear datamodeling score as the field of data attribution computes it."""

from __future__ import annotations

import numpy as np

from dvbench.problems.problem import Problem
from dvbench.scoring.coalitions import hundred_halves, summed
from dvbench.scoring.contract import Outcome, Reference, Valuation, task
from dvbench.scoring.correlation import rank_correlation


@task(
    version=1,
    headline="lds",
    higher_is_better=True,
    goal="pay",
    ranges={"lds": (-1, 1), "p_lds": (0, 1), "lds_utility": (-1, 1)},
    coalitions=hundred_halves,
    reference=Reference("log_loss", hundred_halves, np.asarray, "log_loss"),
    measures=("log_loss", "utility"),
    min_players=3,
)
def lds(problem: Problem, valuation: Valuation, utilities: np.ndarray) -> Outcome:
    """LDS: do values summed over half of the training set predict the test loss of a model trained on that half?

    The linear datamodeling score in its total form: the model's output is the negative mean loss on the test set, which
    changes smoothly where accuracy has steps. 100 distinct coalitions of half of the players are drawn, or all if there
    are no more, the same for all evaluators, and a model is trained from scratch on each. Headline: ``lds``, Spearman's
    correlation of summed values with negative test losses; higher is better, 0 is chance and the score of constant
    values. Its ceiling is the correlation of the test losses with those of other initial weights and minibatches;
    exact values are below it, as utilities are not additive. Further metrics: ``p_lds``, its two-sided p-value,
    which treats coalitions as independent although they have players in common, and ``lds_utility``, the same with the
    test utility. Curves over coalitions: ``summed`` values and ``log_loss``, the negative test loss.

    References
    ----------
    S. M. Park, K. Georgiev, A. Ilyas, G. Leclerc, A. Madry. TRAK: attributing model behavior at scale. ICML 2023,
    arXiv:2303.14186. Section 2.
    """
    sums = summed(valuation.values, hundred_halves(problem))
    log_loss, utility = utilities
    score, p = rank_correlation(sums, log_loss)
    metrics = {"lds": score, "p_lds": p, "lds_utility": rank_correlation(sums, utility)[0]}
    return Outcome(metrics, {"summed": sums.tolist(), "log_loss": log_loss.tolist()}, x="coalition")

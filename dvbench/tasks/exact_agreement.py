"""Agreement of a valuation with exact Shapley values."""

from __future__ import annotations

import numpy as np
from scipy.stats import pearsonr

from dvbench.games import all_coalitions, tabulated_shapley_values
from dvbench.problems.problem import Problem
from dvbench.scoring.contract import Outcome, Reference, Valuation, task
from dvbench.scoring.correlation import rank_correlation


def coalitions(problem: Problem, valuation: Valuation | None = None) -> list[np.ndarray]:
    """All coalitions, in the order of `tabulated_shapley_values`."""
    return all_coalitions(problem.players)


@task(
    version=1,
    headline="spearman",
    higher_is_better=True,
    goal="pay",
    ranges={"spearman": (-1, 1), "p_spearman": (0, 1), "pearson": (-1, 1)},
    coalitions=coalitions,
    reference=Reference("exact", coalitions, tabulated_shapley_values),
    min_players=3,
    max_players=12,
)
def exact_agreement(problem: Problem, valuation: Valuation, utilities: np.ndarray) -> Outcome:
    """Exact agreement: do values agree with exact Shapley values of retraining, for at most 12 players?

    The utility of a coalition is the test utility of a model trained from scratch on it, and of an untrained model for
    the empty coalition; all 2^n models are trained. Headline: ``spearman``, Spearman's correlation of values with exact
    Shapley values; higher is better, 0 is chance and the score of constant values. Its ceiling is the correlation of
    exact values with those of other initial weights and minibatches. Further metrics: ``p_spearman``, its two-sided
    p-value, and ``pearson``, Pearson's correlation, which also requires the right proportions.

    References
    ----------
    A. Ghorbani, J. Zou. Data Shapley: equitable valuation of data for machine learning. ICML 2019,
    arXiv:1904.02868. Equation 1.
    """
    exact = tabulated_shapley_values(utilities)
    values = valuation.values
    spearman, p = rank_correlation(values, exact)
    constant = np.ptp(values) == 0 or np.ptp(exact) == 0
    pearson = 0.0 if constant else float(pearsonr(values, exact).statistic)
    return Outcome(
        {"spearman": spearman, "p_spearman": p, "pearson": pearson},
        {"value": values.tolist(), "exact": exact.tolist()},
        x="player",
    )

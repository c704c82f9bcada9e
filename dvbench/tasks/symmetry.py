"""Whether equal providers are paid equally."""

from __future__ import annotations

import numpy as np

from dvbench.problems.problem import Problem
from dvbench.problems.variants import provider
from dvbench.scoring.contract import Outcome, Valuation, task


@task(
    version=2,
    headline="gap",
    higher_is_better=False,
    goal="pay",
    ranges={"gap": (0, None), "gap_halves": (0, None)},
    variants=("copied", "split"),
    min_players=3,
)
def symmetry(problem: Problem, valuation: Valuation, utilities: np.ndarray) -> Outcome:
    """Symmetry: do two providers with the same data, and two with data of the same distribution, get the same value?

    One provider without injected noise is drawn, the same for all evaluators, and the problem is valued with a copy of
    its data under a second name, and with a random half of its data under a second name. Headline: ``gap``, the
    absolute difference of the values of the provider and of its copy, in units of the mean absolute difference of all
    pairs of providers; lower is better, 0 is ideal and 1 is chance and the score of constant values, which tell no
    providers apart. Further metric: ``gap_halves``, that of both halves. They are different samples of one
    distribution, so their gap need not be 0.

    References
    ----------
    A. Ghorbani, J. Zou. Data Shapley: equitable valuation of data for machine learning. ICML 2019,
    arXiv:1904.02868. Property 2.
    """
    number = provider(problem)
    gaps = {}
    for name, variant in (("gap", "copied"), ("gap_halves", "split")):
        values = valuation.variants[variant]
        typical = _mean_difference(values)
        gaps[name] = abs(float(values[number] - values[-1])) / typical if typical > 0 else 1.0
    return Outcome(gaps)


def _mean_difference(values: np.ndarray) -> float:
    """Mean absolute difference of all pairs of values."""
    n = len(values)
    return float(np.abs(values[:, np.newaxis] - values).sum() / (n * (n - 1)))

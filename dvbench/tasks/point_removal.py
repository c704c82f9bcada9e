"""Point removal."""

from __future__ import annotations

import numpy as np

from dvbench.problems.problem import Problem
from dvbench.scoring.contract import Outcome, Valuation, task
from dvbench.scoring.player_orders import ranked_orders, removal_counts

FRACTIONS = np.arange(20) / 20


def coalitions(problem: Problem, valuation: Valuation) -> list[np.ndarray]:
    """The players of each order without its first 0, 5, ..., 95%."""
    orders = ranked_orders(problem, valuation.values)
    return [order[removed:] for order in orders for removed in removal_counts(len(order))]


@task(
    version=1,
    headline="gap",
    higher_is_better=True,
    goal="check",
    ranges={
        "gap": "difference",
        "area_high": "utility",
        "area_low": "utility",
        "area_random": "utility",
        "high_against_random": "difference",
        "low_against_random": "difference",
    },
    coalitions=coalitions,
)
def point_removal(problem: Problem, valuation: Valuation, utilities: np.ndarray) -> Outcome:
    """Point removal: how good is the model without the most, and without the least, valuable points?

    This is a property of values, and no answer to who selects data: an evaluator that knows the bad points alone does
    well. Point addition compares what is kept with random points.

    Points are removed in steps of 5%, up to 95%, and the model is trained anew each time. Headline: ``gap``, the mean
    test utility with the least valuable points removed minus that with the most valuable removed, over 5 to 95%;
    higher is better, 0 is chance. Further metrics: the areas (mean utilities) of both curves and of a random order that
    is the same for all evaluators, both differences to it, and the weighted accuracy drop of Schoch et al., in which
    early drops count more: the sum over steps j of (utility at the start minus utility after j steps) / j.

    References
    ----------
    A. Ghorbani, J. Zou. Data Shapley: equitable valuation of data for machine learning. ICML 2019, arXiv:1904.02868.

    S. Schoch, H. Xu, Y. Ji. CS-Shapley: class-wise Shapley values for data valuation in classification. NeurIPS 2022.
    """
    high, low, chance = utilities.reshape(3, -1)
    area_high, area_low, area_random = (float(curve[1:].mean()) for curve in (high, low, chance))
    metrics = {
        "gap": area_low - area_high,
        "area_high": area_high,
        "area_low": area_low,
        "area_random": area_random,
        "high_against_random": area_random - area_high,
        "low_against_random": area_low - area_random,
        "weighted_drop_high": _weighted_drop(high),
        "weighted_drop_low": _weighted_drop(low),
    }
    curves = {"fraction": FRACTIONS, "remove_high": high, "remove_low": low, "random": chance}
    return Outcome(metrics, {name: curve.tolist() for name, curve in curves.items()}, x="fraction")


def _weighted_drop(curve: np.ndarray) -> float:
    return float(((curve[0] - curve[1:]) / np.arange(1, len(curve))).sum())

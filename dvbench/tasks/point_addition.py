"""Point addition."""

from __future__ import annotations

import numpy as np

from dvbench.problems.problem import Problem
from dvbench.scoring.contract import Outcome, Valuation, task
from dvbench.scoring.player_orders import ranked_orders, removal_counts

FRACTIONS = np.arange(1, 21) / 20
EARLY = FRACTIONS <= 0.5
KEPT = {1: "kept_0.1", 5: "kept_0.3", 9: "kept_0.5"}  # metrics by their position in the curves


def coalitions(problem: Problem, valuation: Valuation) -> list[np.ndarray]:
    """The first 5, 10, ..., 100% of the players of each order."""
    orders = ranked_orders(problem, valuation.values)
    return [order[: len(order) - removed] for order in orders for removed in reversed(removal_counts(len(order)))]


@task(
    version=2,
    headline="kept_against_random",
    higher_is_better=True,
    goal="select",
    ranges={
        "kept_against_random": "difference",
        "kept_*": "difference",
        "early_gap": "difference",
        "early_area_high": "utility",
        "early_area_low": "utility",
        "early_area_random": "utility",
        "high_against_random": "difference",
        "low_against_random": "difference",
    },
    coalitions=coalitions,
)
def point_addition(problem: Problem, valuation: Valuation, utilities: np.ndarray) -> Outcome:
    """Point addition: is a model that is trained on the most valuable points better than one of as many random points?

    Points are added in steps of 5%, the most valuable first, the least valuable first, and in a random order that is
    the same for all evaluators; the model is trained anew each time. Headline: ``kept_against_random``, the test
    utility of the model trained on the most valuable points minus that of the model trained on the random ones, the
    mean over 10, 30 and 50% of the points; higher is better, 0 is chance. ``kept_0.1``, ``kept_0.3`` and ``kept_0.5``
    are these three differences. Further metrics are of the first half of the curves, 5 to 50% of the points: the areas
    (mean utilities) of the three curves, ``early_gap``, that of the most valuable points minus that of the least
    valuable ones, and the differences of both to that of random ones. Version 1 had the headline ``early_gap``, which
    an evaluator wins that knows the bad points alone; its scores are read as those of version 2, by their curves.

    References
    ----------
    A. Ghorbani, J. Zou. Data Shapley: equitable valuation of data for machine learning. ICML 2019, arXiv:1904.02868.
    """
    high, low, chance = utilities.reshape(3, -1)
    early_high, early_low, early_random = (float(curve[EARLY].mean()) for curve in (high, low, chance))
    kept = {name: float(high[step] - chance[step]) for step, name in KEPT.items()}
    metrics = {
        "kept_against_random": float(np.mean(list(kept.values()))),
        **kept,
        "early_gap": early_high - early_low,
        "early_area_high": early_high,
        "early_area_low": early_low,
        "early_area_random": early_random,
        "high_against_random": early_high - early_random,
        "low_against_random": early_random - early_low,
    }
    curves = {"fraction": FRACTIONS, "add_high": high, "add_low": low, "random": chance}
    return Outcome(metrics, {name: curve.tolist() for name, curve in curves.items()}, x="fraction")

"""Point addition."""

from __future__ import annotations

import numpy as np

from dvbench.problems.problem import Problem
from dvbench.scoring.contract import Outcome, Retrain, Valuation, task
from dvbench.scoring.retraining import ascending, random_order, steps

FRACTIONS = np.arange(1, 21) / 20
EARLY = FRACTIONS <= 0.5


@task(version=1, headline="early_gap", higher_is_better=True)
def point_addition(problem: Problem, valuation: Valuation, retrain: Retrain) -> Outcome:
    """Point addition: how fast does the model get better when the most, or the least, valuable points come first?

    Points are added in steps of 5% and the model is trained anew each time. An addition curve read backwards is a
    removal curve, so over the whole range it says what point removal says; what it adds is its beginning. Headline:
    ``early_gap``, the mean test performance of models trained on the most valuable 5 to 50% less that of models
    trained on the least valuable 5 to 50%; higher is better, 0 is chance. Besides: the early areas (mean performance)
    of both curves and of a random order that all evaluators share, and both differences to it.

    References
    ----------
    A. Ghorbani, J. Zou. Data Shapley: equitable valuation of data for machine learning. ICML 2019.
    """
    order = ascending(problem, valuation.values)
    orders = (order[::-1], order, random_order(problem))
    # The first players of an order.
    asked = [each[: len(order) - gone] for each in orders for gone in reversed(steps(len(order)))]
    high, low, chance = retrain(asked).reshape(len(orders), -1)
    early_high, early_low, early_random = (float(curve[EARLY].mean()) for curve in (high, low, chance))
    metrics = {
        "early_gap": early_high - early_low,
        "early_area_high": early_high,
        "early_area_low": early_low,
        "early_area_random": early_random,
        "high_against_random": early_high - early_random,
        "low_against_random": early_random - early_low,
    }
    curves = {"fraction": FRACTIONS, "add_high": high, "add_low": low, "random": chance}
    return Outcome(metrics, {name: curve.tolist() for name, curve in curves.items()}, x="fraction")

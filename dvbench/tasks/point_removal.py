"""Point removal."""

from __future__ import annotations

import numpy as np

from dvbench.problems.problem import Problem
from dvbench.scoring.contract import Outcome, Retrain, Valuation, task
from dvbench.scoring.retraining import ascending, random_order, steps

FRACTIONS = np.arange(20) / 20


@task(version=1, headline="gap", higher_is_better=True)
def point_removal(problem: Problem, valuation: Valuation, retrain: Retrain) -> Outcome:
    """Point removal: how does the model fare without the most, and without the least, valuable points?

    Points are removed in steps of 5%, up to 95%, and the model is trained anew each time. Headline: ``gap``, the mean
    test performance with the least valuable points removed less that with the most valuable removed, over 5 to 95%;
    higher is better, 0 is chance. Besides: the areas (mean performance) of both curves and of a random order that all
    evaluators share, both differences to it, and the weighted accuracy drop of Schoch et al., in which early drops
    count more: the sum over steps j of (performance at the start less that after j steps) / j.

    References
    ----------
    A. Ghorbani, J. Zou. Data Shapley: equitable valuation of data for machine learning. ICML 2019.

    S. Schoch, H. Xu, Y. Ji. CS-Shapley: class-wise Shapley values for data valuation in classification. NeurIPS 2022.
    """
    order = ascending(problem, valuation.values)
    orders = (order[::-1], order, random_order(problem))
    # Without the first players of an order.
    asked = [each[gone:] for each in orders for gone in steps(len(order))]
    high, low, chance = retrain(asked).reshape(len(orders), -1)
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

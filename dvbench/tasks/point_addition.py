"""Point addition."""

from __future__ import annotations

import numpy as np

from dvbench.problems.problem import Problem
from dvbench.scoring.contract import Outcome, Valuation, task
from dvbench.scoring.player_orders import ranked_orders, removal_counts

FRACTIONS = np.arange(1, 21) / 20
EARLY = FRACTIONS <= 0.5


def coalitions(problem: Problem, valuation: Valuation) -> list[np.ndarray]:
    """The first 5, 10, ..., 100% of the players of each order."""
    orders = ranked_orders(problem, valuation.values)
    return [order[: len(order) - removed] for order in orders for removed in reversed(removal_counts(len(order)))]


@task(
    version=1,
    headline="early_gap",
    higher_is_better=True,
    goal="select",
    ranges={
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
    """Point addition: how fast does the model get better when the most, or the least, valuable points come first?

    Points are added in steps of 5%, and the model is trained anew each time. An addition curve read backwards is a
    removal curve, so over the whole range this task measures what point removal measures; it adds the beginning of the
    curves. Headline: ``early_gap``, the mean test utility of models trained on the most valuable 5 to 50% minus that of
    models trained on the least valuable 5 to 50%; higher is better, 0 is chance. Further metrics: the early areas (mean
    utilities) of both curves and of a random order that is the same for all evaluators, and both differences to it.

    References
    ----------
    A. Ghorbani, J. Zou. Data Shapley: equitable valuation of data for machine learning. ICML 2019, arXiv:1904.02868.
    """
    high, low, chance = utilities.reshape(3, -1)
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

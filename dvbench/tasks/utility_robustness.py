"""Whether values that were computed with one utility rank players for others."""

from __future__ import annotations

import numpy as np

from dvbench.problems.problem import Problem
from dvbench.scoring.contract import Outcome, Valuation, task
from dvbench.scoring.measures import check_classes
from dvbench.scoring.player_orders import ascending

STEPS = 10  # of the fraction of players that is kept


def coalitions(problem: Problem, valuation: Valuation) -> list[np.ndarray]:
    """The most valuable 10, 20, ..., 90% of the players, then the least valuable."""
    check_classes(problem)
    order, n = ascending(problem, valuation.values), problem.players
    counts = [min(n - 1, max(1, round(step * n / STEPS))) for step in range(1, STEPS)]
    return [order[n - count :] for count in counts] + [order[:count] for count in counts]


@task(
    version=1,
    headline="wins",
    higher_is_better=True,
    goal="pay",
    ranges={
        "wins": (0, 1),
        "worst": (0, 1),
        "wins_utility": (0, 1),
        "wins_log_loss": (0, 1),
        "wins_f1": (0, 1),
        "wins_other_model": (0, 1),
    },
    coalitions=coalitions,
    measures=("utility", "log_loss", "f1", "other_model"),
    min_players=3,
)
def utility_robustness(problem: Problem, valuation: Valuation, utilities: np.ndarray) -> Outcome:
    """Utility robustness: do values rank players also for other utilities than the one they were computed with?

    The most valuable 10, 20, ..., 90% of the players are kept, and the least valuable, which removes or adds the
    others, and a model is trained on each. The most valuable win if their model is better; equal models are half a win.
    Headline: ``wins``, the share of wins, mean over four measures on the test set; higher is better, 0.5 is chance, 1
    is the ceiling. Further metrics: the share by each measure, the accuracy (``wins_utility``), the negative log loss
    (``wins_log_loss``), the mean F1 score of classes (``wins_f1``) and the accuracy of another model
    (``wins_other_model``: logistic regression, or where that is the problem's model, an MLP with 32 hidden units); and
    ``worst``, the lowest of the four. Curves: ``margin_*``, what the most valuable are better by, over the ``fraction``
    kept.
    """
    names = ("utility", "log_loss", "f1", "other_model")
    margins = utilities[:, : STEPS - 1] - utilities[:, STEPS - 1 :]
    wins = ((margins > 0) + 0.5 * (margins == 0)).mean(axis=1)
    metrics = {"wins": float(wins.mean()), "worst": float(wins.min())}
    metrics |= {f"wins_{name}": float(share) for name, share in zip(names, wins, strict=True)}
    curves = {"fraction": [step / STEPS for step in range(1, STEPS)]}
    curves |= {f"margin_{name}": margin.tolist() for name, margin in zip(names, margins, strict=True)}
    return Outcome(metrics, curves, x="fraction")

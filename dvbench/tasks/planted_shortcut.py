"""Whether values show the only useful players."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from dvbench.problems.problem import Problem
from dvbench.problems.variants import planted
from dvbench.scoring.contract import Outcome, Valuation, task


@task(
    version=1,
    headline="auroc",
    higher_is_better=True,
    goal="check",
    ranges={"auroc": (0, 1), "auprc": (0, 1)},
    variants=("shortcut",),
    min_players=3,
)
def planted_shortcut(problem: Problem, valuation: Valuation, utilities: np.ndarray) -> Outcome:
    """Planted shortcut: are players valued higher if they alone show what decides the labels of the validation set?

    A feature is planted that decides the label in a fifth of the players and in the whole validation set, where nothing
    else does: their labels are permuted first, and the first features are set to 0 elsewhere. So only the planted
    players are of use. Headline: ``auroc`` of high values as a detector of planted players; higher is better, 0.5 is
    chance and the score of constant values, 1 is the ceiling. Further metric: ``auprc``, whose chance is a fifth.

    References
    ----------
    R. Geirhos, J.-H. Jacobsen, C. Michaelis, R. Zemel, W. Brendel, M. Bethge, F. A. Wichmann. Shortcut learning in deep
    neural networks. Nature Machine Intelligence 2020, arXiv:2004.07780.
    """
    mask, values = planted(problem), valuation.variants["shortcut"]
    return Outcome({"auroc": float(roc_auc_score(mask, values)), "auprc": float(average_precision_score(mask, values))})

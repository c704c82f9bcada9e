"""Linear datamodeling score of single points, as the field of data attribution reports it."""

from __future__ import annotations

import math

import numpy as np

from dvbench.problems.problem import Problem
from dvbench.problems.variants import FAMILIES, single_points
from dvbench.scoring.coalitions import hundred_halves, summed
from dvbench.scoring.contract import Outcome, Reference, Valuation, task
from dvbench.scoring.correlation import rank_correlation


@task(
    version=1,
    headline="lds",
    higher_is_better=True,
    goal="pay",
    ranges={"lds": (-1, 1), "lds_lowest": (-1, 1), "lds_error": (0, None)},
    coalitions=hundred_halves,
    reference=Reference(None, hundred_halves, np.asarray, "points"),
    variants=("points",),
    measures=("points",),
    min_players=3,
)
def lds_per_point(problem: Problem, valuation: Valuation, utilities: np.ndarray) -> Outcome:
    """LDS per point: do values for one point, summed over half of the training set, predict its loss after training?

    The linear datamodeling score as it is defined: of one point, and then averaged over points. The task ``lds`` is its
    total form. 20 points of the validation set are drawn, the same for all evaluators, and evaluators value the players
    for each of them alone: the point is their whole validation set. Models are those of the task ``lds``: trained from
    scratch on 100 distinct coalitions of half of the players, or all if there are no more. Headline: ``lds``, the mean
    over points of Spearman's correlation of summed values with the negative losses of the models on the point; higher
    is better, 0 is chance and the score of constant values. Its ceiling is the mean correlation of the losses with
    those of other initial weights and minibatches. Utilities that are accuracies are only 0 or 1 on one point, so
    evaluators that use losses or gradients are told more. Further metrics: ``lds_lowest``, the lowest correlation of a
    point, and ``lds_error``, the standard error of the mean over points. Curve: the ``correlation`` of each
    ``validation_point``, by its number in the validation set.

    References
    ----------
    S. M. Park, K. Georgiev, A. Ilyas, G. Leclerc, A. Madry. TRAK: attributing model behavior at scale. ICML 2023,
    arXiv:2303.14186. Section 2.
    """
    coalitions = hundred_halves(problem)
    sums = (summed(valuation.variants[name], coalitions) for name in FAMILIES["points"])
    found = np.array([rank_correlation(*pair)[0] for pair in zip(sums, utilities, strict=True)])
    error = float(found.std(ddof=1)) / math.sqrt(len(found))
    metrics = {"lds": float(found.mean()), "lds_lowest": float(found.min()), "lds_error": error}
    curves = {"validation_point": single_points(problem).astype(float).tolist(), "correlation": found.tolist()}
    return Outcome(metrics, curves, x="validation_point")

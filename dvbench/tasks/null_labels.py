"""Whether values find structure where labels have none."""

from __future__ import annotations

import numpy as np

from dvbench.problems.problem import Problem
from dvbench.scoring.contract import Outcome, Valuation, task
from dvbench.scoring.correlation import rank_correlation


@task(
    version=1,
    headline="agreement",
    higher_is_better=False,
    goal="check",
    ranges={"agreement": (0, 1), "spearman": (-1, 1), "agreement_with_values": (0, 1)},
    variants=("null", "other_null"),
    min_players=3,
)
def null_labels(problem: Problem, valuation: Valuation, utilities: np.ndarray) -> Outcome:
    """Null labels: do values still find an order if all labels are random?

    The problem is valued twice with all labels of the training and the validation set permuted at random, differently
    each time. What both valuations have in common cannot come from the labels. Headline: ``agreement``, the absolute
    value of Spearman's correlation of both; lower is better, and 0 is chance and the score of constant values. For n
    players independent values have about ``0.8 / sqrt(n - 1)``. Further metrics: ``spearman``, with its sign, and
    ``agreement_with_values``, the mean of the same for each of both and the values with the true labels. A high
    agreement is what a method reads from features alone, such as how unusual a point is.

    References
    ----------
    J. Adebayo, J. Gilmer, M. Muelly, I. Goodfellow, M. Hardt, B. Kim. Sanity checks for saliency maps. NeurIPS 2018,
    arXiv:1810.03292: the data randomisation test.
    """
    null, other = valuation.variants["null"], valuation.variants["other_null"]
    spearman, _ = rank_correlation(null, other)
    with_values = [abs(rank_correlation(valuation.values, values)[0]) for values in (null, other)]
    return Outcome(
        {"agreement": abs(spearman), "spearman": spearman, "agreement_with_values": float(np.mean(with_values))}
    )

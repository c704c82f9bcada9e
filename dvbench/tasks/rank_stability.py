"""Rank stability."""

from __future__ import annotations

import numpy as np

from dvbench.problems.problem import Problem
from dvbench.randomness import generator
from dvbench.scoring.contract import Outcome, Valuation, task
from dvbench.scoring.correlation import rank_correlation

TOP = 0.1


@task(
    version=2,
    headline="spearman",
    higher_is_better=True,
    goal="check",
    ranges={"spearman": (-1, 1), "top_overlap": (0, 1), "bottom_overlap": (0, 1)},
    repeats=True,
)
def rank_stability(problem: Problem, valuation: Valuation, utilities: np.ndarray) -> Outcome:
    """Rank stability: is the order of the players the same with another seed for the evaluator and for its model?

    The problem is valued a second time: the training set, the validation set and the noise are the same. Other seeds
    are given to the evaluator and to the model, whose initial weights, order of minibatches and dropout then differ. An
    unlearning method unlearns from the same full model with other minibatches. So the score shows how much of the order
    is due to all of this randomness together. An evaluator that is deterministic itself, but uses the model, can be
    below 1.

    Headline: ``spearman``, Spearman's correlation of both valuations; higher is better, 0 is chance and the score of
    constant values. Further metrics: the fraction of players that the 10% most valuable (``top_overlap``), and the 10%
    least valuable (``bottom_overlap``), of both valuations have in common; ties are taken in random order.
    """
    first, second = valuation.values, valuation.repeat
    if second is None:
        raise ValueError("rank stability needs a second valuation")
    # Ties are broken differently in both, or constant values would agree with themselves.
    rng = generator(problem.dataset, problem.seed, "rank stability")
    orders = [np.lexsort((rng.permutation(len(values)), values)) for values in (first, second)]
    k = max(1, round(TOP * len(first)))
    return Outcome(
        {
            "spearman": rank_correlation(first, second)[0],
            "top_overlap": len(np.intersect1d(orders[0][-k:], orders[1][-k:])) / k,
            "bottom_overlap": len(np.intersect1d(orders[0][:k], orders[1][:k])) / k,
        }
    )

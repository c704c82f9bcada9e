"""Whether values need a trained model."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import roc_auc_score

from dvbench.problems.problem import Problem
from dvbench.scoring.contract import Outcome, Valuation, task
from dvbench.scoring.correlation import rank_correlation


@task(
    version=1,
    headline="agreement",
    higher_is_better=False,
    goal="check",
    ranges={"agreement": (0, 1), "spearman": (-1, 1), "auroc": (0, 1), "auroc_untrained": (0, 1)},
    variants=("untrained",),
    min_players=3,
)
def randomised_model(problem: Problem, valuation: Valuation, utilities: np.ndarray) -> Outcome:
    """Randomised model: do values change if the model keeps random weights and is never trained?

    The problem is valued a second time with a model that has other random weights and a learning rate of practically 0.
    Values that are about what a model learns must lose their meaning then. Headline: ``agreement``, the absolute value
    of Spearman's correlation of both valuations; lower is better, and 0 is chance and the score of constant values. For
    n players independent values have about ``0.8 / sqrt(n - 1)``. Further metrics: ``spearman``, with its sign; and if
    players carry noise the AUROC of low values as a detector of them, with the trained model (``auroc``) and with the
    untrained one (``auroc_untrained``), where 0.5 is chance. A method that uses no model has an agreement of 1 by its
    nature. Gradients at random weights do tell something about labels: a high agreement shows how much of a method's
    score needs no training.

    References
    ----------
    J. Adebayo, J. Gilmer, M. Muelly, I. Goodfellow, M. Hardt, B. Kim. Sanity checks for saliency maps. NeurIPS 2018,
    arXiv:1810.03292: the model parameter randomisation test.
    """
    untrained = valuation.variants["untrained"]
    spearman, _ = rank_correlation(valuation.values, untrained)
    metrics = {"agreement": abs(spearman), "spearman": spearman}
    if 0 < problem.corrupted.sum() < problem.players:
        for name, values in (("auroc", valuation.values), ("auroc_untrained", untrained)):
            metrics[name] = float(roc_auc_score(problem.corrupted, -values))
    return Outcome(metrics)

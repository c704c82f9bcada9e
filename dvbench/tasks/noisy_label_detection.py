"""Noisy label detection."""

from __future__ import annotations

import numpy as np

from dvbench.problems.problem import Problem
from dvbench.scoring.contract import Outcome, Valuation, task
from dvbench.scoring.detection import detect


@task(
    version=1,
    headline="auroc",
    higher_is_better=True,
    goal="find",
    ranges={"auroc": (0, 1), "auprc": (0, 1), "recall_at_noise_rate": (0, 1), "kmeans_f1": (0, 1)},
    noise="labels",
)
def noisy_label_detection(problem: Problem, valuation: Valuation, utilities: np.ndarray) -> Outcome:
    """Noisy label detection: are points with flipped labels valued lower than the others?

    Headline: AUROC of low values as a detector of flipped labels; higher is better, 0.5 is chance. Further metrics:
    AUPRC, recall at the true noise rate, and the F1 score of OpenDataVal's two clusters. Curves over the fraction of
    players inspected: recall, the best possible recall, and the recall of chance.

    References
    ----------
    K. F. Jiang, W. Liang, J. Zou, Y. Kwon. OpenDataVal: a unified benchmark for data valuation. NeurIPS 2023,
    arXiv:2306.10577.
    """
    return detect(valuation.values, problem.corrupted)

"""Noisy label detection."""

from __future__ import annotations

from dvbench.problems.problem import Problem
from dvbench.scoring.contract import Outcome, Retrain, Valuation, task
from dvbench.scoring.detection import detect


@task(version=1, headline="auroc", higher_is_better=True, noise="labels")
def noisy_label_detection(problem: Problem, valuation: Valuation, retrain: Retrain) -> Outcome:
    """Noisy label detection: are points with flipped labels valued lower than the others?

    Headline: AUROC of low values as a detector of flipped labels, higher is better, 0.5 is chance. Besides: AUPRC,
    recall at the true noise rate, F1 score of OpenDataVal's two clusters, and the recall curve over the fraction
    inspected with its optimum and chance.

    References
    ----------
    K. F. Jiang, W. Liang, J. Zou, Y. Kwon. OpenDataVal: a unified benchmark for data valuation. NeurIPS 2023.
    """
    return detect(valuation.values, problem.corrupted)

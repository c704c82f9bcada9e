"""Noisy feature detection."""

from __future__ import annotations

from dvbench.problems.problem import Problem
from dvbench.scoring.contract import Outcome, Retrain, Valuation, task
from dvbench.scoring.detection import detect


@task(version=1, headline="auroc", higher_is_better=True, noise="features")
def noisy_feature_detection(problem: Problem, valuation: Valuation, retrain: Retrain) -> Outcome:
    """Noisy feature detection: are points with Gaussian noise on their features valued lower than the others?

    Headline: AUROC of low values as a detector of disturbed points, higher is better, 0.5 is chance. Further metrics
    and curves are those of noisy label detection.

    References
    ----------
    K. F. Jiang, W. Liang, J. Zou, Y. Kwon. OpenDataVal: a unified benchmark for data valuation. NeurIPS 2023.
    """
    return detect(valuation.values, problem.corrupted)

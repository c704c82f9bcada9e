"""Accuracy of models that are trained on chosen points only."""

from __future__ import annotations

import numpy as np

from dvbench.problems.problem import Problem
from dvbench.scoring.contract import Outcome, Valuation, task


@task(
    version=1,
    headline="area",
    higher_is_better=True,
    goal="select",
    ranges={
        "area": (0, 1),
        "area_best": (0, 1),
        "area_relative": (0, None),
        "full": (0, 1),
        "mislabelled": (0, 1),
        "accuracy_*": (0, 1),
    },
    judges_selection=True,
)
def selection_accuracy(problem: Problem, valuation: Valuation, utilities: np.ndarray) -> Outcome:
    """Selection accuracy: how good is a model that is trained on the chosen points alone?

    One model is trained for each fraction of points kept. Headline: ``area``, the mean test accuracy at the end of
    training over the range of fractions (trapezoid rule); higher is better. Further metrics: ``area_best``, with the
    best accuracy among those after the epochs of each selection; ``full``, the accuracy of the model trained on all
    points, and ``area_relative``, with accuracies divided by it; ``accuracy_F`` at each fraction F; and
    ``mislabelled``, the mean share of corrupted points among the chosen ones. Curves over the fraction kept:
    ``accuracy``, ``best``, ``relative`` and ``mislabelled``. Seconds, with selection and without evaluation, are
    diagnostics of the result: ``seconds_F``, ``selection_seconds_F`` and ``relative_seconds_F``, relative to training
    on all points.

    References
    ----------
    H. Cai. CHG Shapley: efficient data valuation and selection towards trustworthy machine learning. arXiv:2406.11730,
    2024. Tables 2 and 3.
    """
    seen = valuation.selected()
    curves = {
        "accuracy": seen.accuracy,
        "best": seen.best,
        "relative": seen.accuracy / max(seen.full, np.finfo(float).tiny),
        "mislabelled": seen.mislabelled,
    }
    metrics = {
        "area": _mean_over(seen.fractions, curves["accuracy"]),
        "area_best": _mean_over(seen.fractions, curves["best"]),
        "area_relative": _mean_over(seen.fractions, curves["relative"]),
        "full": seen.full,
        "mislabelled": float(seen.mislabelled.mean()),
    }
    metrics |= {f"accuracy_{f:g}": float(a) for f, a in zip(seen.fractions, seen.accuracy, strict=True)}
    lines = {"fraction": seen.fractions, **curves}
    return Outcome(metrics, {name: [round(float(v), 6) for v in line] for name, line in lines.items()}, x="fraction")


def _mean_over(fractions: np.ndarray, heights: np.ndarray) -> float:
    """Mean height of a curve between the smallest and the largest fraction."""
    if len(fractions) == 1:
        return float(heights[0])
    return float(np.trapezoid(heights, fractions) / (fractions[-1] - fractions[0]))

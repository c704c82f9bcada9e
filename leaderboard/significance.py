"""Tests whether differences between mean ranks are significant: Friedman's and Nemenyi's tests, and their diagram.

Reference: Demšar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7, 2006.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from leaderboard.statistics import common, seed_ranks
from leaderboard.suite_scores import COLUMN

ALPHA = 0.05


@dataclass(frozen=True)
class Significance:
    """The results of both tests.

    Parameters
    ----------
    blocks : int
        The number of (problem, task) in which evaluators were ranked.
    p : float
        The p-value of Friedman's test; its null hypothesis is that all evaluators have the same rank distribution.
    ranks : pandas.Series
        Mean rank over blocks, by evaluator.
    difference : float
        Nemenyi's critical difference: mean ranks that are closer are not significantly different.
    pairs : pandas.DataFrame
        Nemenyi's p-value of every pair.
    """

    blocks: int
    p: float
    ranks: pd.Series
    difference: float
    pairs: pd.DataFrame


def significance(scores: pd.DataFrame) -> Significance | None:
    """Test whether evaluators differ.

    Parameters
    ----------
    scores : pandas.DataFrame
        As in a `SuiteScores`.

    Returns
    -------
    Significance or None
        None for fewer than three evaluators or two blocks, or if all ranks are equal: then there is nothing to test.

    Notes
    -----
    A block is a (problem, task), in which evaluators are ranked by their mean rank over seeds, because seeds of one
    problem are not independent blocks. Tasks of one problem are not fully independent either, so the
    p-values are too small.
    """
    from scikit_posthocs import posthoc_nemenyi_friedman  # takes a second to import

    scores = common(scores)
    means = seed_ranks(scores).groupby([scores[name] for name in (*COLUMN, "evaluator")]).mean().unstack("evaluator")
    blocks, evaluators = means.shape
    if evaluators < 3 or blocks < 2 or (np.ptp(means.to_numpy(), axis=1) == 0).all():
        return None
    quantile = stats.studentized_range.ppf(1 - ALPHA, evaluators, math.inf) / math.sqrt(2)
    return Significance(
        blocks=blocks,
        p=float(stats.friedmanchisquare(*means.to_numpy().T).pvalue),
        ranks=means.rank(axis=1).mean(),
        difference=float(quantile * math.sqrt(evaluators * (evaluators + 1) / (6 * blocks))),
        pairs=posthoc_nemenyi_friedman(means.to_numpy())
        .set_axis(means.columns, axis=0)
        .set_axis(means.columns, axis=1),
    )


def diagram(tests: Significance) -> Figure:
    """Draw the critical-difference diagram: a bar joins evaluators that are not significantly different."""
    from scikit_posthocs import critical_difference_diagram

    figure = Figure(figsize=(9, 1.2 + 0.17 * len(tests.ranks)), layout="constrained")
    axis = figure.subplots()
    drawn = critical_difference_diagram(
        tests.ranks, tests.pairs, alpha=ALPHA, ax=axis, label_props={"size": 8},
        label_fmt_left="{label} ({rank:.1f})", label_fmt_right="({rank:.1f}) {label}",
        elbow_props={"linewidth": 0.7}, crossbar_props={"linewidth": 2}, marker_props={"s": 9},
    )  # fmt: skip
    # The points of a bar come from a set, in an order that differs between runs.
    for bar in drawn["crossbars"]:
        for line in bar:
            line.set_xdata(np.sort(line.get_xdata()))
    axis.tick_params(labelsize=8)
    return figure

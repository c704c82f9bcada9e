"""Finds the published problems that are nearest to a table, for `dvbench.own_data.advise`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dvbench.errors import UserError
from dvbench.own_data.pilot import MOST_ROWS
from dvbench.results.published_gains import PublishedGain
from dvbench.settings import Goal

if TYPE_CHECKING:
    from dvbench.tables.reading import Table

NEAREST = 3
BOARD = "board-"  # the beginning of the names of suites whose versions are published as boards


def traits(table: Table) -> dict[str, float]:
    """Rows, features and classes of a table, and an estimate of the fraction of its wrong labels."""
    source = table.source
    features = math.prod(source.take(np.arange(1)).shape[1:])
    return {
        "rows": len(source.labels), "features": features, "classes": len(source.classes), "noise": label_noise(table)
    }  # fmt: skip


def label_noise(table: Table) -> float:
    """Estimate the fraction of wrong labels, by confident learning with logistic regression.

    A label is counted as wrong if the predicted probability of another class, by a model of other rows, is at least
    the mean that this class has among the rows that are labelled with it.

    References
    ----------
    C. G. Northcutt, L. Jiang, I. L. Chuang. Confident learning: estimating uncertainty in dataset labels. Journal of
    Artificial Intelligence Research 70, 2021. Equations 1 and 2.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from dvbench.randomness import generator

    labels = table.source.labels
    rows = generator("advise", 0, "noise").permutation(len(labels))[: 5 * MOST_ROWS]
    kept = rows[np.isin(labels[rows], np.flatnonzero(np.bincount(labels[rows]) >= 3))]
    if len(np.unique(labels[kept])) < 2:
        return 0.0
    x, y = table.source.take(kept).reshape(len(kept), -1), np.unique(labels[kept], return_inverse=True)[1]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    predicted = cross_val_predict(model, x, y, cv=StratifiedKFold(3), method="predict_proba")
    means = np.array([predicted[y == each, each].mean() for each in range(predicted.shape[1])])
    confident = np.where(predicted >= means, predicted, -1.0)
    return float(((confident.max(axis=1) >= 0) & (confident.argmax(axis=1) != y)).mean())


def of_boards(goal: Goal, published: Sequence[PublishedGain]) -> dict[tuple[str, str], PublishedGain]:
    """Return a row of each problem of a goal by its names: of boards, or of all suites if no board has the goal.

    Suites that are made to take a minute, such as ``quick``, have 100 rows: methods look good there that
    fail on 1,000.
    """
    problems = {(row.suite, row.problem): row for row in published if row.goal == goal}
    return {names: row for names, row in problems.items() if names[0].startswith(BOARD)} or problems


def nearest(
    table: Table, goal: Goal, published: Sequence[PublishedGain], ours: Mapping[str, float] | None = None
) -> list[tuple[tuple[str, str], float, PublishedGain]]:
    """Return the nearest problems of a goal, of boards if these have any: their names, distances and a row of each.

    The distance is the mean over rows, features and classes of the absolute logarithm (base 10) of the ratio, plus the
    difference of the fractions of wrong labels; what is not known of a problem does not count. ``ours`` are the
    `traits` of the table, if they are known.

    Raises
    ------
    UserError
        If no suite has the goal.
    """
    problems = of_boards(goal, published)
    if not problems:
        raise UserError(
            f"no suite of these results is about the goal '{goal}': leave out --results, or run board-points"
        )
    ours = traits(table) if ours is None else ours

    def distance(row: PublishedGain) -> float:
        theirs = {"rows": row.rows, "features": row.features, "classes": row.classes}
        ratios = [abs(math.log10(ours[name] / count)) for name, count in theirs.items() if count]
        return float(np.mean(ratios)) + abs(ours["noise"] - row.noise)

    ordered = sorted(((names, distance(row), row) for names, row in problems.items()), key=lambda each: each[1])
    return ordered[:NEAREST]

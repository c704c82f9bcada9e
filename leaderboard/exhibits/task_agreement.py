"""Agreement of tasks: do evaluators that are good in one task of a suite have good scores in another one too?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import rankdata

from leaderboard.drawing import markers, panels
from leaderboard.exhibit import HIGH, LOW, Exhibit, ExhibitMaker, SuiteResults
from leaderboard.intervals import CONFIDENCE
from leaderboard.statistics import seed_ranks
from leaderboard.wording import PLURALS

FEWEST = 5  # evaluators; with fewer the interval of a correlation says nothing
RESAMPLES = 2000


def task_agreement(results: SuiteResults, tasks: Sequence[str]) -> list[Exhibit]:
    """Correlate the mean ranks of evaluators in each pair of tasks."""
    ranks = mean_ranks(results.scores.scores)
    runs = results.scores.scores[["problem", "seed"]].drop_duplicates()
    if len(ranks.columns) < 2 or len(ranks) < FEWEST or len(runs) < 2:  # ranks of one run are mostly its noise
        return []
    table = correlations(ranks)
    figure = _draw(table, PLURALS[results.scores.kind].lower())
    caption = (
        f"Spearman's correlation over {len(ranks)} evaluators of their mean ranks in two tasks: 1 if both order "
        "evaluators in the same way, 0 if one says nothing about the other. A mean rank is over all problems "
        "and seeds of a task; whoever failed has the worst rank. Intervals are 95% percentile bootstraps over "
        "evaluators; they do not include the noise of seeds. Tasks that are of different problems are compared too."
    )
    return [Exhibit("task_agreement", "Agreement of tasks", caption, table, {"": figure})]


def mean_ranks(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean rank of each evaluator (rows) in each task (columns) that all of them are planned for, 1 is best.

    Tasks without any score are left out.
    """
    known = scores[scores.groupby(["problem", "task", "seed"])["value"].transform("count") > 0]
    ranked = known.assign(rank=seed_ranks(known))
    table: pd.DataFrame = ranked.pivot_table(index="evaluator", columns="task", values="rank", sort=False)
    return table.dropna(axis=1)


def correlations(ranks: pd.DataFrame) -> pd.DataFrame:
    """Spearman's correlation of each pair of columns, with its interval over rows; the highest first.

    Pairs with a constant column have none.
    """
    drawn = np.random.default_rng(0).integers(len(ranks), size=(RESAMPLES, len(ranks)))
    rows = []
    for first, second in combinations(ranks.columns, 2):
        pair = ranks[first].to_numpy(), ranks[second].to_numpy()
        resampled = _spearman(*(numbers[drawn] for numbers in pair))
        resampled = resampled[np.isfinite(resampled)]
        (value,) = _spearman(*(numbers[np.newaxis] for numbers in pair))
        if not np.isfinite(value):
            continue
        low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        rows.append(
            {"task": first, "other_task": second, "spearman": value, "spearman" + LOW: low, "spearman" + HIGH: high}
        )
    columns = ["task", "other_task", "spearman", "spearman" + LOW, "spearman" + HIGH]
    table = pd.DataFrame(rows, columns=columns).assign(evaluators=len(ranks))
    return table.sort_values("spearman", ascending=False, kind="stable", ignore_index=True)


def _spearman(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's correlation of each row of two arrays (resamples, n); NaN where a row is constant."""
    x, y = (rankdata(each, axis=1) for each in (first, second))
    x, y = (each - each.mean(axis=1, keepdims=True) for each in (x, y))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((x * y).sum(axis=1) / np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1)))


def _draw(table: pd.DataFrame, methods: str) -> Figure:
    figure, axes = panels([""], height=0.6 + 0.17 * len(table))
    (axis,) = axes.values()
    shown = table.iloc[::-1]
    ends = [abs(shown["spearman" + end] - shown["spearman"]) for end in (LOW, HIGH)]
    y = np.arange(len(shown))
    axis.errorbar(shown["spearman"], y, xerr=ends, ls="", ms=4, lw=1, label="a pair of tasks", **markers([""])[""])
    axis.axvline(0, color="0.7", lw=0.8)
    axis.set_yticks(y, shown["task"] + ", " + shown["other_task"])
    axis.set_xlim(-1.05, 1.05)
    axis.set_ylim(-0.6, len(shown) - 0.4)
    axis.set_xlabel(f"Spearman's correlation of mean ranks, over {methods}", fontsize=8)
    return figure


EXHIBITS = (ExhibitMaker(task_agreement, tasks=(), position=65),)

"""Advises which evaluator to use for a table: by published boards, and by a pilot on the table.

The boards say what gained most on the nearest problems, and the pilot (`dvbench.own_data.pilot`) whether it does on
this table. The advice can be that nothing is better than random values, or than random rows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from dvbench.errors import UserError
from dvbench.own_data.choice import MODEL, TRAINING, How
from dvbench.own_data.defaults import ADDS_UP
from dvbench.own_data.given import Given, Observer, Report, check_seed, say_understood
from dvbench.own_data.nearest import nearest, of_boards, traits
from dvbench.own_data.pilot import (
    LEAST_REPEATS,
    LEAST_ROWS,
    MOST_ROWS,
    PARTS,
    PROVIDERS,
    RATE,
    Trial,
    choice_of,
    run_pilot,
)
from dvbench.progress import time_in_words
from dvbench.results.published_gains import PublishedGain
from dvbench.settings import Goal, Noise

if TYPE_CHECKING:
    from dvbench.tables.reading import Table

GOALS: dict[Goal, tuple[str, str]] = {
    "find": ("AUROC of finding flipped labels, above 0.5", "random values may do as well"),
    "select": ("test accuracy with the most valuable 10, 30 and 50% of the rows, above that with as many random rows",
               "random rows may do as well"),
    "pay": ("rank correlation with what models gain from each of ten providers", "paying all alike may do as well"),
}  # fmt: skip
PLANTED: dict[Goal, str] = {
    "find": f" with {RATE:.0%} flipped labels",
    "select": "",
    "pay": f" of {PROVIDERS} random providers, half of which have a fifth to all of their labels flipped",
}
MOST_GAIN: dict[Goal, float] = {"find": 0.5, "select": 1.0, "pay": 1.0}
CANDIDATES = 8
CHEAP = 0.05  # of the budget
LEAST_SAVED = 10.0  # seconds; less is no reason to prefer a lower gain
MAJORITY = 0.9  # of one class, from which on flipped labels stand out by their class alone
FOLDS = How.folds  # of `dvbench value`, which values all rows


@dataclass(frozen=True)
class Candidate:
    """An evaluator that could be used.

    Parameters
    ----------
    name : str
    published : float
        Mean gain on the nearest problems.
    pilot, whole : float
        Expected seconds of one repeat of the pilot, and of valuing the whole table.
    """

    name: str
    published: float
    pilot: float
    whole: float


@dataclass(frozen=True, eq=False)
class Advice:
    """What is advised.

    Parameters
    ----------
    evaluator : str or None
        None if nothing is better than what needs no values.
    gain, low, high : float
        Of the evaluator, or of the best one, in the pilot: the mean over its repeats and its 95% interval, corrected
        for the number of candidates.
    gains : dict of str to numpy.ndarray of shape (repeats,)
    lines : tuple of str
        The advice in words.
    understood : tuple of str
        What was shown before: how the table was read, the nearest problems, and what the pilot tried.
    label : str
        The column that was read as the label.
    """

    evaluator: str | None
    gain: float
    low: float
    high: float
    gains: dict[str, np.ndarray]
    lines: tuple[str, ...]
    understood: tuple[str, ...] = ()
    label: str = ""

    def __repr__(self) -> str:
        return self.summary()

    def summary(self) -> str:
        """Return what was understood and tried, and the advice, in words."""
        return "\n".join((*self.understood, *self.lines))


def advise_data(
    given: Given,
    goal: Goal,
    budget: float,
    boards: Callable[[], Sequence[PublishedGain]],
    seed: int,
    report: Report,
) -> Advice:
    """Read a table and advise which evaluator to use for it; see `dvbench.advise`.

    Parameters
    ----------
    given : Given
        The pilot makes providers and validation sets of its own.
    goal : {"find", "select", "pay"}
    budget : float
        Seconds of the pilot; valuing the whole table afterwards may take as long again.
    boards : callable
        Returns what boards say.
    seed : int
    report : Report
        Shows what was understood, and what is planned, before anything is computed.

    Raises
    ------
    UserError
        If the table or a setting cannot be used, it is no classification or has too few rows, or the budget is too
        small.
    """
    check_settings(goal, budget)
    check_seed(seed)
    table, _ = given.read()
    kept = Kept(report)
    advice = advise_table(table, goal, budget, boards(), seed, kept)
    return replace(advice, understood=tuple(kept.lines), label=table.label)


class Kept:
    """Shows lines in a report and keeps them.

    Parameters
    ----------
    report : Report

    Attributes
    ----------
    lines : list of str
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self.lines: list[str] = []

    def say(self, line: str, /) -> None:
        """Keep a line, and print it."""
        self.lines.append(line)
        self._report.say(line)

    def counting(self, what: str, /) -> AbstractContextManager[Observer]:
        """Show how many of some parts are done."""
        return self._report.counting(what)


def check_settings(goal: object, budget: object) -> None:
    """Raise a `UserError` if there is no such goal, or a budget is no time."""
    if goal not in list(GOALS):
        raise UserError(f"--goal is {', '.join(GOALS)}, not {goal!r}")
    if isinstance(budget, bool) or not isinstance(budget, float | int) or not 0 < budget < math.inf:
        raise UserError(f"--budget is a time above 0, not {budget!r}")


def advise_table(
    table: Table, goal: Goal, budget: float, published: Sequence[PublishedGain], seed: int, report: Report
) -> Advice:
    """Advise which evaluator to use for a table.

    Parameters
    ----------
    table : Table
    goal : {"find", "select", "pay"}
    budget : float
        Seconds of the pilot; valuing the whole table afterwards may take as long again.
    published : sequence of PublishedGain
        See `dvbench.results.published_gains`.
    seed : int
    report : Report
        Shows what was understood, and what is planned, before anything is computed.

    Raises
    ------
    UserError
        If the table is no classification, has too few rows, or the budget is too small.
    """
    begun = time.perf_counter()
    say_understood(table, report)
    check(table)
    for line in imbalance(table, goal):
        report.say(line)
    ours = traits(table)
    report.say(
        f"your table: {ours['rows']} rows, {ours['features']} features, {ours['classes']} classes, about "
        f"{ours['noise']:.0%} wrong labels (estimated by confident learning)"
    )
    if goal == "pay" and table.source.groups is None:
        report.say("note: no column is known to name the providers, so all columns are features; --group names one")
    near = nearest(table, goal, published, ours)
    smaller = sorted(
        {row.suite for row in published if row.goal == goal} - {suite for suite, _ in of_boards(goal, published)}
    )
    if smaller:
        report.say(f"left out: problems of {', '.join(smaller)}, because larger boards have the goal '{goal}'")
    for (suite, problem), gap, row in near:
        report.say(
            f"near: {problem} of {suite}: {row.rows} rows, {row.features or 'an unknown number of'} features, "
            f"{row.classes or 'unknown'} classes, {row.noise:.0%} wrong labels (distance {gap:.2f})"
        )
    chosen = candidates(table, goal, budget, near, published)
    chosen.sort(key=lambda each: each.pilot)
    names = ", ".join(f"{each.name} ({time_in_words(each.pilot)})" for each in chosen)
    rows = f"{min(len(table.rows), MOST_ROWS)} rows{PLANTED[goal]}"
    report.say(f"pilot: {rows}, repeated with rows drawn and divided anew: {names}")
    trials = run_pilot(table, goal, [each.name for each in chosen], budget, seed, report, time.perf_counter() - begun)
    measured = [_measured(each, trials[each.name]) for each in chosen if each.name in trials]
    return conclude(goal, measured, {name: np.array(trial.gains) for name, trial in trials.items()})


def _measured(candidate: Candidate, trial: Trial) -> Candidate:
    """Correct the expected seconds by those of the pilot, the least of which other programs delayed least."""
    pilot = min(trial.seconds)
    return replace(candidate, pilot=pilot, whole=max(candidate.whole * pilot / candidate.pilot, FOLDS * pilot))


def check(table: Table) -> None:
    """Raise a `UserError` if no pilot can be made with a table."""
    if table.source.kind != "classification":
        raise UserError(
            f"the pilot needs classes, and '{table.label}' is a number: 'dvbench value' values the rows of a "
            "regression; no published suite compares evaluators on them; --kind classification takes every number as "
            "a class"
        )
    if len(table.rows) < LEAST_ROWS:
        raise UserError(f"{len(table.rows)} rows are too few for a pilot: at least {LEAST_ROWS} are needed")


def imbalance(table: Table, goal: Goal) -> list[str]:
    """Say where the pilot is too easy: flipped labels of a large class are found by their class alone."""
    counts = np.bincount(table.source.labels)
    share, largest = counts.max() / counts.sum(), table.source.classes[int(counts.argmax())]
    if goal == "select" or share < MAJORITY:
        return []
    return [
        f"note: {share:.0%} of the rows have the label '{largest}': flipped labels are easy to find among them, and "
        "the pilot says little"
    ]


def candidates(
    table: Table,
    goal: Goal,
    budget: float,
    near: Sequence[tuple[tuple[str, str], float, PublishedGain]],
    published: Sequence[PublishedGain],
) -> list[Candidate]:
    """Return the evaluators that gained most on the nearest problems, as many as fit the budget.

    One that gained nothing there is tried too if it is cheap: these are other tables.

    Raises
    ------
    UserError
        If none of them fits.
    """
    problems = {names for names, _, _ in near}
    gains: dict[str, list[float]] = {}
    for row in published:
        if row.goal == goal and (row.suite, row.problem) in problems:
            gains.setdefault(row.evaluator, []).append(row.gain)
    # An evaluator that was measured on some of the problems only is no candidate: its mean would be one of others.
    means = {name: float(np.mean(each)) for name, each in gains.items() if len(each) == max(map(len, gains.values()))}
    rows, groups = min(len(table.rows), MOST_ROWS), table.source.groups
    providers = PROVIDERS if groups is None else len(np.unique(groups))
    fitting, cheapest = list[Candidate](), math.inf
    for name in sorted(means, key=lambda name: -means[name]):
        pilot = _seconds(table, goal, name, int(rows * PARTS[0]), PROVIDERS)
        # The costs may be of smaller tables.
        whole = max(_seconds(table, goal, name, len(table.rows), providers), pilot)
        if math.isnan(pilot):
            continue
        needed = LEAST_REPEATS * pilot
        if means[name] <= 0 and (name == "random" or needed > CHEAP * budget):
            continue
        cheapest = cheapest if means[name] <= 0 else min(cheapest, max(needed, FOLDS * whole))
        if needed <= budget and FOLDS * whole <= budget:
            fitting.append(Candidate(name, means[name], pilot, FOLDS * whole))
    if not fitting and math.isinf(cheapest):
        raise UserError("no evaluator with known costs gained more than random values on the nearest problems")
    if math.isfinite(cheapest) and not any(each.published > 0 for each in fitting):
        raise UserError(
            f"--budget {time_in_words(budget)} is too small: the cheapest evaluator that gains something on the "
            f"nearest problems is expected to need {time_in_words(cheapest)}"
        )
    return _within(budget, fitting)


def _within(budget: float, fitting: Sequence[Candidate]) -> list[Candidate]:
    """Return those that fit together, in their order: first cheap ones, which leave time for the others."""
    cheap = [each for each in fitting if LEAST_REPEATS * each.pilot <= CHEAP * budget]
    chosen, left = list[Candidate](), budget
    for each in (*cheap[: CANDIDATES // 2], *fitting):
        if each not in chosen and len(chosen) < CANDIDATES and LEAST_REPEATS * each.pilot <= left:
            chosen.append(each)
            left -= LEAST_REPEATS * each.pilot
    return [each for each in fitting if each in chosen]


def _seconds(table: Table, goal: Goal, name: str, rows: int, providers: int) -> float:
    """Expected seconds of a valuation by an evaluator as `dvbench value` runs it; NaN if it was never measured."""
    from dvbench.execution.costs import estimate, published_costs
    from dvbench.results import Cell, CellKey
    from dvbench.settings import DatasetSettings, Groups, ModelSettings, ProblemSettings, Sizes

    groups = Groups(by="random", count=providers) if goal == "pay" else None
    problem = ProblemSettings(
        dataset=DatasetSettings(name="table"),
        sizes=Sizes(train=rows, validation=rows, test=rows),
        noise=Noise(),
        groups=groups,
        model=ModelSettings(name=MODEL),
        training=TRAINING,
    )
    key = CellKey(suite="advise", problem="table", evaluator=name, seed=0)
    cell = Cell(
        key=key, suite_version=1, problem=problem, evaluator=choice_of(table, goal, name, providers).settings, tasks=()
    )
    expected = estimate(cell, published_costs(), cuda=False)
    return math.nan if expected is None else expected.seconds


def conclude(goal: Goal, chosen: Sequence[Candidate], gains: dict[str, np.ndarray]) -> Advice:
    """Recommend the cheapest evaluator that cannot be told from the best one, or none if the best may gain nothing.

    A cheaper one is recommended only if it saves `LEAST_SAVED` seconds or more.
    """
    tail = 0.05 / len(gains)
    best = max(gains, key=lambda name: float(gains[name].mean()))
    measured, otherwise = GOALS[goal]
    intervals = {name: _interval(each, tail, MOST_GAIN[goal]) for name, each in gains.items()}
    lines = [
        f"{each.name}: {_gain(gains[each.name], intervals[each.name])} here, and {each.published:+.3f} on the nearest "
        "problems by the tasks of their board"
        for each in chosen
    ]
    repeats = len(gains[best])
    lines.append(f"gain: {measured}; the mean of {repeats} repeats and its interval, 95% for all candidates together")
    if intervals[best][0] <= 0:
        lines.append(f"advice: none. It is not shown that any of these gains something on this table: {otherwise}")
        return Advice(None, float(gains[best].mean()), *intervals[best], gains, tuple(lines))
    alike = [each for each in chosen if each.name == best or _interval(gains[best] - gains[each.name], tail)[0] <= 0]
    alike = [each for each in alike if intervals[each.name][0] > 0]
    first = next(each for each in chosen if each.name == best)
    cheapest = min(alike, key=lambda each: each.whole)
    saves = cheapest.whole < first.whole - LEAST_SAVED
    pick = cheapest if saves else first
    why = f"it cannot be told from {best}, which gains most, and saves time" if saves else "it gains most"
    lines.append(f"advice: {pick.name}, because {why}; valuing all rows takes about {time_in_words(pick.whole)}")
    if goal == "select":
        lines.append("note: evaluators were compared; 'dvbench select' also has strategies, which were not")
    if goal == "pay" and pick.name != ADDS_UP:
        lines.append(f"note: this is about the order of providers. Divide money by values that add up: {ADDS_UP}")
    return Advice(pick.name, float(gains[pick.name].mean()), *intervals[pick.name], gains, tuple(lines))


def _interval(numbers: np.ndarray, tail: float, most: float = 2.0) -> tuple[float, float]:
    """Student-t interval of a mean, within -most and most; ``tail`` is the probability of being outside."""
    mean, deviation = numbers.mean(), numbers.std(ddof=1)
    half = stats.t.ppf(1 - tail / 2, len(numbers) - 1) * deviation / math.sqrt(len(numbers))
    return max(float(mean - half), -most), min(float(mean + half), most)


def _gain(numbers: np.ndarray, ends: tuple[float, float]) -> str:
    return f"{numbers.mean():+.3f} [{ends[0]:.3f}, {ends[1]:.3f}]"
